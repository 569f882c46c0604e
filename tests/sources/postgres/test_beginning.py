from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance.api import Mode
from appliance.core.errors import SourceError
from tests.sources.postgres.following import NUMBERED, TABLE, Died, following

if TYPE_CHECKING:
    from tests.postgres import Fresh
    from tests.sources.postgres.following import Following

ROWS = """
INSERT INTO rows (id, time, symbol) VALUES
  (1, now() - interval '3 hours', 'old'), (2, now() - interval '2 hours', 'BTC'), (3, now() - interval '30 min', 'BTC'),
  (4, now() - interval '20 min', 'ETH'), (5, now() - interval '10 s', 'ETH'), (6, now() - interval '15 s', 'BTC'),
  (7, now() + interval '1 hour', 'ETH'), (8, now() - interval '20 s', NULL);
"""
FOLLOWING = [("window", TABLE), ("xid", NUMBERED)]


async def new(followed: Following) -> list[int]:
    return [row["id"] for row in await followed.poll()]


@pytest.mark.parametrize(
    ("follow", "mode", "changes", "expected"),
    [
        ("window", Mode.LOG, {}, [7]),
        ("window", Mode.STATE, {}, [1, 6, 7]),
        ("window", Mode.STATE, {"snapshot": "none"}, [7]),
        ("window", Mode.LOG, {"snapshot": "latest"}, [1, 6, 7]),
        ("window", Mode.LOG, {"backfill": 3600.0}, [3, 4, 6, 5, 7]),
        ("window", Mode.LOG, {"backfill": 3600.0, "snapshot": "latest"}, [1, 3, 4, 6, 5, 7]),
        ("xid", Mode.LOG, {}, []),
        ("xid", Mode.STATE, {}, [1, 6, 7]),
        ("xid", Mode.STATE, {"snapshot": "none"}, []),
        ("xid", Mode.LOG, {"backfill": 3600.0}, [3, 4, 6, 5, 7]),
        ("xid", Mode.LOG, {"backfill": 3600.0, "snapshot": "latest"}, [1, 3, 4, 6, 5, 7]),
    ],
)
async def test_what_a_first_start_tells(
    fresh: Fresh, follow: str, mode: Mode, changes: dict[str, Any], expected: list[int]
) -> None:
    """Keys' newest rows first, then those of the past that are wanted, in the order of time."""
    fresh.execute(dict(FOLLOWING)[follow] + ROWS)
    for batch in (1, 2, 100):
        async with following(fresh, mode, follow=follow, batch=batch, **changes) as followed:
            assert await new(followed) == expected
            assert await new(followed) == []
            fresh.execute(f"INSERT INTO rows (id, symbol) VALUES ({100 + batch}, 'BTC')")  # noqa: S608 - a number
            assert await new(followed) == [100 + batch]
        fresh.execute("DELETE FROM rows WHERE id > 100")


async def test_without_a_time_the_newest_is_that_of_the_last_transaction(fresh: Fresh) -> None:
    fresh.execute(NUMBERED)
    fresh.execute("INSERT INTO rows (id, symbol, xid) VALUES (9, 'a', NULL), (8, 'b', NULL), (10, 'b', NULL)")
    fresh.execute("INSERT INTO rows (id, symbol) VALUES (2, 'a')")
    fresh.execute("INSERT INTO rows (id, symbol) VALUES (1, 'a')")
    for batch in (1, 100):
        async with following(fresh, Mode.STATE, follow="xid", time=None, batch=batch) as followed:
            assert await new(followed) == [1, 10]


@pytest.mark.parametrize(("follow", "table"), FOLLOWING)
async def test_a_second_start_tells_nothing_of_the_past(fresh: Fresh, follow: str, table: str) -> None:
    fresh.execute(table + ROWS)
    async with following(fresh, Mode.STATE, follow=follow) as followed:
        await new(followed)
        followed.restart()
        assert await new(followed) == []
        fresh.execute("INSERT INTO rows (id, symbol) VALUES (100, 'a')")
        followed.restart()
        assert await new(followed) == [100]


