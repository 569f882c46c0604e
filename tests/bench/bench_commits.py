"""How long a row takes from its commit to a client, row by row, for each that follows a table.

Must not know what is made of the figures. One thread commits and reads, by one clock. A row counts from when COMMIT is
sent: a notice is often out before that returns. Each round gives every follower some rows, so that what slows the
machine for a while slows all.
"""

from __future__ import annotations

import contextlib
import json
import random
import select
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import attrs

from tests.bench.bench_following import EVERY, bring_up
from tests.bench.bench_recipes import BenchError
from tests.bench.load_client import WRITE, Client, Target
from tests.bench.load_frames import Opcode
from tests.postgres import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.bench.bench_following import Follower
    from tests.postgres import Connection

_TRY = 0.2
"""Seconds between two rows that find out whether a table is followed."""
_WARM_UP = 5
_APART = (0.02, 0.06)
"""Seconds between rows of which notices come, at least and at most: nobody is busy with the one before."""


@attrs.frozen(kw_only=True)
class CommitEffort:
    rounds: int
    rows: int
    """Rows of each follower in a round."""


@attrs.define(eq=False)
class Followed:
    """A follower and a client of it. `delays` are in seconds, by rounds; `clean` says that rows came in their order."""

    follower: Follower
    client: Client
    delays: list[list[float]] = attrs.Factory(list)
    clean: bool = True
    patience: float = 30.0
    """Seconds within which a row must come."""
    _written: int = 0
    _last: int = 0
    _arrived: dict[int, float] = attrs.Factory(dict)

    @property
    def name(self) -> str:
        return self.follower.name

    def begin(self, database: Connection) -> None:
        """Write until rows are told; the rest that was written is then told too."""
        end = time.monotonic() + self.patience
        while not self._last:
            if time.monotonic() > end:
                raise BenchError(f"{self.name}: tells of nothing")
            self._commit(database)
            self._read(time.monotonic() + _TRY)
        self._wait(self._written)
        self._measure(database, _WARM_UP)

    def run_round(self, database: Connection, rows: int) -> None:
        self.delays.append(self._measure(database, rows))

    def _measure(self, database: Connection, rows: int) -> list[float]:
        committed = {}
        start = time.monotonic()
        for count in range(1, rows + 1):
            row, committed[row] = self._commit(database)
            if self.follower.notified:
                self._wait(row)
                self._read(time.monotonic() + random.uniform(*_APART))
            else:  # spread over one interval, so that each part of it counts alike
                self._read(start + count * EVERY / rows)
        return [self._wait(row) - at for row, at in committed.items()]

    def _commit(self, database: Connection) -> tuple[int, float]:
        """Write the next row; gives its number, and when its COMMIT was sent."""
        self._written += 1
        row = self._written
        database.execute("BEGIN")
        database.execute(
            f"INSERT INTO {self.follower.table} (n, symbol, price, note)"  # noqa: S608 - the bench's own
            " VALUES ($1::text::int, 'BTC', $1::text::numeric / 7, 'a row as it is')",
            str(row),
        )
        asked = time.monotonic()
        database.execute("COMMIT")
        return row, asked

    def _wait(self, row: int) -> float:
        """Wait for a row; gives when it came."""
        self._read(time.monotonic() + self.patience, row)
        if row not in self._arrived:
            raise BenchError(f"{self.name}: row {row} did not come within {self.patience:g} s")
        return self._arrived[row]

    def _read(self, until: float, row: int | None = None) -> None:
        """Read until then, or until a row has come."""
        while row not in self._arrived and (left := until - time.monotonic()) > 0:
            writing = [self.client] if self.client.wants & WRITE else []
            if any(select.select([self.client], writing, [], left)):
                self._take()

    def _take(self) -> None:
        messages, now = self.client.pump(), time.monotonic()
        for opcode, payload in messages:
            message = json.loads(payload) if opcode == Opcode.TEXT else {}
            if message.get("type") == "event":
                row = message["data"]["n"]
                self.clean &= row == self._last + 1 or not self._last
                self._last = row
                self._arrived[row] = now


def measure_commits(
    effort: CommitEffort,
    followers: Sequence[Follower],
    appliance: Sequence[str],
    progress: Callable[[str], None],
) -> list[Followed]:
    """Start all that follow, with a database; measure, and leave nothing behind."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        progress(
            f"commits: starting a database and who follows it: {', '.join(one.name for one in followers)}"
        )
        fresh = stack.enter_context(Database()).create()
        urls = bring_up(followers, appliance, fresh, folder, stack=stack)
        database = stack.enter_context(fresh.session())
        every = []
        for follower in followers:
            client = Client(Target(url=urls[follower.name], opening=follower.sends))
            stack.callback(client.close)
            followed = Followed(follower, client)
            followed.begin(database)
            every.append(followed)
        for number in range(effort.rounds):
            for followed in reversed(every) if number % 2 else every:
                followed.run_round(database, effort.rows)
            found = (f"{followed.name} {median(followed.delays[-1]) * 1e3:.1f}" for followed in every)
            progress(f"round {number + 1} of {effort.rounds}, ms from commit to client: {'  '.join(found)}")
        return every
