"""Single values: what each type takes, and that it takes nothing else."""

from __future__ import annotations

import datetime as dt
import enum
from pathlib import Path
from typing import Any, Literal

import pytest
from cattrs import Converter

from appliance.settings import scalars
from appliance.settings.fields import Bytes, Seconds, Secret
from appliance.settings.literals import Bare
from appliance.settings.scalars import Wrong


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


NOON = dt.datetime(2030, 1, 31, 12, tzinfo=dt.UTC)


def read(value: Any, kind: Any) -> Any:
    converter = Converter()
    scalars.register(converter)
    return converter.structure(value, kind)


@pytest.mark.parametrize(
    ("value", "kind", "result"),
    [
        ("text", str, "text"),
        (Bare("5"), str, "5"),
        ("/etc", Path, Path("/etc")),
        (5, int, 5),
        (Bare("5"), int, 5),
        (5, float, 5.0),
        (True, bool, True),
        (Bare("true"), bool, True),
        (NOON, dt.datetime, NOON),
        (Bare("2030-01-31T12:00:00Z"), dt.datetime, NOON),
        (NOON.date(), dt.date, NOON.date()),
        (NOON.time(), dt.time, NOON.time()),
        ("500ms", Seconds, 0.5),
        (Bare("30s"), Seconds, 30.0),
        (Bare("30"), Seconds, 30.0),
        (5, Seconds, 5.0),
        ("64KiB", Bytes, 65_536),
        (5, Bytes, 5),
        ("red", Colour, Colour.RED),
        (Bare("blue"), Colour, Colour.BLUE),
        (1, Level, Level.LOW),
        (Bare("1"), Level, Level.LOW),
        ("a", Literal["a", 2], "a"),
        (Bare("2"), Literal["a", 2], 2),
        ({"a": [1]}, Any, {"a": [1]}),
        (Bare("[1]"), Any, [1]),
        (Bare("as is"), Any, "as is"),
    ],
)
def test_taken(value: Any, kind: Any, result: object) -> None:
    taken = read(value, kind)
    assert taken == result
    assert type(taken) is type(result)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (5, str),
        (b"bytes", str),
        (True, int),
        (1.5, int),
        ("8443", int),
        (True, float),
        (float("nan"), float),
        (float("inf"), Seconds),
        (10**400, float),
        (1, bool),
        ("true", bool),
        (NOON, dt.date),
        (NOON.date(), dt.datetime),
        ("30", Seconds),
        (True, Seconds),
        (1.0, Bytes),
        ("64k", Bytes),
        (["a"], str),
        ("green", Colour),
        (5, Colour),
        (True, Level),
        (True, Literal[1]),
        ({}, Path),
        ("/a\0b", str),
        ("/a\0b", Path),
        ("/a\0b", Secret),
        (Bare("/a\x7fb"), str),
    ],
)
def test_refused(value: Any, kind: Any) -> None:
    with pytest.raises(Wrong) as caught:
        read(value, kind)
    ((steps, problem),) = caught.value.problems
    assert steps == ()
    assert problem.startswith("expected ")


def test_a_choice_that_is_nearly_right_is_named() -> None:
    with pytest.raises(Wrong) as caught:
        read("Blue", Colour)
    assert caught.value.problems[0][1] == (
        'expected one of "red", "blue", found text ("Blue"); did you mean "blue"?'
    )


def test_a_secret_is_one_from_the_start() -> None:
    assert isinstance(read(Bare("hunter2"), Secret), Secret)
