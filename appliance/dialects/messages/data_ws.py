"""The messages of the data-ws dialect as types: a client is told bare rows, and what it says is not looked at.

Must not know where a row comes from.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

Stamp = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""A moment as it is told: RFC 3339 in UTC."""


class Prediction(msgspec.Struct):
    """A row of the table; a column that it lacks is null."""

    time: Stamp
    current_price: float | None
    predicted_1min: float | None
    predicted_5min: float | None
    predicted_15min: float | None
    confidence_1min: float | None
    confidence_5min: float | None
    confidence_15min: float | None
    model_version: str | None


TOLD: tuple[type[msgspec.Struct], ...] = (Prediction,)
