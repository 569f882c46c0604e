"""Runs the examples of docs/plugins.md as the files that their marks name; holds its lists against the code."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import attrs
import pytest

from appliance import hookspecs
from appliance.api import Answering, Channel, Feed, Source
from appliance.loading.catalogue import collect
from appliance.loading.configured import configure
from appliance.loading.files import builtin_folder
from appliance.settings.load import load
from appliance.settings.tree import ChannelSettings
from appliance.testing import record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trio.testing import MockClock

    from appliance.loading.configured import Configured

BLOCK = re.compile(r"^(?:<!-- (\S+) -->\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "plugins.md").read_text(encoding="utf-8")


@pytest.fixture
def example(page: str, tmp_path: Path) -> Path:
    """A folder with the files of the page."""
    for name, _, text in BLOCK.findall(page):
        if name:
            file = tmp_path / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
    return tmp_path


def configured(example: Path, name: str) -> Mapping[str, Configured]:
    catalogue = collect([builtin_folder(), example / "plugins"])
    channels = configure(catalogue, load(file=example / name, environment={}))
    return {configured.channel.name: configured for configured in channels}


def described(page: str, heading: str) -> set[str]:
    """What the first column of the table below a heading names."""
    _, _, section = page.partition(f"\n## {heading}\n")
    section = section.partition("\n## ")[0]
    return set(re.findall(r"^\| `(?:await )?(\w+)\b.*?` \|", section, re.MULTILINE))


def test_every_example_that_can_be_run_is_a_file(page: str) -> None:
    assert [text for name, kind, text in BLOCK.findall(page) if not name and kind != "json"] == []
    assert page.count("```") == 2 * len(BLOCK.findall(page))


async def test_the_channel_publishes_what_its_configuration_asks_for(
    example: Path, autojump_clock: MockClock
) -> None:
    fees = configured(example, "fees.toml")["fees"]
    assert fees.retention.count == 50
    events = await record(fees.channel, seconds=3, settings=fees.settings)
    assert [event.key for event in events] == ["BTC"] * 3
    assert autojump_clock.current_time() == 3


def test_the_source_is_that_of_the_channel_which_names_it(example: Path) -> None:
    channels = configured(example, "walk.toml")
    assert type(channels["price"].rows).__name__ == "Walk"
    assert type(channels["trades"].rows).__name__ == "Simulated"


def test_the_channel_of_applications_has_no_rows_of_its_own(example: Path) -> None:
    assert type(configured(example, "alerts.toml")["alerts"].rows).__name__ == "Published"


async def test_the_source_makes_what_is_asked_for(example: Path) -> None:
    rows = configured(example, "dice.toml")["predictions"].rows
    assert isinstance(rows, Answering)
    made = await rows.answer("predictions", "ETH", None)
    assert made is not None
    assert made["symbol"] == "ETH"
    assert await rows.answer("price", "ETH", None) is None


def test_the_tests_of_the_page_pass(example: Path, root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=example,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def test_every_hook_is_described(page: str) -> None:
    hooks = {name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction)}
    assert set(re.findall(r"^- `(\w+)\(\)` ", page, re.MULTILINE)) == hooks


def test_every_field_of_a_channel_is_described(page: str) -> None:
    assert described(page, "What a channel is") == {field.name for field in attrs.fields(Channel)}


def test_every_part_of_a_feed_is_described(page: str) -> None:
    parts = {name for name in vars(Feed) if not name.startswith("_")}
    assert described(page, "What a producer does") == parts


def test_every_field_of_a_source_is_described(page: str) -> None:
    section = page.partition("\n## A source\n")[2].partition("\n## ")[0]
    assert {field.name for field in attrs.fields(Source)} <= set(re.findall(r"`(\w+)`", section))


def test_the_keys_that_are_not_a_plugins_own_are_named(page: str) -> None:
    own = {field.name for field in attrs.fields(ChannelSettings)} - {"options"}
    [named] = re.findall(r"that are not (.*?) are those of `Settings`", page)
    assert set(re.findall(r"`(\w+)`", named)) == own


def test_what_the_page_links_to_is_there(page: str, root: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page)
    assert links
    assert [link for link in links if not (root / "docs" / link).exists()] == []
    headings = {f"#{heading.lower().replace(' ', '-')}" for heading in re.findall(r"(?m)^## (.+)$", page)}
    assert set(re.findall(r"\]\((#[^)]+)\)", page)) == headings
