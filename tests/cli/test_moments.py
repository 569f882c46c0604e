"""Times on the command line."""

from __future__ import annotations

import datetime as dt

import click
import pytest

from appliance.cli import moments

CONTEXT, OPTION = click.Context(click.Command("x")), click.Option(["--expires"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2999-01-31", dt.datetime(2999, 1, 31, tzinfo=dt.UTC)),
        ("2999-01-31T12:00:00Z", dt.datetime(2999, 1, 31, 12, tzinfo=dt.UTC)),
        ("2999-01-31T12:00:00+02:00", dt.datetime(2999, 1, 31, 10, tzinfo=dt.UTC)),
    ],
)
def test_moments_to_come(text: str, expected: dt.datetime) -> None:
    found = moments.ahead(CONTEXT, OPTION, text)
    assert found is not None
    assert found == expected
    assert found.utcoffset() == dt.timedelta()


@pytest.mark.parametrize(
    ("text", "wait"), [("90d", dt.timedelta(days=90)), ("30m", dt.timedelta(minutes=30))]
)
def test_a_length_is_counted_from_now(text: str, wait: dt.timedelta) -> None:
    before = dt.datetime.now(dt.UTC).replace(microsecond=0)
    found = moments.ahead(CONTEXT, OPTION, text)
    assert found is not None
    assert before + wait <= found <= dt.datetime.now(dt.UTC) + wait


@pytest.mark.parametrize("text", ["", "soon", "2020-01-31", "2999-01-31T12:00:00", "-1d", "99999999d", "90"])
def test_what_is_none_says_what_would_be(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write 90d"):
        moments.ahead(CONTEXT, OPTION, text)


def test_lengths() -> None:
    assert moments.length(CONTEXT, OPTION, "1h") == dt.timedelta(hours=1)
    assert moments.length(CONTEXT, OPTION, "0") == dt.timedelta()
    for text in ("", "soon", "5", "99999999999d"):
        with pytest.raises(click.BadParameter, match="write 30s"):
            moments.length(CONTEXT, OPTION, text)


def test_what_is_not_given_is_none() -> None:
    assert moments.ahead(CONTEXT, OPTION, None) is None
    assert moments.length(CONTEXT, OPTION, None) is None


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (0.0, "(0 seconds ago)"),
        (-1.0, "(1 second ago)"),
        (59.0, "(in 59 seconds)"),
        (90.0, "(in 1 minute)"),
        (7_200.0, "(in 2 hours)"),
        (-86_400.0 * 3, "(3 days ago)"),
    ],
)
def test_moments_are_told_with_their_distance(at: float, said: str) -> None:
    now = 1_900_000_000.0
    told = moments.told(now + at, now)
    assert told.startswith("2030-03-1")
    assert told.endswith(said.replace("0 seconds ago", "in 0 seconds") if at == 0 else said)
