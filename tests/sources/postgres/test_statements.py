from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import pytest

from appliance.sources.postgres import rows
from appliance.sources.postgres.columns import Selection, select
from appliance.sources.postgres.description import describe
from appliance.sources.postgres.settings import TableSettings
from appliance.sources.postgres.statements import Bounds, Place, Reading, Values, order_by
from tests.sources.postgres.following import TABLE, following, linked
from tests.sources.postgres.values import VALUES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.sources.postgres.link import Link
    from appliance.sources.postgres.rows import Answer
    from tests.postgres import Fresh

TYPES = """
CREATE TYPE side AS ENUM ('buy', 'sell'); CREATE DOMAIN fee AS numeric(5, 2); CREATE TYPE leg AS (n int, t text);
"""
BOUNDS = Bounds(rows=1_000, bytes=1_000_000, row_bytes=100_000)
ONE = attrs.evolve(BOUNDS, rows=1)


async def selection(link: Link, **changes: Any) -> Selection:
    settings = TableSettings(**{"table": "rows", "key": "'all'", "time": "time", **changes})
    return select(await describe(link, settings), settings)


async def read(
    link: Link,
    reading: Reading,
    values: Values,
    conditions: Sequence[str],
    bounds: Bounds = BOUNDS,
    **how: Any,
) -> Answer:
    statement = reading.read(values, conditions, bounds, **how)
    (answer,) = await link.fetch(statement.sql, *statement.values)
    return rows.read(answer, bounds.rows)


async def test_each_type_has_its_form(fresh: Fresh) -> None:
    """All at once: more columns than a function of PostgreSQL takes arguments, in more than one table's worth."""
    columns = ", ".join(f"c{number} {kind}" for number, (kind, _, _) in enumerate(VALUES))
    values = ", ".join(f"{sql}::{kind}" for kind, sql, _ in VALUES)
    fresh.execute(f"{TYPES} {TABLE} CREATE TABLE kinds ({columns})")
    fresh.execute(f"INSERT INTO kinds SELECT {values}")
    query = "SELECT *, now() AS time, 'all' AS symbol, 1 AS id FROM kinds"
    async with following(fresh, query=query, identity=("id",), key="'all'", snapshot="latest") as followed:
        await followed.poll()
    (event,) = followed.feed.disk.events
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    found = {
        (kind, sql): bytes(decode(event.body)[f"c{number}"]).decode()
        for number, (kind, sql, _) in enumerate(VALUES)
    }
    expected = {(kind, sql): sql if form is None else form for kind, sql, form in VALUES}
    assert {at: _same(text) for at, text in found.items()} == {
        at: _same(text) for at, text in expected.items()
    }


def _same(text: str) -> str:
    """Escapes do not count, digits do."""
    if text.startswith(('"', "{", "[")):
        return json.dumps(json.loads(text, parse_float=str), sort_keys=True)
    return text.lower().replace("e+", "e")


async def test_numbers_without_end(fresh: Fresh) -> None:
    if fresh.execute("SELECT current_setting('server_version_num')::int >= 140000")[0][0]:
        query = "SELECT 1 AS id, now() AS time, 'Infinity'::numeric AS up, '-Infinity'::numeric AS down"
        async with following(
            fresh, query=query, identity=("id",), key="'all'", snapshot="latest"
        ) as followed:
            await followed.poll()
        assert followed.feed.disk.told("up") == followed.feed.disk.told("down") == [None]


async def test_a_table_may_have_hundreds_of_columns(fresh: Fresh) -> None:
    columns = ", ".join(f"c{number} int DEFAULT {number}" for number in range(300))
    fresh.execute(f"CREATE TABLE rows (time timestamptz, {columns})")
    fresh.execute("INSERT INTO rows VALUES (now())")
    async with following(fresh, key="'all'", snapshot="latest") as followed:
        (row,) = await followed.poll()
    assert row["c299"] == 299


