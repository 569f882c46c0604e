from __future__ import annotations

from typing import Any

import pytest

from appliance.core.errors import SourceError
from appliance.sources.postgres.columns import Column, Described, Key, listed, select
from appliance.sources.postgres.settings import TableSettings

TYPES = {
    "text": (25, "S"),
    "bigint": (20, "N"),
    "integer": (23, "N"),
    "smallint": (21, "N"),
    "double precision": (701, "N"),
    "real": (700, "N"),
    "numeric": (1700, "N"),
    "timestamp with time zone": (1184, "D"),
    "timestamp without time zone": (1114, "D"),
    "date": (1082, "D"),
    "uuid": (2950, "U"),
    "jsonb": (3802, "U"),
    "xid8": (5069, "U"),
    "integer[]": (1007, "A"),
}


def column(name: str, kind: str = "text", *, required: bool = False) -> Column:
    oid, category = TYPES[kind]
    return Column(name=name, oid=oid, kind=kind, shown=kind, category=category, required=required)


TABLE = Described(
    relation='"public"."rows"',
    name="the table rows",
    columns=(
        column("id", "bigint", required=True),
        column("at", "timestamp with time zone", required=True),
        column("symbol"),
        column("exchange"),
        column("price", "double precision"),
        column("number", "xid8"),
    ),
    primary=("id",),
    version=160_000,
)


def settings(**changes: Any) -> TableSettings:
    return TableSettings(**{"table": "rows", "key": "symbol", "time": "at", **changes})


def key(text: str) -> Key:
    return select(TABLE, settings(key=text)).key


def test_the_primary_key_tells_rows_apart() -> None:
    selection = select(TABLE, settings())
    assert listed(selection.identity) == "`id`"
    assert not selection.is_vague


def test_the_columns_that_are_named_tell_rows_apart() -> None:
    assert listed(select(TABLE, settings(identity=("symbol", "at"))).identity) == "`symbol`, `at`"


def test_where_nothing_does_all_columns_tell_rows_apart() -> None:
    bare = Described(relation="a", name="a", columns=TABLE.columns, version=160_000)
    selection = select(bare, settings())
    assert selection.identity == bare.columns
    assert selection.is_vague


def test_all_columns_are_fields_unless_some_are_named() -> None:
    assert [field for _, field in select(TABLE, settings()).fields] == [
        *("id", "at", "symbol", "exchange", "price", "number"),
    ]
    chosen = select(TABLE, settings(columns={"price": "last", "symbol": "symbol"}))
    assert [(each.name, field) for each, field in chosen.fields] == [("price", "last"), ("symbol", "symbol")]
    assert chosen.floats == ("last",)


def test_a_key_is_a_column() -> None:
    assert key("symbol").sql == 't."symbol"::text'
    assert key("symbol").column == TABLE.columns[2]
    assert key("symbol").constant is None


def test_a_key_is_a_template() -> None:
    found = key("{exchange}:{{{symbol}}}'")
    assert found.sql == """t."exchange"::text || ':' || '{' || t."symbol"::text || '}' || ''''"""
    assert found.column is None
    assert found.constant is None


def test_a_key_is_a_text() -> None:
    assert key("'it''s {not} a column'").sql == "'it''s {not} a column'"
    assert key("'BTC'").constant == "BTC"
    assert key("'BTC'").column is None


@pytest.mark.parametrize("text", ["{symbol", "symbol}", "{}", "{symbol}}", "{{symbol}"])
def test_a_template_with_a_brace_too_many_is_told(text: str) -> None:
    with pytest.raises(SourceError, match="a brace without its other"):
        key(text)


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"key": "symbl"}, "key"),
        ({"key": "{exchange}:{symbl}"}, "key"),
        ({"time": "symbl"}, "time"),
        ({"identity": ("symbl",)}, "identity"),
        ({"columns": {"symbl": "symbol"}}, "columns"),
    ],
)
def test_a_column_that_is_missing_is_told_with_the_nearest(changes: dict[str, Any], setting: str) -> None:
    with pytest.raises(
        SourceError, match=f"the table rows has no column `symbl`, which `{setting}` names"
    ) as told:
        select(TABLE, settings(**changes))
    assert "did you mean `symbol`?" in str(told.value)
    assert "columns there: `id`, `at`, `symbol`, `exchange`, `price`, `number`" in str(told.value)


def test_a_time_must_be_a_timestamp() -> None:
    with pytest.raises(
        SourceError, match=r"is bigint, and no timestamp; .* to_timestamp\(\"id\"\) AS moment"
    ):
        select(TABLE, settings(time="id"))
    with pytest.raises(SourceError, match=r"is text, and no timestamp; .* \"symbol\"::timestamptz AS moment"):
        select(TABLE, settings(time="symbol"))


def test_a_time_may_be_without_a_zone() -> None:
    plain = Described(
        relation="a",
        name="a",
        columns=(column("at", "timestamp without time zone"), column("symbol")),
        version=0,
    )
    assert select(plain, settings()).time == plain.columns[0]


def test_following_by_xid_needs_its_column() -> None:
    assert select(TABLE, settings(follow="xid", xid="number")).xid == TABLE.columns[5]
    assert select(TABLE, settings()).xid is None
    with pytest.raises(SourceError, match=r"has no column `xid`.*appliance sql xid TABLE"):
        select(TABLE, settings(follow="xid"))
    with pytest.raises(SourceError, match=r"is bigint, and not xid8.*appliance sql xid TABLE"):
        select(TABLE, settings(follow="xid", xid="id"))


def test_a_field_with_too_long_a_name_is_told() -> None:
    with pytest.raises(SourceError, match="too long"):
        select(TABLE, settings(columns={"price": "p" * 64}))


@pytest.mark.parametrize(
    ("kind", "required", "is_ordered"),
    [
        ("bigint", True, True),
        ("bigint", False, False),
        ("uuid", True, True),
        ("text", True, True),
        ("jsonb", True, False),
        ("integer[]", True, False),
    ],
)
def test_which_columns_have_an_order_that_an_index_may_serve(
    kind: str, *, required: bool, is_ordered: bool
) -> None:
    assert column("a", kind, required=required).is_ordered is is_ordered


@pytest.mark.parametrize(
    ("kind", "text", "condition"),
    [
        ("text", "BTC", 't."a" = $1::text'),
        ("integer", "17", 't."a" = $1::integer'),
        ("integer", "-1", 't."a" = $1::integer'),
        ("integer", "99999999999", 't."a"::text = $1'),
        ("integer", "+1", 't."a"::text = $1'),
        ("smallint", "012", 't."a"::text = $1'),
        ("bigint", "BTC", 't."a"::text = $1'),
        ("uuid", "0a7e9c4c-38a4-4d5b-9d0d-8d3f3f9d8a11", 't."a" = $1::uuid'),
        ("uuid", "BTC", 't."a"::text = $1'),
        ("numeric", "1", 't."a"::text = $1'),
    ],
)
def test_a_key_is_asked_for_so_that_no_text_fails(kind: str, text: str, condition: str) -> None:
    assert column("a", kind).matches(text, "$1") == condition


def test_before_version_14_numbers_are_never_infinite() -> None:
    assert "Infinity" not in column("a", "numeric").json(130_000)
    assert "Infinity" in column("a", "numeric").json(140_000)
