"""Values as text."""

from __future__ import annotations

import datetime as dt
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.settings.literals import Bare, spelled, written

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.recursive(
    st.none().map(lambda _: True)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | TEXT
    | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("true", True),
        ('"5"', "5"),
        ("[1, 2]", [1, 2]),
        ("{a = 1}", {"a": 1}),
        ("2030-01-31T12:00:00Z", dt.datetime(2030, 1, 31, 12, tzinfo=dt.UTC)),
        ("30s", "30s"),
        ("", ""),
        ("1\nother = 2", "1\nother = 2"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_bare_text_is_toml_or_text(text: str, value: object) -> None:
    assert spelled(Bare(text)) == value
    assert type(spelled(Bare(text))) is type(value)


def test_text_of_the_file_stays_what_it_is() -> None:
    assert spelled("5") == "5"


def test_bare_text_is_not_shown() -> None:
    assert "hunter2" not in repr({"password": Bare("hunter2")})


@given(VALUES)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert tomllib.loads(f"value = {written(value)}")["value"] == value
