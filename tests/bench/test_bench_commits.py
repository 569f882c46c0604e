from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.bench.bench_commits import CommitEffort, Followed, measure_commits
from tests.bench.bench_following import FOLLOWERS, PEER, Follower
from tests.bench.bench_recipes import BenchError
from tests.bench.load_client import Client, Target
from tests.bench.scripted_server import sends, serving
from tests.postgres import Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Connection

APPLIANCE = [sys.executable, "-m", "appliance.cli.main"]
SOME = [follower for follower in FOLLOWERS if follower.name in (PEER, "window full", "xid full")]
LONE = Follower(name="lone", server=PEER)


@pytest.fixture(scope="module")
def database() -> Iterator[Connection]:
    with Database() as server:
        fresh = server.create()
        fresh.execute(LONE.sql)
        with fresh.session() as connection:
            yield connection


@contextlib.contextmanager
def told(*rows: int, patience: float = 20.0) -> Iterator[Followed]:
    """Follow a server that tells these rows, whatever is in the table."""
    texts = [json.dumps({"type": "event", "data": {"n": row}}) for row in rows]
    with (
        serving(sends(json.dumps({"type": "subscribed"}), *texts)) as url,
        contextlib.closing(Client(Target(url=url))) as client,
    ):
        yield Followed(LONE, client, patience=patience)


def test_each_round_gives_the_delay_of_each_row_and_all_are_told_of() -> None:
    lines: list[str] = []
    every = measure_commits(CommitEffort(rounds=2, rows=3), SOME, APPLIANCE, lines.append)
    assert [followed.name for followed in every] == [PEER, "window full", "xid full"]
    for followed in every:
        assert [len(delays) for delays in followed.delays] == [3, 3]
        assert all(0 < delay < followed.patience for delays in followed.delays for delay in delays)
        assert followed.clean
    assert [line.split(",")[0] for line in lines[1:]] == ["round 1 of 2", "round 2 of 2"]


@pytest.mark.parametrize(
    ("rows", "clean"),
    [(range(1, 9), True), ((1, 2, 2, *range(3, 9)), False), ((1, 3, 2, *range(4, 9)), False)],
    ids=["in order", "twice", "out of order"],
)
def test_rows_that_come_twice_or_out_of_order_are_noticed(
    rows: tuple[int, ...], database: Connection, *, clean: bool
) -> None:
    with told(*rows) as followed:
        followed.begin(database)
    assert followed.clean is clean


def test_one_who_tells_nothing_or_not_all_is_not_waited_for_for_ever(database: Connection) -> None:
    with told(patience=0.5) as followed, pytest.raises(BenchError, match="lone: tells of nothing"):
        followed.begin(database)
    with told(1, 2, patience=0.5) as followed, pytest.raises(BenchError, match="lone: row 3 did not come"):
        followed.begin(database)