async def test_names_that_need_quotes(fresh: Fresh) -> None:
    fresh.execute(
        'CREATE TABLE "Order" ("a""b" int PRIMARY KEY, "größe {x}" timestamptz, "$1" text, "100%" text)'
    )
    fresh.execute("""INSERT INTO "Order" VALUES (1, '2024-01-01', 'it''s', 'y')""")
    settings: dict[str, Any] = {
        "table": '"Order"',
        "time": "größe {x}",
        "key": "{$1}/{100%}",
        "columns": {'a"b': "n\\'\"", "$1": "größe"},
        "snapshot": "latest",
    }
    async with following(fresh, **settings) as followed:
        await followed.poll()
    (event,) = followed.feed.disk.events
    assert (event.key, event.data) == ("it's/y", {"n\\'\"": 1, "größe": "it's"})


IDENTITIES = [
    ("bigint PRIMARY KEY", True),
    ("text PRIMARY KEY", True),
    ("numeric PRIMARY KEY", True),
    ("timestamptz PRIMARY KEY", True),
    ("uuid PRIMARY KEY", True),
    ("bytea PRIMARY KEY", True),
    ("date PRIMARY KEY", True),
    ("interval PRIMARY KEY", True),
    ("double precision PRIMARY KEY", True),
    ("char(3) PRIMARY KEY", True),
    ("side PRIMARY KEY", True),
    ("bigint UNIQUE", False),
    ("integer[] PRIMARY KEY", False),
    ("jsonb PRIMARY KEY", False),
]
SOME = {
    "bigint": ["-5", "0", "7", "10", "9223372036854775807"],
    "text": ["''", "'10'", "'9'", "'it''s'", "E'new\\nline'", "'\"quoted\"'", "'null'", "'😀'"],
    "numeric": ["'NaN'", "1.50", "-7", "12345678901234567890.123456789"],
    "timestamptz": ["'infinity'", "'-infinity'", "'2024-01-01 00:00:00.000001+02'", "'0044-03-15 BC'"],
    "uuid": ["gen_random_uuid()", "gen_random_uuid()"],
    "bytea": ["'\\x00'", "'\\xff5c'", "''"],
    "date": ["'2024-01-01'", "'infinity'"],
    "interval": ["'1 month'", "'29 days'", "'-1.5 s'"],
    "double": ["'NaN'", "'Infinity'", "0.1", "1e-300"],
    "char(3)": ["'a'", "'ab'", "''"],
    "side": ["'buy'", "'sell'"],
    "integer[]": ["'{}'", "'{1,2}'", "'{NULL}'"],
    "jsonb": ["'1'", "'\"1\"'", "'{\"a\": [1]}'", "'null'"],
}


@pytest.mark.parametrize(("declared", "is_native"), IDENTITIES)
async def test_rows_are_asked_for_behind_any_identity(
    fresh: Fresh, declared: str, *, is_native: bool
) -> None:
    """Piece by piece, one row each, all rows come, once each, and none behind a place that is not."""
    kind = declared.partition(" ")[0]
    values = [*SOME[kind], *(["NULL"] if "UNIQUE" in declared else [])]
    fresh.execute(
        f"{TYPES} CREATE TABLE rows (id {declared}, time timestamptz NOT NULL DEFAULT '2024-01-01')"
    )
    for value in values:
        fresh.execute(f"INSERT INTO rows VALUES ({value})")  # noqa: S608 - values of this module
    async with linked(fresh) as link:
        found = await selection(link, identity=("id",))
        order = order_by(found.time, found.identity)
        assert order.is_native is is_native
        reading, place = Reading(found, order), Place("-infinity")
        told = []
        for _ in values:
            values_behind = Values()
            answer = await read(link, reading, values_behind, [order.behind(place, values_behind)], ONE)
            told.append(answer.heads[0].identity)
            place = answer.heads[0].place
            values_until = Values()
            before = await read(link, reading, values_until, [order.until(place, values_until)])
            assert [head.identity for head in before.heads] == told
        last = Values()
        assert (await read(link, reading, last, [order.behind(place, last)])).heads == []
        assert len(set(told)) == len(values)
        back = Values()
        among = [order.among(json.dumps(told[:2]), back)]
        assert {head.identity for head in (await read(link, reading, back, among)).heads} == set(told[:2])


