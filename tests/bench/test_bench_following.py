from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from websockets.sync.client import connect

from tests.bench.bench_following import FOLLOWERS, bring_up
from tests.bench.bench_recipes import BenchError
from tests.postgres import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.bench_following import Follower
    from tests.postgres import Fresh

WITHIN = 30.0
APPLIANCE = [sys.executable, "-m", "appliance.cli.main"]
NOTIFIED = [follower for follower in FOLLOWERS if follower.notified]


@pytest.fixture(scope="module")
def fresh() -> Iterator[Fresh]:
    with Database() as database:
        yield database.create()


def test_each_follower_has_a_name_and_a_table_of_its_own() -> None:
    assert len({follower.name for follower in FOLLOWERS}) == len(FOLLOWERS)
    assert len({follower.table for follower in FOLLOWERS}) == len(FOLLOWERS)
    assert not any("," in follower.name for follower in FOLLOWERS)


@pytest.mark.parametrize("follower", NOTIFIED, ids=lambda follower: follower.name)
def test_a_client_of_a_follower_gets_rows_of_its_table(
    follower: Follower, fresh: Fresh, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        urls = bring_up([follower], APPLIANCE, fresh, tmp_path, stack=stack)
        client = stack.enter_context(connect(urls[follower.name], proxy=None))
        for message in follower.sends:
            client.send(message)
        told: dict[str, object] = {}
        end = time.monotonic() + WITHIN
        while "n" not in told and time.monotonic() < end:
            fresh.execute(f"INSERT INTO {follower.table} (n, symbol) VALUES (7, 'BTC')")  # noqa: S608 - the bench's own
            try:
                message = json.loads(client.recv(timeout=0.3))
            except TimeoutError:
                continue
            told = message["data"] if message["type"] == "event" else {}
    assert (told["n"], told["symbol"]) == (7, "BTC")


def test_a_server_that_fails_at_its_start_is_told_with_its_own_words(fresh: Fresh, tmp_path: Path) -> None:
    (beat,) = (follower for follower in FOLLOWERS if not follower.notified)
    broken = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    with (
        ExitStack() as stack,
        pytest.raises(BenchError, match=r"(?s)appliance full: ended with 1.*no such thing"),
    ):
        bring_up([beat], broken, fresh, tmp_path, stack=stack)
