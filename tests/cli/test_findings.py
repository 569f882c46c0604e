from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs

from appliance.cli.findings import Finding, lines, printable

if TYPE_CHECKING:
    from appliance.api import Row

EVENT = '2030-01-01T00:00:00.000Z  trades:BTC  {"price":1}'


@attrs.frozen(kw_only=True)
class Found:
    """What some source has said."""

    facts: tuple[tuple[str, str], ...] = (("table", "trades"), ("identity", "id"))
    columns: tuple[tuple[str, str, str | None], ...] = (("id", "bigint", None), ("price", "numeric", "last"))
    plan: str = "Limit\n  ->  Index Scan"
    served_by_index: bool = True
    index: str = ""
    first: tuple[Row, ...] = ()


def shown(found: Found, *events: str, width: int | None = None) -> list[str]:
    return list(lines(Finding(channel="trades", source="main", found=found, events=events), width=width))


def test_all_that_is_known_has_its_line() -> None:
    assert shown(Found(), EVENT) == [
        "trades",
        "  source    main",
        "  table     trades",
        "  identity  id",
        "",
        "  COLUMN  TYPE     FIELD",
        "  id      bigint   -",
        "  price   numeric  last",
        "",
        "  how new rows are found:",
        "    Limit",
        "      ->  Index Scan",
        "  an index serves: it takes as long however large the table grows",
        "",
        "  newest events:",
        f"    {EVENT}",
    ]


def test_without_an_index_it_says_how_one_is_made() -> None:
    statement = "CREATE INDEX ON trades (time);"
    told = shown(Found(served_by_index=False, index=statement))
    assert "  no index serves: each look takes the longer, the larger the table grows" in told
    assert f"    {statement}" in told
    told = shown(Found(served_by_index=False))
    assert [line for line in told if "make one" in line] == []


def test_without_events_it_says_so() -> None:
    assert shown(Found())[-1] == "  newest events: none"


def test_only_in_a_terminal_are_events_cut() -> None:
    long = '{"note":"' + "x" * 500 + '"}'
    assert shown(Found(), long)[-1] == f"    {long}"
    assert shown(Found(), long, width=40)[-1] == '    {"note":"' + "x" * 26 + "…"
    assert shown(Found(), "x" * 36, width=40)[-1] == "    " + "x" * 36


def test_wide_signs_take_two_cells() -> None:
    assert shown(Found(), "漢" * 30, width=21)[-1] == "    " + "漢" * 8 + "…"
    table = shown(Found(columns=(("漢字", "text", "a"), ("id", "bigint", "b"))))
    assert "  漢字    text    a" in table
    assert "  id      bigint  b" in table


def test_what_would_command_a_terminal_is_escaped() -> None:
    odd = "\x1b[31m\x9b\u202e\n\U000e0001é漢"
    assert printable(odd).isprintable()
    assert json.loads(f'"{printable(odd)}"') == odd
    found = Found(columns=((odd, "text", odd),), plan=f"Seq Scan on {odd}", served_by_index=False, index=odd)
    assert [line for line in shown(found) if not line.isprintable()] == []