@pytest.mark.parametrize("identity", [("id",), ("id", "symbol"), ("time", "id"), ("time",), ()])
async def test_an_order_goes_by_time_and_then_by_identity(fresh: Fresh, identity: tuple[str, ...]) -> None:
    """Forwards, backwards, and from a time on."""
    fresh.execute(TABLE)
    fresh.execute("""
        INSERT INTO rows (id, time, symbol)
        SELECT i, '2024-01-01 00:00:00+00'::timestamptz + i * interval '1 s', 's' FROM generate_series(1, 9) i""")
    async with linked(fresh) as link:
        found = await selection(link, identity=identity)
        order = order_by(found.time, found.identity)
        assert "time" not in {column.name for column in order.identity}
        reading = Reading(found, order)
        forwards = (await read(link, reading, Values(), [])).heads
        backwards = (await read(link, reading, Values(), [], reverse=True)).heads
        assert [head.leading for head in forwards] == [
            f"2024-01-01 00:00:0{second}+00" for second in range(1, 10)
        ]
        assert backwards == forwards[::-1]
        values = Values()
        from_then = await read(link, reading, values, [order.behind(Place("2024-01-01 00:00:07+00"), values)])
        assert from_then.heads == forwards[6:]
        values = Values()
        before = await read(link, reading, values, [order.until(Place("2024-01-01 00:00:07+00"), values)])
        assert before.heads == forwards[:6]
        values = Values()
        before = await read(link, reading, values, [order.before(forwards[6].place, values)])
        assert before.heads == forwards[:6]


