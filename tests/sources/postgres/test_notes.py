from __future__ import annotations

from typing import Any

import pytest

from appliance.sources.postgres import notes
from appliance.sources.postgres.columns import Column, Described, select
from appliance.sources.postgres.settings import TableSettings
from appliance.sources.postgres.statements import Place


def column(name: str, oid: int) -> Column:
    return Column(name=name, oid=oid, kind="", shown="", category="")


TABLE = Described(
    relation="rows",
    name="rows",
    columns=(
        column("id", 20),
        column("at", 1184),
        column("later", 1184),
        column("symbol", 25),
        column("xid", 5069),
    ),
    primary=("id",),
    version=160_000,
)


def fingerprint(**changes: Any) -> str:
    settings = TableSettings(**{"table": "rows", "key": "symbol", "time": "at", **changes})
    return notes.fingerprint(settings, select(TABLE, settings))


@pytest.mark.parametrize("place", [Place("a", "[1]"), Place("a"), Place(None, "[1]")])
def test_a_place_is_noted_and_read(place: Place) -> None:
    assert notes.read_place(notes.place(place)) == place


@pytest.mark.parametrize(
    "changes",
    [
        {"table": "others"},
        {"table": None, "query": "TABLE rows", "identity": ("id",)},
        {"time": "later"},
        {"identity": ("symbol",)},
        {"follow": "xid"},
    ],
)
def test_places_among_other_rows_are_others(changes: dict[str, Any]) -> None:
    assert fingerprint(**changes) != fingerprint()


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "'all'"},
        {"every": 1.0},
        {"overlap": 1.0},
        {"columns": {"id": "number"}},
        {"identity": ("id",)},
    ],
)
def test_what_rows_become_does_not_move_a_place(changes: dict[str, Any]) -> None:
    assert fingerprint(**changes) == fingerprint()


def test_beginning_anew_leaves_nothing_of_before() -> None:
    assert notes.anew({"where": 1, "seen/0": 2}, {"where": 3}) == {"where": 3, "seen/0": None}
