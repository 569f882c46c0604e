"""The settings of the channel, and the horizons that predictions have.

Must not know how predictions are scored.
"""

from __future__ import annotations

from types import MappingProxyType

import attrs
from attrs.validators import ge, gt, le, matches_re

HORIZONS = MappingProxyType({"1min": 60.0, "5min": 300.0, "15min": 900.0})

_CHANNEL = "[a-z][a-z0-9_]*"


@attrs.frozen(kw_only=True)
class ScoresSettings:
    """`docs/scores.md` says what each is. Times are seconds."""

    predictions: str = attrs.field(default="predictions", validator=matches_re(_CHANNEL))
    prices: str = attrs.field(default="price", validator=matches_re(_CHANNEL))
    interval: float = attrs.field(default=10.0, validator=gt(0))
    window: int = attrs.field(default=1_000, validator=ge(1))
    window_age: float = attrs.field(default=86_400.0, validator=gt(0))
    tolerance: float = attrs.field(default=30.0, validator=[gt(0), le(60)])
    open: int = attrs.field(default=1_000, validator=ge(1))
    symbols: int = attrs.field(default=1_000, validator=ge(1))
    models: int = attrs.field(default=4, validator=ge(1))
    recent: int = attrs.field(default=50, validator=ge(1))
