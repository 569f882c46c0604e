"""Lines of a file of passwords, as libpq reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.sources.postgres.passfile import find


def found(text: str, *, user: str = "me", database: str = "market") -> str | None:
    return find(text, hosts={"db"}, port=5432, database=database, user=user)


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("db:5432:market:me:secret", "secret"),
        ("db:5432:market:me:secret\r\n", "secret"),
        ("*:*:*:*:secret", "secret"),
        ("other:5432:market:me:no\ndb:5432:market:me:secret\n*:*:*:*:later", "secret"),
        ("# *:*:*:*:no\ndb:*:*:me:secret", "secret"),
        ("db:5432:market:me:with space ", "with space "),
        (r"db:5432:market:me:a\:b\\c", r"a:b\c"),
        (r"db:5432:market:me:a\bc", "abc"),
        ("db:5432:market:me:secret:rest", "secret"),
        (r"\db:5432:market:me:secret", "secret"),
        ("db:5433:market:me:no", None),
        ("db:5432:markt:me:no", None),
        ("db:5432:market:you:no", None),
        ("db:5432:market:me", None),
        ("db:5432:market:me:", None),
        (r"\*:5432:market:me:no", None),
        ("", None),
        ("\n\n", None),
    ],
)
def test_a_line_is_found(text: str, password: str | None) -> None:
    assert found(text) == password


def test_a_socket_has_two_names() -> None:
    names = {"localhost", "/run/pg"}
    for name in names:
        assert find(f"{name}:1:d:u:secret", hosts=names, port=1, database="d", user="u") == "secret"


def escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace(":", r"\:")


words = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1)


@given(user=words, database=words, password=words)
def test_anything_comes_back_that_was_escaped(user: str, database: str, password: str) -> None:
    line = ":".join(["db", "5432", *map(escaped, (database, user, password))])
    assert found(f"*:1:*:*:no\n{line}\n", user=user, database=database) == password


@given(st.text())
def test_no_text_is_too_odd(text: str) -> None:
    found(text)
