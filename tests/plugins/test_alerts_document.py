"""Runs the examples of docs/alerts.md as the files that their marks name; holds its tables against the code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from appliance.api import Event
from appliance.core.errors import SettingsError
from appliance.loading.catalogue import collect
from appliance.loading.configured import configure
from appliance.loading.files import builtin_folder
from appliance.settings.load import load
from appliance.testing import record
from plugins.alerts.expressions import WINDOWS, read
from plugins.alerts.notes import recall
from plugins.alerts.rules import OWN, TOLD, AlertsSettings, RuleSettings

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

    from appliance.loading.configured import Configured

BLOCK = re.compile(r"^(?:<!-- (\S+) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "alerts.md").read_text(encoding="utf-8")


@pytest.fixture
def example(page: str, tmp_path: Path) -> Path:
    """A folder with the files of the page."""
    for name, _, text in BLOCK.findall(page):
        if name:
            (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def configured(file: Path) -> Configured:
    channels = configure(collect([builtin_folder()]), load(file=file, environment={}))
    return next(each for each in channels if each.channel.name == "alerts")


def section(page: str, heading: str) -> str:
    _, found, rest = page.partition(f"\n## {heading}\n")
    assert found
    return rest.partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The tables of a text, without their heads."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"(?m)^\|.*\|$", text)
    ]
    heads = [number for number, row in enumerate(cells) if set(row[0]) == {"-"}]
    return [row for number, row in enumerate(cells) if number not in heads and number + 1 not in heads]


async def test_the_rule_of_the_page_raises_the_alert_of_the_page(
    page: str, example: Path, autojump_clock: MockClock
) -> None:
    alerts = configured(example / "appliance.toml")
    (shown,) = (json.loads(text) for _, kind, text in BLOCK.findall(page) if kind == "json")
    start = 1_766_000_000.0
    told = await record(
        alerts.channel,
        seconds=1,
        settings=alerts.settings,
        shown=[
            Event("price", "BTC", {"price": 97_000.0, "volume": 5100}, start),
            Event("price", "BTC", {"price": 98_164.0, "volume": 5200}, start + 42),
        ],
    )
    assert autojump_clock.current_time() == 1
    assert [event.data for event in told] == [{**shown["data"], "move": pytest.approx(1.2)}]
    topics = [f"alerts:{key}" for key in alerts.channel.route(told[0], alerts.settings)]
    assert shown["channel"] in topics
    assert set(topics) == set(re.findall(r"`(alerts:[^`]+)`", section(page, "What an alert holds")))


async def test_the_table_of_times_is_what_happens(
    page: str, example: Path, autojump_clock: MockClock
) -> None:
    table = rows(section(page, "How often it is told"))
    alerts = configured(example / "bound.toml")
    told = await record(
        alerts.channel,
        seconds=1,
        settings=alerts.settings,
        shown=[Event("price", "BTC", {"price": int(price)}, float(at)) for at, price, _ in table if price],
    )
    assert autojump_clock.current_time() == 1
    assert [event.at for event in told] == [float(at) for at, _, what in table if what.startswith("alert")]


def test_the_tests_of_the_page_pass(example: Path, root: Path) -> None:
    # As pip lays it: the plugins are in the package.
    installed = example / "installed" / "appliance"
    installed.mkdir(parents=True)
    for path in (*(root / "appliance").iterdir(), root / "plugins"):
        (installed / path.name).symlink_to(path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_rules.py"],
        cwd=example,
        env={**os.environ, "PYTHONPATH": str(installed.parent), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_the_mistakes_of_the_page_are_those_that_are_told(page: str, example: Path) -> None:
    (said,) = (text for _, kind, text in BLOCK.findall(page) if not kind)
    with pytest.raises(SettingsError) as caught:
        configured(example / "mistakes.toml")
    assert str(caught.value).replace(f"{example}/", "") == said.strip()


def test_the_bounds_of_the_page_are_the_defaults(page: str, example: Path) -> None:
    # Each is loaded with classes of its own, of which no two are equal.
    bounds, both = (
        attrs.asdict(configured(example / name).settings) for name in ("bounds.toml", "both.toml")
    )
    assert bounds == both
    numbers = re.findall(r"at most (\d+) characters and (\d+) levels", page)
    ((characters, levels),) = ((int(first), int(second)) for first, second in numbers)
    read("-" * (levels - 1) + "1")
    read("1".ljust(characters))
    for text in ("-" * levels + "1", "1".ljust(characters + 1)):
        with pytest.raises(ValueError, match=r"nested too deeply|characters long"):
            read(text)


def test_every_example_is_right(example: Path) -> None:
    for file in sorted(example.glob("*.toml")):
        if file.name != "mistakes.toml":
            assert configured(file).channel.name == "alerts"
    assert configured(example / "both.toml").publishable
    assert configured(example / "both.toml").durable
    assert not configured(example / "forgetful.toml").durable


def test_what_lets_a_rule_begin_anew_is_told(page: str) -> None:
    told = section(page, "Over a restart").partition("begins anew.**")[2].partition("\n\n")[0]
    anew, _, on = (set(re.findall(r"`(\w+)`", part)) for part in told.partition(";"))
    assert anew | on | {"name"} == {field.name for field in attrs.fields(RuleSettings)}
    rule = RuleSettings(name="a", pattern="price:*", when="price > 1", message="")
    other: dict[str, Any] = {
        "pattern": "*",
        "when": "price > 2",
        "clear": "price < 1",
        "values": {"x": "price"},
        "hold": 1.0,
    }
    other |= {"message": "other", "cooldown": 1.0, "severity": "low", "type": "b"}
    state = recall({}, [rule]).changes
    for name in anew | on:
        changed = attrs.evolve(rule, **{name: other[name]})
        assert bool(recall(state, [changed]).forgotten) == (name in anew)


def test_every_key_is_described_with_its_default(page: str) -> None:
    told = {row[0].strip("`"): row[1].strip("`").strip('"') for row in rows(section(page, "A rule"))}
    fields: dict[str, Any] = {field.name: field.default for field in attrs.fields(RuleSettings)}
    assert told.keys() == fields.keys()
    for name, default in fields.items():
        if isinstance(default, str | float):
            assert told[name] == (default if isinstance(default, str) else f"{default:g}")
    named = set(re.findall(r"`(\w+)` are", section(page, "What a rule cannot judge")))
    assert named == {field.name for field in attrs.fields(AlertsSettings)} - {"rules"}


def test_every_word_of_the_language_is_described(page: str) -> None:
    said = section(page, "What a condition can say")
    examples = [text for row in rows(said) for text in re.findall(r"`([^`]+)`", row[1])]
    signs = {"<", "<=", ">", ">=", "==", "!=", "in", "not in", "+", "-", "*", "/", "%", "and", "or", "not"}
    for text in examples:
        if text not in signs:
            read(text)
    assert signs <= set(examples)
    assert {name for text in examples for name in re.findall(r"^(\w+)\(", text)} == {*WINDOWS, "abs"}
    for name in OWN:
        assert any(re.search(rf"\b{name}\b", text) for text in examples)
    held = section(page, "What an alert holds") + section(page, "A rule")
    for name in TOLD:
        assert f"`{name}`" in held or f'"{name}"' in held


def test_what_the_page_links_to_is_there(page: str, root: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page)
    assert links
    assert [link for link in links if not (root / "docs" / link).exists()] == []
    headings = {f"#{heading.lower().replace(' ', '-')}" for heading in re.findall(r"(?m)^## (.+)$", page)}
    assert set(re.findall(r"\]\((#[^)]+)\)", page)) == headings
