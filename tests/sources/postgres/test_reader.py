from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.sources.postgres.columns import select
from appliance.sources.postgres.description import describe
from appliance.sources.postgres.reader import Reader
from appliance.sources.postgres.settings import TableSettings
from appliance.sources.postgres.statements import Place, Values, order_by
from tests.sources.postgres.following import TABLE, linked

if TYPE_CHECKING:
    from appliance.sources.postgres.link import Link
    from tests.postgres import Fresh


async def reader(link: Link, **changes: Any) -> Reader:
    settings = TableSettings(**{"table": "rows", "key": "symbol", "time": "time", **changes})
    selection = select(await describe(link, settings), settings)
    return Reader(selection, order_by(selection.time, selection.identity), settings)


async def pieces(link: Link, reading: Reader) -> list[int]:
    """Read all, and give how many rows each piece had."""
    sizes: list[int] = []
    place: Place | None = None
    while True:
        values = Values()
        conditions = [] if place is None else [reading.order.behind(place, values)]
        answer = await reading.read(link, values, conditions)
        sizes.append(len(answer.heads))
        if not answer.more:
            return sizes
        place = answer.heads[-1].place


async def test_rows_come_in_pieces(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    fresh.execute("INSERT INTO rows (symbol) SELECT 'a' FROM generate_series(1, 25)")
    async with linked(fresh) as link:
        assert await pieces(link, await reader(link, batch=10)) == [10, 10, 5]


async def test_where_rows_are_large_fewer_are_asked_for(fresh: Fresh) -> None:
    """Else the database would make a hundred large rows for each few that have room."""
    fresh.execute(TABLE)
    fresh.execute("INSERT INTO rows (symbol) SELECT repeat('x', 2000) FROM generate_series(1, 40)")
    fresh.execute("INSERT INTO rows (symbol) SELECT 'a' FROM generate_series(1, 200)")
    async with linked(fresh) as link:
        reading = await reader(link, batch=100, batch_bytes=10_000, row_bytes=10_000)
        link.values.clear()
        sizes = await pieces(link, reading)
        asked = [
            int(next(value for value in values if value and value.isdigit()) or 0) for values in link.values
        ]
    assert sizes[:5] == [5, 5, 5, 5, 5]
    assert asked[:5] == [100, 10, 10, 10, 10]
    assert max(asked[-2:]) > 50
    assert sum(sizes) == 240
    assert len(sizes) < 18


async def test_the_newest_rows(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    fresh.execute("INSERT INTO rows (symbol) SELECT i::text FROM generate_series(1, 25) i")
    async with linked(fresh) as link:
        answer = await (await reader(link)).newest(link, Values(), [], most=2)
    assert [head.key for head in answer.heads] == ["25", "24"]
    assert answer.more


async def test_heads_come_without_bodies(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    fresh.execute("INSERT INTO rows (symbol) SELECT i::text FROM generate_series(1, 3) i")
    async with linked(fresh) as link:
        reading = await reader(link)
        answer = await reading.heads(link, Values(), [], most=2)
        back = await reading.heads(link, Values(), [], most=1, reverse=True)
    assert [head.identity for head in answer.heads] == ["[1]", "[2]"]
    assert answer.bodies == ["", ""]
    assert [head.identity for head in back.heads] == ["[3]"]
