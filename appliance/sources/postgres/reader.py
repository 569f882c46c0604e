"""Reads rows over a connection, in pieces that are bounded by rows and by bytes.

Must not know what the rows are read for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.sources.postgres import rows
from appliance.sources.postgres.statements import Bounds, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.sources.postgres.columns import Selection
    from appliance.sources.postgres.link import Link
    from appliance.sources.postgres.rows import Answer
    from appliance.sources.postgres.settings import TableSettings
    from appliance.sources.postgres.statements import Order, Values


class Reader:
    """Reads a selection in an order.

    Rows that do not fit into an answer have cost the database as much as those that do: where rows are large, fewer
    are asked for at once.
    """

    def __init__(self, selection: Selection, order: Order, settings: TableSettings) -> None:
        self.reading = Reading(selection, order)
        self.order = order
        self._settings = settings
        self._limit = settings.batch

    async def read(
        self,
        link: Link,
        values: Values,
        conditions: Sequence[str],
        *,
        relation: str | None = None,
    ) -> Answer:
        """Read the next rows that meet the conditions, which have their values in `values`."""
        limit, settings = self._limit, self._settings
        bounds = Bounds(rows=limit, bytes=settings.batch_bytes, row_bytes=settings.row_bytes)
        statement = self.reading.read(values, conditions, bounds, relation=relation)
        (answer,) = await link.fetch(statement.sql, *statement.values)
        found = rows.read(answer, limit)
        self._limit = 2 * len(found.heads) if found.is_cut else min(settings.batch, 2 * limit)
        return found

    async def heads(
        self, link: Link, values: Values, conditions: Sequence[str], *, most: int, reverse: bool = False
    ) -> Answer:
        """Read the heads alone of so many rows at most."""
        bounds = Bounds(rows=most, bytes=self._settings.batch_bytes, row_bytes=self._settings.row_bytes)
        statement = self.reading.read(values, conditions, bounds, bodies=False, reverse=reverse)
        (answer,) = await link.fetch(statement.sql, *statement.values)
        return rows.read(answer, most)

    async def newest(self, link: Link, values: Values, conditions: Sequence[str], *, most: int) -> Answer:
        """Read so many rows at most, from the end of the order."""
        bounds = Bounds(rows=most, bytes=self._settings.batch_bytes, row_bytes=self._settings.row_bytes)
        statement = self.reading.read(values, conditions, bounds, reverse=True)
        (answer,) = await link.fetch(statement.sql, *statement.values)
        return rows.read(answer, most)
