"""Rates of many who come: what each may do in a time, where who they are is remembered within a bound.

Must not know what is counted. Time comes in as an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.core.buckets import Bucket
from appliance.core.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

MOST: Final = 65_536
"""Rates remembered at once."""


class Rates:
    """What each who comes has left of its rate."""

    def __init__(self, most: int = MOST) -> None:
        self._buckets: Remembered[Hashable, Bucket] = Remembered(most, Bucket.spent)

    def take(self, who: Hashable, most: int, now: float) -> float:
        """Count one against so many a minute: 0, or how long it is too early."""
        bucket = self._buckets.find(who)
        if bucket is None or bucket.size != most:
            bucket = Bucket.per_minute(most, now)
            self._buckets.keep(who, bucket, now)
        return bucket.take(now)


class Budgets:
    """What each who comes may spend of several things a second, such as events and bytes."""

    def __init__(self, most: int = MOST) -> None:
        self._budgets: Remembered[Hashable, tuple[Bucket, ...]] = Remembered(most, _spent)

    def lacking(self, who: Hashable, rates: Sequence[float], burst: float, now: float) -> float:
        """Spend nothing: 0 when somebody has something left of everything, else how long until that is so.

        What gathers while nothing is spent is that of `burst` seconds.
        """
        return max(bucket.lacking(now) for bucket in self._of(who, rates, burst, now))

    def spend(
        self, who: Hashable, rates: Sequence[float], burst: float, *, costs: Sequence[float], now: float
    ) -> float:
        """Spend as long as there is anything left, even more than that: 0, or how long it is too early."""
        wait = self.lacking(who, rates, burst, now)
        if not wait:
            for bucket, cost in zip(self._of(who, rates, burst, now), costs, strict=True):
                bucket.take_all(cost, now)
        return wait

    def _of(self, who: Hashable, rates: Sequence[float], burst: float, now: float) -> tuple[Bucket, ...]:
        buckets = self._budgets.find(who)
        if buckets is None or any(
            (bucket.rate, bucket.size) != (rate, rate * burst)
            for bucket, rate in zip(buckets, rates, strict=True)
        ):
            buckets = tuple(Bucket(rate, rate * burst, now) for rate in rates)
            self._budgets.keep(who, buckets, now)
        return buckets


def _spent(buckets: Sequence[Bucket], now: float) -> float:
    return max(bucket.spent(now) for bucket in buckets)
