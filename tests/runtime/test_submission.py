"""Events are read from what was sent, and each mistake has its path."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from appliance.api import Channel, Event, Mode
from appliance.core.topics import Aliases
from appliance.loading.configured import Configured
from appliance.runtime.submission import AHEAD, MOST_FLAWS, Flaw, Kind, Reading, Submission
from tests.runtime.intaking import CLOSED, PREDICTIONS, PRICE, RETENTION, Writer, event

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = 1_800_000_000.0
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


class Odd(msgspec.Struct):
    price: float

    def __post_init__(self) -> None:
        raise KeyError("price")


ODD = Channel(name="odd", mode=Mode.LOG, message="odd", schema=Odd)
CHANNELS: Mapping[str, Configured] = {
    channel.name: Configured(channel, None, RETENTION, None, publishable=channel is not CLOSED)
    for channel in (PREDICTIONS, PRICE, CLOSED, ODD)
}


def read(raw: object, writer: Writer | None = None) -> tuple[Event | None, list[Flaw]]:
    reading = Reading(CHANNELS, writer or Writer(), Aliases({"price": {"bitcoin": "BTC"}}), NOW)
    submission = Submission(events=[raw], within="events")
    made = reading.event(raw, lambda *steps: submission.path(0, *steps))
    return made, reading.flaws


def flaw(raw: object, writer: Writer | None = None) -> Flaw:
    made, [found] = read(raw, writer)
    assert made is None
    return found


@pytest.mark.parametrize(
    ("within", "steps", "path"),
    [
        (None, (), ""),
        (None, ("data",), "data"),
        ("", ("data",), "[3].data"),
        ("events", (), "events[3]"),
        ("events", ("data",), "events[3].data"),
    ],
)
def test_a_path_says_where_something_stands(within: str | None, steps: tuple[str, ...], path: str) -> None:
    assert Submission(events=[], within=within).path(3, *steps) == path


def test_an_event_is_read() -> None:
    made, flaws = read(event(at=1_700_000_000))
    assert flaws == []
    assert made == Event("price", "AAPL", {"price": 1.5}, 1_700_000_000.0)


def test_without_a_time_it_is_now() -> None:
    for raw in (event(), event(at=None)):
        made, _ = read(raw)
        assert made is not None
        assert made.at == NOW


def test_another_name_of_a_key_is_the_key() -> None:
    made, _ = read(event(key="bitcoin"))
    assert made is not None
    assert made.key == "BTC"


@pytest.mark.parametrize(
    ("at", "moment"),
    [
        (0, 0.0),
        (1.5, 1.5),
        (NOW + AHEAD, NOW + AHEAD),
        ("2024-01-01T12:00:00Z", 1_704_110_400.0),
        ("2024-01-01t12:00:00.250z", 1_704_110_400.25),
        ("2024-01-01 13:00:00+01:00", 1_704_110_400.0),
        ("2024-01-01T12:00:00.123456789Z", 1_704_110_400.123456),
    ],
)
def test_a_time_is_seconds_or_text(at: object, moment: float) -> None:
    made, flaws = read(event(at=at))
    assert flaws == []
    assert made is not None
    assert made.at == moment


@pytest.mark.parametrize(
    ("at", "part"),
    [
        (True, "expected seconds since 1970"),
        ("2024-01-01T12:00:00", "with its offset"),
        ("2024-01-01", "with its offset"),
        ("20240101T120000Z", "with its offset"),
        ("2024-13-01T12:00:00Z", "with its offset"),
        ("2024-01-01T12:00:60Z", "with its offset"),
        ("٢٠٢٤-01-01T12:00:00Z", "with its offset"),
        ("now", 'found "now"'),
        ({}, "found an object"),
        ([], "found a list"),
        (10**400, "expected seconds"),
        (-1, "not between 1970 and tomorrow"),
        (NOW * 1000, "not between 1970 and tomorrow"),
        (NOW + AHEAD + 1, "not between 1970 and tomorrow"),
        ("0001-01-01T00:00:00+23:59", "not between 1970 and tomorrow"),
        ("9999-12-31T23:59:59-23:59", "not between 1970 and tomorrow"),
    ],
)
def test_an_odd_time_is_told(at: object, part: str) -> None:
    found = flaw(event(at=at))
    assert found.path == "events[0].at"
    assert part in found.problem


@given(st.datetimes(dt.datetime(1970, 1, 2), dt.datetime(2026, 12, 31), timezones=st.timezones()))  # noqa: DTZ001 - bounds have none
def test_any_time_that_python_writes_is_read(moment: dt.datetime) -> None:
    made, flaws = read(
        event(at=moment.astimezone(dt.timezone(dt.timedelta(hours=-5, minutes=30))).isoformat())
    )
    assert flaws == []
    assert made is not None
    assert made.at == moment.timestamp()


@pytest.mark.parametrize("raw", [None, 5, "text", [], True])
def test_an_event_is_an_object(raw: object) -> None:
    found = flaw(raw)
    assert found.path == "events[0]"
    assert found.problem.startswith("expected an object")


@pytest.mark.parametrize("key", [None, 5, "", "two words", "AAPL*", "*", "x" * 201, "line\nbreak", ["AAPL"]])
def test_an_odd_key_is_told(key: object) -> None:
    found = flaw(event() | {"key": key})
    assert found.path == "events[0].key"
    assert "200 visible characters" in found.problem


def test_what_is_missing_is_told_all_at_once() -> None:
    _, flaws = read({})
    assert [(found.path, found.problem.partition(":")[0]) for found in flaws] == [
        ("events[0].channel", "is missing"),
        ("events[0].key", "is missing"),
        ("events[0].data", "is missing"),
    ]


def test_all_mistakes_of_an_event_are_told() -> None:
    raw = {
        "channel": "predictions",
        "key": "",
        "data": {"confidence": 2, "legs": 1},
        "at": "x",
        "symbol": "A",
    }
    _, flaws = read(raw)
    assert [found.path for found in flaws] == [
        f"events[0].{path}" for path in ("symbol", "key", "at", "data.confidence", "data.legs")
    ]


def test_a_field_that_no_event_has_is_told() -> None:
    assert "channel, key, data, at" in flaw(event(symbol="AAPL")).problem


def test_a_multitude_of_unknown_fields_is_not_listed_whole() -> None:
    _, flaws = read(event() | {f"field{n}": n for n in range(1_000)})
    assert len(flaws) == MOST_FLAWS


def test_an_unknown_channel_is_told_with_the_nearest() -> None:
    found = flaw(event("prices"))
    assert (found.path, found.kind) == ("events[0].channel", Kind.UNKNOWN)
    assert "did you mean `price`?" in found.problem
    assert "there are closed, odd, predictions, price" in flaw(event("weather")).problem


def test_a_long_name_is_not_repeated_whole() -> None:
    assert len(flaw(event("x" * 100_000)).problem) < 300


def test_a_channel_that_the_publisher_may_not_publish_into() -> None:
    found = flaw(event(), Writer(name="bob", barred=("price",)))
    assert (found.path, found.kind) == ("events[0].channel", Kind.FORBIDDEN)
    assert (
        found.problem == 'bob may not publish into price: its entry in auth.keys needs `publish = ["price"]`'
    )


def test_a_channel_that_nobody_may_publish_into() -> None:
    found = flaw(event("closed"))
    assert (found.path, found.kind) == ("events[0].channel", Kind.FORBIDDEN)
    assert "`publish = true` in [channels.closed]" in found.problem


@pytest.mark.parametrize("data", [None, 5, "text", []])
def test_data_is_an_object(data: object) -> None:
    assert flaw(event() | {"data": data}).path == "events[0].data"


def test_data_fits_the_schema() -> None:
    found = flaw(event("predictions", data={"confidence": 0.5, "legs": [{"price": "high"}]}))
    assert found.path == "events[0].data.legs[0][...]"
    assert "expected" in found.problem.lower()


def test_a_schema_that_breaks_harms_nobody() -> None:
    with capture_logs() as log:
        found = flaw(event("odd"))
    assert found.path == "events[0].data"
    assert [line["log_level"] for line in log] == ["warning"]


def test_a_flaw_reads_as_a_line() -> None:
    assert str(Flaw("key", "is missing")) == "key: is missing"
    assert str(Flaw("", "no events")) == "no events"


@given(JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(("channel", "key", "data", "at"), JSON)))
def test_whatever_is_sent_is_an_event_or_has_flaws(raw: Any) -> None:
    made, flaws = read(json.loads(json.dumps(raw)))
    assert (made is None) is bool(flaws)
    assert all(found.path.startswith("events[0]") for found in flaws)
