"""Answers of the database read: heads of rows, and the events that their bodies become.

Must not know how rows are asked for, nor what has been told before.
"""

from __future__ import annotations

import decimal
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from appliance.api import Row
from appliance.settings.quantities import size_text
from appliance.sources.postgres.statements import SEPARATOR, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_decode = msgspec.json.Decoder(float_hook=decimal.Decimal).decode
_MOST_TOLD = 5
"""Rows of one read that are told of one by one when they are left out."""
_SHOWN = 120


class Head(msgspec.Struct, array_like=True, frozen=True):
    """What is known of a row beside its data. `micros` is its time since 1970, UTC."""

    leading: str | None
    micros: int | None
    identity: str
    hash: int
    key: str | None
    size: int

    @property
    def place(self) -> Place:
        return Place(self.leading, self.identity)

    @property
    def at(self) -> float | None:
        return None if self.micros is None else self.micros / 1e6


_heads = msgspec.json.Decoder(list[Head]).decode


@attrs.frozen(kw_only=True)
class Answer:
    """One read: rows in the order that was asked for, and the text of the data of each.

    `is_cut` says that there was no room for all that were looked at, `more` that there may be others behind the last.
    `now` is the time of the database in microseconds. Transactions below `xmin` have ended, and none has a number of
    `xmax` or more.
    """

    heads: Sequence[Head]
    bodies: Sequence[str]
    is_cut: bool
    more: bool
    now: int
    xmin: int
    xmax: int

    @property
    def rows(self) -> Iterator[tuple[Head, str]]:
        return zip(self.heads, self.bodies, strict=True)


def read(answer: Sequence[Any], limit: int) -> Answer:
    """Read the one row that a statement of `Reading.read` gives, which was to look at so many rows at most."""
    heads, bodies, looked, now, xmin, xmax = answer
    found = _heads(heads) if heads else []
    return Answer(
        heads=found,
        bodies=bodies.split(SEPARATOR) if bodies is not None and found else [""] * len(found),
        is_cut=len(found) < looked,
        more=len(found) < looked or looked >= limit,
        now=now,
        xmin=int(xmin or 0),
        xmax=int(xmax or 0),
    )


class Events:
    """Makes events of rows. What cannot be one is told of in the log and left out."""

    def __init__(self, *, key: str, floats: Iterable[str], row_bytes: int, log: Any = None) -> None:  # noqa: ANN401 - a structlog logger
        """`key` is the setting, for messages; `floats` are the fields that are no decimal numbers. Without a `log`,
        nobody is told of what is left out.
        """
        self._key = key
        self._floats = tuple(floats)
        self._row_bytes = row_bytes
        self._log = log

    def make(self, rows: Iterable[tuple[Head, str]]) -> Iterator[Row]:
        """Give the events one by one, so that others get a turn between two."""
        left_out = 0
        for head, body in rows:
            event = self._event(head, body)
            if isinstance(event, Row):
                yield event
                continue
            left_out += 1
            if left_out <= _MOST_TOLD and self._log is not None:
                self._log.warning("row left out", row=_shown(head), reason=event)
        if left_out > _MOST_TOLD and self._log is not None:
            self._log.warning("more rows left out", rows=left_out - _MOST_TOLD)

    def _event(self, head: Head, body: str) -> Row | str:
        """The event of a row, or why it is none."""
        if head.size > self._row_bytes:
            return (
                f"it has {head.size:,} bytes, and `row_bytes` is {size_text(self._row_bytes)}; raise that, or name the"
                " fields that are wanted in `columns`"
            )
        if head.key is None:
            return f"its key, {self._key}, is NULL; set it, or leave such rows out with a `query`"
        try:
            data = _decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            return f"its data cannot be read ({error}); leave out what it cannot be read for in `columns`"
        for field in self._floats:
            if data[field] is not None:
                data[field] = float(data[field])
        return Row(head.key, data, head.at)


def _shown(head: Head) -> str:
    identity = head.identity if len(head.identity) <= _SHOWN else f"{head.identity[:_SHOWN]}…"
    return identity if head.leading is None else f"{head.leading} {identity}"
