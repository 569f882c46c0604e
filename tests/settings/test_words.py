"""How mistakes are worded; the messages of attrs that are worded anew are those of the installed attrs."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Literal

import attrs
import pytest
from attrs.validators import ge, gt, in_, le, lt, matches_re, max_len, min_len

from appliance.settings import words
from appliance.settings.fields import Bytes, Seconds, Secret

if TYPE_CHECKING:
    from collections.abc import Callable


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (int, "a whole number"),
        (float | None, "a number"),
        (Seconds, 'a time such as "30s"'),
        (Secret | None, "text"),
        (Literal["a", 1], 'one of "a", 1'),
        (Seconds | Literal["none"] | None, 'a time such as "30s" or "none"'),
        (Colour, 'one of "red", "blue"'),
        (int | str, "a whole number or text"),
        (tuple[bool, ...], "a list, each item true or false"),
        (dict[str, int], "a table"),
        (Any, "any value"),
    ],
)
def test_types_have_words(kind: Any, text: str) -> None:
    assert words.kind_text(kind) == text


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        ("8443", int, 'text ("8443")'),
        (5, str, "a number (5)"),
        (True, int, "true"),
        ([1], int, "a list"),
        ({}, int, "a table"),
        ("hunter2", tuple[str, ...], "text"),
        (1234, Secret | None, "a number"),
        ("a" * 100, int, f'text ("{"a" * 59}…)'),
    ],
)
def test_values_are_quoted_only_where_no_secret_can_be(value: object, kind: Any, text: str) -> None:
    assert words.found_text(value, kind) == text


def test_a_number_too_long_to_show_is_not_shown() -> None:
    assert words.found_text(1 << 20_000, str) == "a number (more digits than can be shown)"


def refusal(validator: Callable[..., object], value: object, kind: Any) -> str:
    cls = attrs.make_class("Some", {"some": attrs.field(validator=validator)})
    with pytest.raises(ValueError, match=r".") as caught:
        cls(value)
    return words.refusal(caught.value, value, kind)


@pytest.mark.parametrize(
    ("validator", "value", "kind", "text"),
    [
        (ge(1), 0, int, "must be at least 1, not 0"),
        (gt(0), -0.5, float, "must be more than 0, not -0.5"),
        (le(0.25), 1, float, "must be at most 0.25, not 1"),
        (lt(10**6), 10**6, int, "must be less than 1000000, not 1000000"),
        (ge(1e-7), 0, float, "must be at least 1e-07, not 0"),
        (ge(86_400), 3600.0, Seconds, "must be at least 1d, not 3600.0"),
        (ge(4096), 1, Bytes | None, "must be at least 4KiB, not 1"),
        (min_len(1), "", str, "must be at least 1 character long, not 0"),
        (max_len(3), "four", str, "must be at most 3 characters long, not 4"),
        (min_len(2), (1,), tuple[int, ...], "must have at least 2 items, not 1"),
        (matches_re("[a-z]+"), "A\n", str, "must match the pattern '[a-z]+', not \"A\\n\""),
        (in_((1, 2)), 3, int, "must be one of (1, 2), not 3"),
        (matches_re("[a-z]+"), "HUNTER2", Secret, "must match the pattern '[a-z]+', not what is there"),
    ],
)
def test_refusals_of_attrs_are_worded(
    validator: Callable[..., object], value: object, kind: Any, text: str
) -> None:
    assert refusal(validator, value, kind) == text


def test_other_refusals_are_taken_as_they_are() -> None:
    assert words.refusal(ValueError("comes from a plugin"), 1, int) == "comes from a plugin"
    assert words.refusal(ZeroDivisionError(), 1, int) == "ZeroDivisionError"


@pytest.mark.parametrize(
    ("validator", "kind", "text"),
    [
        (ge(1), int, "at least 1"),
        (gt(0), Seconds, "more than 0"),
        (le(600), Seconds, "at most 10m"),
        (min_len(1), str, "at least 1 character long"),
        (min_len(1), tuple[int, ...], "at least 1 item"),
        (matches_re("x"), str, ""),
    ],
)
def test_bounds_of_attrs_are_worded(validator: Callable[..., object], kind: Any, text: str) -> None:
    assert words.bound_text(validator, kind) == text


@pytest.mark.parametrize("text", ["", "plain", "two\nlines\r\n\tand a tab", "caf\xe9 \u20ac \U0001f600"])
def test_line_breaks_tabs_and_all_that_shows_are_text(text: str) -> None:
    assert words.control_character(text) == ""


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("\0", "U+0000 as character 1 of it"),
        ("hunter2\x1b[2J", "U+001B as character 8 of it"),
        ("a\x7f\0", "U+007F as character 2 of it"),
        ("\x9b", "U+009B as character 1 of it"),
    ],
)
def test_a_control_character_is_placed_and_the_text_not_shown(text: str, place: str) -> None:
    assert words.control_character(text) == f"expected text without control characters, found {place}"


def test_an_unknown_key_is_told_the_nearest_and_the_few_there_are() -> None:
    many = [f"key{number}" for number in range(20)]
    assert words.unknown_key("sesions", ["sessions", "burst"]) == (
        "is not a known key; did you mean `sessions`? (known here: sessions, burst)"
    )
    assert words.unknown_key("key_3", many).endswith("did you mean `key3`?")
    assert "known here: key0" in words.unknown_key("other", many)
    assert words.unknown_key("x", []) == "is not a known key; this table takes none"
