"""Nothing secret, nothing unbounded and nothing that raises in a log line."""

from __future__ import annotations

import datetime as dt
import enum
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access.secret_text import make_key
from appliance.ops.redaction import REDACTED, redact

SECRET = "v3ry-s3cret"


def cleaned(**fields: Any) -> dict[str, Any]:
    return dict(redact(None, "info", fields))


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "key",
        "secret",
        "password",
        "authorization",
        "api_key",
        "Authorization",
        "X-API-Key",
        "client_secret",
    ],
)
@pytest.mark.parametrize("nest", [lambda f: f, lambda f: {"a": f}, lambda f: {"a": [{"b": (f,)}]}])
def test_secrets_by_the_name_of_their_field(name: str, nest: Any) -> None:
    shown = json.dumps(cleaned(**nest({name: SECRET, "other": "kept"})))
    assert SECRET not in shown
    assert REDACTED in shown
    assert "kept" in shown


@pytest.mark.parametrize("value", [[SECRET], {"a": SECRET}, SECRET.encode()])
def test_a_secret_that_is_no_text_goes_too(value: object) -> None:
    assert cleaned(token=value) == {"token": REDACTED}


@pytest.mark.parametrize("name", ["monkey", "keys", "key_file", "tokens", "topic"])
def test_other_fields_stay(name: str) -> None:
    assert cleaned(**{name: "kept"}) == {name: "kept"}


@pytest.mark.parametrize(
    "text",
    [
        f"GET /ws?token={SECRET} HTTP/1.1",
        f"/ws?client_id=1&api_key={SECRET}&x=1",
        f"?key={SECRET}",
        f"TOKEN={SECRET}",
        f"?access_token={SECRET}",
        f"?token={SECRET};{SECRET},{SECRET}",
        f'{{"type": "auth", "token": "{SECRET}"}}',
        f'{{"token": "a\\"{SECRET}"}}',
        f'{{"token":"{SECRET}',
        json.dumps(json.dumps({"token": SECRET})),
        f"{{'password': '{SECRET} {SECRET}'}}",
        f"Entry(name='a', key='{SECRET}')",
        f"Authorization: Bearer {SECRET}-{SECRET}",
        f"bearer.{SECRET}-{SECRET}, appliance.v1",
        f'token="{SECRET} {"x" * 2000}',
    ],
)
def test_secrets_inside_text(text: str) -> None:
    shown = cleaned(event=text, nested={"deep": [text]}, error=ValueError(text), body=text.encode())
    assert SECRET not in json.dumps(shown)
    assert str(shown["event"]).startswith(
        text[: text.lower().index("token")] if "token" in text else text[:1]
    )


def test_a_made_key_goes_wherever_it_stands() -> None:
    key = make_key()
    shown = json.dumps(cleaned(event=f"a client showed {key}, twice:{key}", **{key: 1}))
    assert not any(key[place : place + 6] in shown for place in range(len(key) - 6))


def test_a_signed_token_goes_wherever_it_stands() -> None:
    head, claims, signature = "eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiJhbm4ifQ", "c2lnbmF0dXJl-_"
    shown = json.dumps(cleaned(event=f"showed {head}.{claims}.{signature}, and {head}.{claims}."))
    assert not any(part in shown for part in (head, claims, signature))


@pytest.mark.parametrize(
    "text",
    ["monkey=banana", "unknown key: intervall", "the bearer left", "3 tokens", "key", "sk_short", "a=b&c=d"],
)
def test_other_text_stays(text: str) -> None:
    assert cleaned(event=text) == {"event": text}


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


class Level(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2.5, 2.5),
        (Level.ONE, 1),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (2**64, "18446744073709551616"),
        (Path("/a/b"), "/a/b"),
        (dt.datetime(2030, 1, 1, tzinfo=dt.UTC), "2030-01-01 00:00:00+00:00"),
        (ValueError("why"), "ValueError('why')"),
        (b"\xff", "b'\\xff'"),
        ((1, "a"), [1, "a"]),
        (frozenset({1}), [1]),
        ({1: {"a": None}}, {"1": {"a": None}}),
        (Odd(), "<a Odd whose text raises RuntimeError>"),
        ([Odd()], ["<a Odd whose text raises RuntimeError>"]),
        pytest.param(10**5000, "<a int whose text raises ValueError>", id="huge"),
    ],
)
def test_values_become_plain(value: object, shown: object) -> None:
    assert cleaned(value=value) == {"value": shown}


def test_what_one_reads_first_stands_first() -> None:
    assert list(cleaned(a=1, event="e", level="info", timestamp="t")) == ["timestamp", "level", "event", "a"]


def test_long_text_is_cut() -> None:
    shown = cleaned(event="x" * 100_000)["event"]
    assert len(shown) < 20_000
    assert shown.endswith("of 100000 characters")


@pytest.mark.parametrize("part", ['token="', "token=", "\\", 'key="\\', "_key", "bearer "])
def test_text_made_to_be_slow_is_not(part: str) -> None:
    # Steps that grow with the square of the length would still end; those that double would not.
    assert cleaned(rows=[part * (16_000 // len(part))] * 4)


def test_what_holds_itself_ends() -> None:
    ring: list[Any] = []
    ring += [ring, ring]
    table: dict[str, Any] = {"ring": ring}
    table["table"] = table
    assert len(json.dumps(cleaned(table=table, event="kept"))) < 1_000_000


def test_a_large_event_becomes_a_bounded_line() -> None:
    assert len(json.dumps(cleaned(event="kept", rows=[["x" * 1000] * 1000] * 1000))) < 200_000


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), VALUES))
def test_anything_becomes_strict_json(fields: dict[str, Any]) -> None:
    json.dumps(cleaned(**fields), allow_nan=False)
