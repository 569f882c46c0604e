"""The data of an event as JSON, and read so that it becomes the same bytes again: prices keep their digits.

Must not know what the data says.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

encode = msgspec.json.Encoder(decimal_format="number").encode
"""Data as the appliance writes it."""


def _number(text: str) -> float | Decimal:
    number = float(text)
    return number if encode(number) == text.encode() else Decimal(text)


decode = msgspec.json.Decoder(dict[str, Any], float_hook=_number).decode
"""Data as it was before `encode`: a number that no float is written as is a Decimal."""