async def test_times_are_read_to_the_microsecond_and_clamped(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    fresh.execute("""INSERT INTO rows (time) VALUES
        ('1969-12-31 23:59:59.999999+00'), ('2024-01-01 12:00:00.123457+00'), ('infinity'), ('294000-01-01')""")
    async with linked(fresh) as link:
        found = await selection(link)
        answer = await read(link, Reading(found, order_by(found.time, found.identity)), Values(), [])
    last = 253402300799_999999
    assert [head.micros for head in answer.heads] == [-1, 1704110400_123457, last, last]
    assert answer.heads[-1].leading == "infinity"


async def test_a_time_without_a_zone_is_utc(fresh: Fresh) -> None:
    fresh.execute("CREATE TABLE rows (id int PRIMARY KEY, time timestamp)")
    fresh.execute("INSERT INTO rows VALUES (1, '2024-07-01 12:00:00')")
    async with linked(fresh) as link:
        found = await selection(link)
        answer = await read(link, Reading(found, order_by(found.time, found.identity)), Values(), [])
    assert answer.heads[0].at == 1719835200.0


async def test_a_read_is_bounded_by_bytes_but_for_one_row(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    fresh.execute("INSERT INTO rows (symbol) SELECT repeat('x', 5000) FROM generate_series(1, 10)")
    async with linked(fresh) as link:
        found = await selection(link)
        reading = Reading(found, order_by(found.time, found.identity))
        some = await read(link, reading, Values(), [], Bounds(rows=100, bytes=17_000, row_bytes=10_000))
        assert (len(some.heads), some.is_cut, some.more) == (4, True, True)
        one = await read(link, reading, Values(), [], Bounds(rows=100, bytes=10, row_bytes=10_000))
        assert (len(one.heads), one.is_cut) == (1, True)
        heads = await read(
            link, reading, Values(), [], Bounds(rows=100, bytes=17_000, row_bytes=10), bodies=False
        )
        assert (len(heads.heads), heads.more) == (10, False)


async def test_a_row_that_is_too_large_is_not_sent(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    fresh.execute("INSERT INTO rows (symbol) VALUES (repeat('x', 1000000)), ('small')")
    async with linked(fresh) as link:
        found = await selection(link)
        reading = Reading(found, order_by(found.time, found.identity))
        answer = await read(link, reading, Values(), [], Bounds(rows=100, bytes=10_000, row_bytes=5_000))
    assert answer.heads[0].size > 1_000_000
    assert answer.bodies[0] == ""
    assert json.loads(answer.bodies[1])["symbol"] == "small"


async def test_an_endless_key_is_cut(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    fresh.execute("INSERT INTO rows (symbol) VALUES (repeat('x', 100000))")
    async with linked(fresh) as link:
        found = await selection(link, key="symbol")
        answer = await read(link, Reading(found, order_by(found.time, found.identity)), Values(), [], ONE)
    assert answer.heads[0].key == "x" * 300


async def test_the_digest_is_that_of_the_heads(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    fresh.execute("""
        INSERT INTO rows (time)
        SELECT '2024-01-01 00:00:00+00'::timestamptz + i * interval '1 s' FROM generate_series(1, 100) i""")
    async with linked(fresh) as link:
        found = await selection(link)
        reading = Reading(found, order_by(found.time, found.identity))
        heads = (await read(link, reading, Values(), [])).heads
        for where, reached in ((heads[9].place, 1704067210_000000), (Place("infinity"), None)):
            values = Values()
            conditions = [reading.order.until(heads[9].place, values)]
            statement = reading.digest(values, conditions, where, most=50)
            ((count, total, until),) = await link.fetch(statement.sql, *statement.values)
            assert (count, int(total)) == (10, sum(head.hash for head in heads[:10]))
            if reached is not None:
                assert until == reached
            else:
                assert abs(until - heads[0].micros) > 10**12
                assert until < fresh.execute("SELECT (extract(epoch FROM now()) * 1000000)::int8 + 1")[0][0]
        values = Values()
        statement = reading.digest(values, [], heads[0].place, most=50)
        assert (await link.fetch(statement.sql, *statement.values))[0][0] == 50


async def test_a_body_is_made_once(fresh: Fresh) -> None:
    """And not for each place where its length counts."""
    fresh.execute(TABLE)
    async with linked(fresh) as link:
        found = await selection(link)
        values = Values()
        statement = Reading(found, order_by(found.time, found.identity)).read(values, [], BOUNDS)
        lines = await link.fetch(f"EXPLAIN (VERBOSE) {statement.sql}", *statement.values)
    assert "\n".join(line for (line,) in lines).count("row_to_json(") == 1


MANY = """
INSERT INTO rows (id, time, symbol)
SELECT i, '2024-01-01 00:00:00+00'::timestamptz + i * interval '1 s', 'a' FROM generate_series(1, 50000) i;
ANALYZE rows;
"""


async def explained(link: Link, statement: Any) -> str:
    lines = await link.fetch(f"EXPLAIN {statement.sql}", *statement.values)
    return "\n".join(line for (line,) in lines)


async def test_an_index_serves_to_find_new_rows(fresh: Fresh) -> None:
    fresh.execute(f"{TABLE} {MANY}")
    async with linked(fresh) as link:
        found = await selection(link)
        order = order_by(found.time, found.identity)
        values = Values()
        conditions = [order.behind(Place("2024-01-01 00:00:00+00", "[7]"), values)]
        plan = await explained(link, Reading(found, order).read(values, conditions, BOUNDS))
    assert 'Index Cond: (ROW("time", id) > ROW(' in plan
    assert "Sort" not in plan


async def test_an_index_on_the_time_alone_serves_too(fresh: Fresh) -> None:
    fresh.execute(
        f"CREATE TABLE rows (id bigint, time timestamptz, symbol text); CREATE INDEX ON rows (time); {MANY}"
    )
    async with linked(fresh) as link:
        found = await selection(link, identity=("id",))
        order = order_by(found.time, found.identity)
        values = Values()
        conditions = [order.behind(Place("2024-01-01 00:00:00+00", "[7]"), values)]
        plan = await explained(link, Reading(found, order).read(values, conditions, BOUNDS))
    assert 'Index Cond: ("time" >=' in plan
    assert "Incremental Sort" in plan


async def test_the_newest_row_of_each_key(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    fresh.execute("""INSERT INTO rows (id, time, symbol) VALUES
        (1, '2024-01-01', 'a'), (2, '2024-01-03', 'a'), (3, '2024-01-02', 'b'), (5, '2024-01-02', 'b'),
        (4, '2024-01-02', 'b'), (6, '2024-01-05', NULL)""")
    async with linked(fresh) as link:
        found = await selection(link, key="{symbol}")
        reading = Reading(found, order_by(found.time, found.identity))
        answer = await read(link, reading, Values(), [], relation=reading.latest([]))
    assert [(head.key, head.identity) for head in answer.heads] == [("b", "[5]"), ("a", "[2]")]
