"""What is found wrong: bounded, and read around."""

from __future__ import annotations

import sqlite3

import pytest

from appliance.store.flaws import MOST, Flaws


def test_a_new_one_is_empty() -> None:
    flaws = Flaws()
    assert not flaws
    assert (flaws.told, flaws.more) == ((), 0)


def test_only_so_many_are_told_and_the_others_counted() -> None:
    flaws = Flaws()
    for place in range(MOST + 3):
        flaws.add(f"flaw {place}")
    assert flaws
    assert flaws.told == tuple(f"flaw {place}" for place in range(MOST))
    assert flaws.more == 3


def test_damage_is_a_flaw_and_what_comes_next_is_read() -> None:
    flaws = Flaws()
    with flaws.reading("page 3"):
        sqlite3.connect(":memory:").execute("SELECT 1 FROM nowhere")
    assert flaws.told == ("page 3 cannot be read (no such table: nowhere)",)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR])
def test_what_is_no_damage_is_raised(code: int) -> None:
    error = sqlite3.OperationalError("told")
    error.sqlite_errorcode = code
    flaws = Flaws()
    with pytest.raises(sqlite3.OperationalError), flaws.reading("page 3"):
        raise error
    assert not flaws