@pytest.mark.parametrize(("follow", "table"), FOLLOWING)
async def test_an_empty_table_is_followed(fresh: Fresh, follow: str, table: str) -> None:
    fresh.execute(table)
    async with following(fresh, Mode.STATE, follow=follow, backfill=60.0) as followed:
        assert await new(followed) == []
        fresh.execute("INSERT INTO rows (id, symbol) VALUES (1, 'a')")
        assert await new(followed) == [1]


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("call", range(1, 9))
@pytest.mark.parametrize(("follow", "table"), FOLLOWING)
async def test_killed_while_it_tells_of_the_past_it_goes_on(
    fresh: Fresh, follow: str, table: str, call: int, side: Any
) -> None:
    fresh.execute(table + ROWS)
    async with following(
        fresh, Mode.STATE, follow=follow, backfill=3600.0, snapshot="latest", batch=1
    ) as followed:
        followed.kill_at(call, side)
        with pytest.raises(Died):
            await followed.poll()
        followed.restart()
        await followed.poll()
        assert followed.feed.disk.told("id") == [1, 3, 4, 6, 5, 7]


async def test_a_row_that_comes_late_while_the_newest_are_told_is_told_once(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    fresh.execute(
        "INSERT INTO rows (id, time, symbol) VALUES (1, now() - interval '5 s', 'a'), (3, now(), 'b')"
    )
    async with following(fresh, Mode.STATE, batch=1) as followed:
        followed.kill_at(2, "after")
        with pytest.raises(Died):
            await followed.poll()
        assert followed.feed.disk.told("id") == [1]
        fresh.execute(
            "INSERT INTO rows (id, time, symbol) SELECT 2, max(time) - interval '1 s', 'c' FROM rows"
        )
        followed.restart()
        assert await new(followed) == [2, 3]


async def test_for_other_rows_it_begins_anew_and_says_so(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    fresh.execute("CREATE TABLE others (LIKE rows INCLUDING ALL)")
    fresh.execute("INSERT INTO others (id, time, symbol) VALUES (1, now() - interval '1 min', 'a')")
    async with following(fresh) as followed:
        await new(followed)
        fresh.execute("INSERT INTO rows (id, symbol) VALUES (1, 'a')")
        await new(followed)
        followed.restart(table="others")
        assert await new(followed) == []
        (warning,) = followed.feed.log.warnings
        assert warning["event"] == "where to go on is not known, the channel begins anew"
        assert "rows in between may be missing" in warning["reason"]
        assert [page for name, page in followed.feed.disk.state.items() if name.startswith("seen/")]
        fresh.execute("INSERT INTO others (id, symbol) VALUES (2, 'a')")
        assert await new(followed) == [2]


async def test_another_overlap_repeats_nothing(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    fresh.execute(
        "INSERT INTO rows (id, time, symbol) VALUES (1, now() - interval '100 s', 'a'), (2, now(), 'a')"
    )
    async with following(fresh, overlap=10.0) as followed:
        await new(followed)
        followed.restart(overlap=1000.0)
        assert await new(followed) == []
        followed.restart(overlap=0.0)
        assert await new(followed) == []
        fresh.execute("INSERT INTO rows (id, symbol) VALUES (3, 'a')")
        assert await new(followed) == [3]


async def test_rows_that_nothing_tells_apart_are_told_of(fresh: Fresh) -> None:
    fresh.execute("CREATE TABLE rows (time timestamptz, symbol text)")
    async with following(fresh) as followed:
        await followed.poll()
        (warning,) = followed.feed.log.warnings
        assert warning["event"] == "rows that are alike in all columns are told once"
        assert "`identity`" in warning["remedy"]


async def test_too_many_rows_in_the_window_are_told_at_once(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    fresh.execute("INSERT INTO rows (symbol) SELECT 'a' FROM generate_series(1, 20)")
    async with following(fresh, window_rows=19) as followed:
        with pytest.raises(SourceError, match="more than 19 rows"):
            await followed.poll()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"table": "row"}, "did you mean `rows`"),
        ({"time": "tme"}, "did you mean `time`"),
        ({"follow": "xid"}, "appliance sql xid TABLE"),
        ({"time": "price"}, "no timestamp"),
    ],
)
async def test_a_table_that_is_not_as_configured_is_told(
    fresh: Fresh, changes: dict[str, Any], words: str
) -> None:
    fresh.execute(TABLE)
    async with following(fresh, **changes) as followed:
        with pytest.raises(SourceError, match=words):
            await followed.poll()


async def test_a_column_that_is_dropped_later_is_told_and_forgotten_at_the_next_start(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    async with following(fresh) as followed:
        await new(followed)
        fresh.execute("ALTER TABLE rows DROP COLUMN price; INSERT INTO rows (id, symbol) VALUES (1, 'a')")
        with pytest.raises(SourceError, match="price"):
            await new(followed)
    async with following(fresh) as again:
        again.feed.disk.state |= followed.feed.disk.state
        assert await again.poll() == [{"id": 1, "time": again.feed.disk.told("time")[0], "symbol": "a"}]
