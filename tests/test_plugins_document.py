"""Runs the page docs/plugins.md from top to bottom, as a reader would; holds its lists against the code."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any, get_args

import attrs
import msgspec
import pytest
import trio

from appliance import hookspecs
from appliance.api import Answering, Channel, Feed, Source
from appliance.core.conduct import Offence
from appliance.core.histogram import Histogram
from appliance.loading.bundle import GROUP
from appliance.loading.catalogue import collect
from appliance.loading.configured import configure
from appliance.loading.files import builtin_folder
from appliance.loading.ledger import Standing
from appliance.runtime.report import Report
from appliance.runtime.status import Health, Sample, Status
from appliance.settings.load import load
from appliance.settings.tree import ChannelSettings, Settings
from appliance.testing import RecordingFeed, record
from tests.authoring import PATIENCE, PLAIN, install

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trio.testing import MockClock

    from appliance.loading.configured import Configured

BLOCK = re.compile(r"^(?:<!-- (\S+) -->\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OUTPUT = "output"
"""The mark of what the commands in the block before it print."""


@attrs.frozen
class Block:
    mark: str
    kind: str
    text: str

    @property
    def is_file(self) -> bool:
        return self.mark not in ("", OUTPUT)


@attrs.frozen
class Run:
    """What the commands of one block printed, and what the page says that they do."""

    commands: str
    status: int
    printed: str
    shown: str


@attrs.frozen
class Reading:
    """A folder in which somebody did all that the page says, in its order."""

    folder: Path
    runs: tuple[Run, ...]


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "plugins.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def blocks(page: str) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(page)]


@pytest.fixture(scope="module")
def reading(root: Path, blocks: list[Block], tmp_path_factory: pytest.TempPathFactory) -> Reading:
    folder, tools = tmp_path_factory.mktemp("reader"), tmp_path_factory.mktemp("tools")
    modules = {"appliance": "-m appliance.cli.main", "python3": ""}
    for name, module in modules.items():
        tool = tools / name
        tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        tool.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": str(install(root, tools)),
        "PYTEST_ADDOPTS": " ".join(PLAIN),
        "XDG_STATE_HOME": str(folder / "state"),
    }
    runs: list[Run] = []
    for block in blocks:
        if block.is_file:
            file = folder / block.mark
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        elif block.kind == "sh":
            done = subprocess.run(
                ["sh", "-e", "-c", block.text],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            runs.append(Run(block.text, done.returncode, done.stdout, ""))
        elif block.mark == OUTPUT:
            runs[-1] = attrs.evolve(runs[-1], shown=block.text)
    return Reading(folder, tuple(runs))


@pytest.fixture
def example(blocks: list[Block], tmp_path: Path) -> Path:
    """A folder with the files of the page."""
    for block in blocks:
        if block.is_file:
            file = tmp_path / block.mark
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
    return tmp_path


def configured(example: Path, name: str) -> Mapping[str, Configured]:
    catalogue = collect([builtin_folder(), example / "plugins"])
    channels = configure(catalogue, load(file=example / name, environment={}))
    return {configured.channel.name: configured for configured in channels}


def described(page: str, heading: str) -> set[str]:
    """What the first column of the table below a heading names."""
    rows = re.findall(r"^\| (`.*?`) \|", section(page, heading), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(?:await )?(\w+)", row)}


def section(page: str, heading: str) -> str:
    _, _, behind = page.partition(f"\n## {heading}\n")
    return behind.partition("\n## ")[0]


def shape(printed: str) -> list[str]:
    """Leave out what is another number each time."""
    return re.sub(r"\d+(\.\d+)?", "0", printed).splitlines()


def test_every_block_is_a_file_a_command_what_it_prints_or_a_message(page: str, blocks: list[Block]) -> None:
    assert page.count("```") == 2 * len(blocks)
    assert {block.kind for block in blocks if not block.is_file} == {"sh", "text", "json"}
    for place, block in enumerate(blocks):
        if block.kind == "text":
            assert (block.mark, blocks[place - 1].kind) == (OUTPUT, "sh")


def test_all_commands_of_the_page_do_what_it_says(reading: Reading) -> None:
    assert [(run.commands, run.printed) for run in reading.runs if run.status] == []
    assert [shape(run.printed) for run in reading.runs if run.shown] == [
        shape(run.shown) for run in reading.runs if run.shown
    ]


def test_the_tests_of_the_page_pass(reading: Reading) -> None:
    first, second = [run for run in reading.runs if "pytest" in run.commands]
    assert "1 passed" in first.printed
    assert "7 passed" in second.printed


def test_what_is_written_at_first_is_overwritten_by_what_the_page_shows(
    reading: Reading, blocks: list[Block]
) -> None:
    [written] = [run.printed for run in reading.runs if "plugins new" in run.commands]
    files = {block.mark for block in blocks if block.is_file}
    assert set(re.findall(r"(?m)^(plugins/\S+): ", written)) <= files


def test_the_message_is_what_a_client_gets(example: Path, blocks: list[Block]) -> None:
    [message] = [json.loads(block.text) for block in blocks if block.kind == "json"]
    channel = configured(example, "appliance.toml")["fees"].channel
    assert message["type"] == channel.message
    assert message["channel"].startswith(f"{channel.name}:")
    assert channel.schema is not None
    msgspec.convert(message["data"], channel.schema)


async def test_the_channel_publishes_what_its_configuration_asks_for(
    example: Path, autojump_clock: MockClock
) -> None:
    fees = configured(example, "appliance.toml")["fees"]
    assert fees.retention.count == 50
    assert fees.stale_after == 10
    events = await record(fees.channel, seconds=3, settings=fees.settings)
    assert [event.key for event in events] == ["BTC"] * 3
    assert autojump_clock.current_time() == 3


def test_one_plugin_makes_several_channels(example: Path) -> None:
    others = configured(example, "appliance.toml")["fees_of_others"]
    assert others.settings.symbols == ("SOL", "ADA")


async def test_lines_are_told_once_over_restarts(
    example: Path,
    autojump_clock: MockClock,  # noqa: ARG001 - its time jumps
) -> None:
    lines = configured(example, "appliance.toml")["lines"]
    assert lines.durable
    file, settings = example / "journal.txt", attrs.evolve(lines.settings, path=str(example / "journal.txt"))
    state: Mapping[str, Any] = {}
    told = []
    for written in ("first\nsec", "ond\n", "", "é\nlast\n"):
        with file.open("a", encoding="utf-8") as opened:
            opened.write(written)
        feed = RecordingFeed(lines.channel, settings, state=state)
        assert lines.channel.produce is not None
        with trio.move_on_after(2.5):
            await lines.channel.produce(feed, settings)
        state = feed.state
        told += [event.data["line"] for event in feed.events]
    assert told == ["first", "second", "é", "last"]


def test_the_source_is_that_of_the_channel_which_names_it(reading: Reading) -> None:
    channels = configured(reading.folder, "walk.toml")
    assert type(channels["price"].rows).__name__ == "Walk"
    assert type(channels["trades"].rows).__name__ == "Simulated"
    [printed] = [run.printed for run in reading.runs if "walk.toml" in run.commands]
    assert "  price:GOLD  1  " in printed


def test_the_channel_of_applications_has_no_rows_of_its_own(example: Path) -> None:
    assert type(configured(example, "alerts.toml")["alerts"].rows).__name__ == "Published"


async def test_the_source_makes_what_is_asked_for(example: Path) -> None:
    rows = configured(example, "dice.toml")["predictions"].rows
    assert isinstance(rows, Answering)
    made = await rows.answer("predictions", "ETH", None)
    assert made is not None
    assert made["symbol"] == "ETH"
    assert await rows.answer("price", "ETH", None) is None


def test_the_entry_point_is_of_the_group_that_is_looked_at(example: Path) -> None:
    told = tomllib.loads((example / "pyproject.toml").read_text(encoding="utf-8"))
    assert list(told["project"]["entry-points"]) == [GROUP]


def test_a_folder_of_tests_is_no_plugin(reading: Reading) -> None:
    [listed, _] = [run.printed for run in reading.runs if "plugins list" in run.commands]
    assert re.search(r"(?m)^fees +loaded +fees, fees_of_others +", listed)
    assert not re.search(r"(?m)^(test|conftest)", listed)


def test_every_hook_is_described(page: str) -> None:
    hooks = {name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction)}
    assert set(re.findall(r"^- `(\w+)\(", section(page, "Hooks"), re.MULTILINE)) == hooks


def test_every_field_of_a_channel_is_described(page: str) -> None:
    assert described(page, "What a channel is") == {field.name for field in attrs.fields(Channel)}


def test_every_part_of_a_feed_is_described(page: str) -> None:
    parts = {name for name in vars(Feed) if not name.startswith("_")}
    assert described(page, "What a producer does") == parts


def test_every_field_of_a_source_is_described(page: str) -> None:
    text = section(page, "A source")
    assert {field.name for field in attrs.fields(Source)} <= set(re.findall(r"`(\w+)`", text))


def test_every_parameter_of_record_is_described(page: str) -> None:
    wanted = set(inspect.signature(record).parameters) - {"channel"}
    assert set(re.findall(r"(?m)^- `(\w+)`: ", section(page, "Testing"))) == wanted


def test_every_state_of_a_plugin_is_described(page: str) -> None:
    table = section(page, "Dropping in").partition("\n| State | |\n")[2]
    assert set(re.findall(r"(?m)^\| `(\w+)` \|", table)) == set(get_args(Standing))


def test_every_figure_of_a_channels_health_is_described(page: str) -> None:
    sample = Sample(at=0, deliveries=0, sent_bytes=0, received_bytes=0, opened=0, closed=0, errors={})
    status = Status(lambda: sample)
    status.health["fees"] = Health()
    report = Report(status=status, latency=Histogram(), sessions=tuple, connections=int, settings=Settings)
    table = section(page, "Supervision").partition("\n| Field | |\n")[2]
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"(?m)^\| (`.*?`) \|", table)))
    assert set(named) == set(report.statistics()["channels"]["fees"])


def test_the_settings_that_the_page_names_are_there(page: str) -> None:
    named = re.findall(r"`((?:limits|plugins|producers|restart)\.\w+)`", page)
    assert named
    for name in named:
        group, _, key = name.partition(".")
        assert hasattr(getattr(Settings(), group), key), name
    supervision = section(page, "Supervision")
    wanted = {
        "producers.blocked",
        "producers.events_per_second",
        "producers.stop_within",
        "producers.offences",
        "producers.silences",
    }
    assert wanted <= set(re.findall(r"`(\w+\.\w+)`", supervision))
    assert len(Offence) == len(wanted) - 1


def test_the_keys_that_are_not_a_plugins_own_are_named(page: str) -> None:
    own = {field.name for field in attrs.fields(ChannelSettings)} - {"options"}
    [named] = re.findall(r"that are not (.*?) are those of\s`Settings`", page)
    assert set(re.findall(r"`(\w+)`", named)) == own


def test_what_the_page_links_to_is_there(page: str, root: Path) -> None:
    links = re.findall(r"\]\((?!https://)([^)#]+)(?:#[^)]*)?\)", page)
    assert links
    assert [link for link in links if not (root / "docs" / link).exists()] == []
    headings = {f"#{heading.lower().replace(' ', '-')}" for heading in re.findall(r"(?m)^## (.+)$", page)}
    assert set(re.findall(r"\]\((#[^)]+)\)", page)) == headings
