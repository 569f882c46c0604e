"""Transactions of several sessions at once, in an order that a seed makes: some long, some rolled back, some late."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tests.postgres import Connection, Fresh


@attrs.define
class Writer:
    connection: Connection
    open: list[int] = attrs.field(factory=list)
    is_open: bool = False


@attrs.define
class Workload:
    """`ages` are how many seconds before now a row's time may be; `committed` are the rows that count."""

    fresh: Fresh
    dice: random.Random
    ages: tuple[float, float]
    committed: list[int] = attrs.field(factory=list)
    writers: list[Writer] = attrs.field(factory=list)
    numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))

    def begin(self, writers: int) -> None:
        self.writers = [Writer(self.fresh.connect()) for _ in range(writers)]

    def step(self) -> None:
        """One writer does one thing."""
        writer = self.dice.choice(self.writers)
        match self.dice.random():
            case chance if chance < 0.2 and writer.is_open:
                self._end(writer, "COMMIT")
            case chance if chance < 0.3 and writer.is_open:
                self._end(writer, "ROLLBACK")
            case chance if chance < 0.55 and not writer.is_open:
                writer.connection.execute("BEGIN")
                writer.is_open = True
            case _:
                self._insert(writer)

    def finish(self) -> None:
        for writer in self.writers:
            if writer.is_open:
                self._end(writer, "COMMIT")
            writer.connection.close()

    def _insert(self, writer: Writer) -> None:
        numbers = [next(self.numbers) for _ in range(self.dice.choice((1, 1, 2, 7)))]
        # In whole tenths of a second, so that some are equal.
        age = round(self.dice.uniform(*self.ages), 1)
        # In the reverse of their identity too.
        shuffled = self.dice.sample(numbers, len(numbers))
        values = ", ".join(
            f"({number}, date_trunc('second', clock_timestamp()) - {age} * interval '1 s', 's{number % 3}')"
            for number in shuffled
        )
        writer.connection.execute(f"INSERT INTO rows (id, time, symbol) VALUES {values}")  # noqa: S608 - numbers of our own
        if writer.is_open:
            writer.open += numbers
        else:
            self.committed += numbers

    def _end(self, writer: Writer, how: str) -> None:
        writer.connection.execute(how)
        if how == "COMMIT":
            self.committed += writer.open
        writer.open.clear()
        writer.is_open = False
