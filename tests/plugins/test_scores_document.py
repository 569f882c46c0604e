"""Runs the examples of docs/scores.md, and holds its lists against the code."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import pytest

from appliance.api import Event
from appliance.loading.catalogue import collect
from appliance.loading.configured import configure
from appliance.loading.files import builtin_folder
from appliance.settings.load import load
from appliance.testing import record
from plugins import drift
from plugins.scores.figures import Accuracy, Calibration, Score
from plugins.scores.settings import HORIZONS, ScoresSettings
from tests.plugins.scoring import DRIFT, SCORES

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

    from appliance.api import Channel

BLOCK = re.compile(r"^<!-- (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "scores.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def blocks(page: str) -> dict[str, str]:
    found = dict(BLOCK.findall(page))
    assert page.count("```") == 2 * len(found)
    return found


def section(page: str, heading: str) -> str:
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def message(channel: Channel, key: str, event: Event) -> dict[str, Any]:
    """What a client gets that reads the topic of this key."""
    assert key in channel.route(event, channel.Settings())
    return {"type": channel.message, "channel": f"{channel.name}:{key}", "offset": 1, "data": event.data}


async def test_the_rows_of_the_page_make_its_message(
    blocks: dict[str, str], autojump_clock: MockClock
) -> None:
    rows = [
        Event(row["channel"], row["key"], row["data"], dt.datetime.fromisoformat(row["at"]).timestamp())
        for row in json.loads(blocks["rows"])
    ]
    [event] = await record(SCORES, seconds=15, shown=rows)
    assert autojump_clock.current_time() == 15
    assert message(SCORES, "BTC", event) == json.loads(blocks["message"])


async def test_the_drift_of_the_page_is_one(blocks: dict[str, str], autojump_clock: MockClock) -> None:
    told = json.loads(blocks["drift"])
    horizons = {told["data"]["horizon"]: {name: told["data"][name] for name in ("recent", "baseline")}}
    score = {name: told["data"][name] for name in ("symbol", "model_version", "timestamp")}
    shown = [Event("scores", "BTC:v7", {**score, "horizons": horizons}, 0.0)]
    [event] = await record(DRIFT, seconds=1, shown=shown)
    assert autojump_clock.current_time() == 1
    assert message(DRIFT, "BTC", event) == told


def test_every_figure_is_told(page: str) -> None:
    told = set(
        re.findall(
            r"`([\w.]+)`", "".join(re.findall(r"(?m)^\| `.*? \|", section(page, "What a score tells")))
        )
    )
    structs: dict[str, type[msgspec.Struct]] = {"": Score, "calibration.": Calibration}
    fields = {
        f"{prefix}{field.name}"
        for prefix, struct in structs.items()
        for field in msgspec.structs.fields(struct)
    }
    fields |= {field.name for field in msgspec.structs.fields(Accuracy)}
    assert told == fields - {"calibration.n"}


def test_every_field_of_a_drift_is_shown(blocks: dict[str, str]) -> None:
    assert list(json.loads(blocks["drift"])["data"]) == [
        field.name for field in msgspec.structs.fields(drift.Drift)
    ]


@pytest.mark.parametrize("channel", [SCORES, DRIFT], ids=lambda channel: channel.name)
def test_every_setting_is_told_with_its_default(page: str, channel: Channel) -> None:
    table = section(page, "Settings").partition(f"`[channels.{channel.name}]`")[2].partition("\n\n`[")[0]
    told = dict(re.findall(r"(?m)^\| `(\w+)` \| `(.+?)` \|", table))
    assert told == {field.name: json.dumps(field.default) for field in attrs.fields(channel.Settings)}


def test_the_configuration_of_the_page_is_taken(blocks: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "scores.toml"
    file.write_text(blocks["scores.toml"], encoding="utf-8")
    channels = configure(collect([builtin_folder()]), load(file=file, environment={}))
    settings = {configured.channel.name: configured.settings for configured in channels}
    assert (settings["scores"].window, settings["drift"].hit_rate_below) == (5_000, 0.2)


def test_what_is_kept_can_be_let_go_of(blocks: dict[str, str], tmp_path: Path) -> None:
    for text, durable in (("", True), (blocks["forgetful.toml"], False)):
        file = tmp_path / "forgetful.toml"
        file.write_text(text, encoding="utf-8")
        channels = configure(collect([builtin_folder()]), load(file=file, environment={}))
        kept = {each.channel.name: each.durable for each in channels}
        assert (kept["scores"], kept["drift"]) == (durable, durable)


def test_the_figures_of_the_text_are_those_of_the_code(page: str) -> None:
    recent = ScoresSettings().recent
    hours = 2 * recent * HORIZONS["15min"] / 3_600
    assert (
        f"after {2 * recent} minutes for a horizon of one minute, and after {hours:g} hours for one of 15"
        in page
    )
    for name in HORIZONS:
        assert f"`predicted_{name}`" in page


def test_what_the_page_links_to_is_there(page: str, root: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page)
    assert [link for link in links if not (root / "docs" / link).exists()] == []
    headings = {f"#{heading.lower().replace(' ', '-')}" for heading in re.findall(r"(?m)^## (.+)$", page)}
    assert set(re.findall(r"\]\((#[^)]+)\)", page)) == headings
