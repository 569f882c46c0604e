"""What `/metrics` answers: all metrics of the moment, in the text of Prometheus or of OpenMetrics.

Must not know who may read them. The families are in the modules beside it.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

import attrs
from prometheus_client import exposition
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from appliance.ops.metrics.bounds import BOUNDS
from appliance.ops.metrics.channels import CHANNELS
from appliance.ops.metrics.clients import CLIENTS
from appliance.ops.metrics.footprint import PROCESS
from appliance.ops.metrics.machinery import MACHINERY
from appliance.runtime.turns import turn_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client.core import Metric

    from appliance.ops.metrics.instruments import Instruments

FAMILIES: Final = (*MACHINERY, *CLIENTS, *BOUNDS, *CHANNELS, *PROCESS)
_PLAIN, _OPENMETRICS = "text/plain", "application/openmetrics-text"
_END: Final = b"# EOF\n"


@attrs.frozen
class _Lone(Collector):
    """One family, as what Prometheus' library writes."""

    metric: Metric

    def collect(self) -> tuple[Metric]:
        return (self.metric,)


@attrs.frozen
class Exposition:
    """Reads the instruments whenever it is asked, and at no other time."""

    instruments: Instruments

    async def text(self, accept: str) -> tuple[str, bytes]:
        """Give the media type and the text, in the form that an `Accept` header prefers. Others get their turns."""
        wanted = _preferences(accept)
        if wanted.get(_OPENMETRICS, 0.0) > wanted.get(_PLAIN, 0.0):
            return openmetrics.CONTENT_TYPE_LATEST, await self._written(_open) + _END
        return exposition.CONTENT_TYPE_PLAIN_0_0_4, await self._written(exposition.generate_latest)

    async def _written(self, write: Callable[[Collector], bytes]) -> bytes:
        reading = await self.instruments.read()
        parts: list[bytes] = []
        turn = perf_counter()
        for family in FAMILIES:
            parts.append(write(_Lone(family.metric(reading))))
            turn = await turn_over(turn)
        return b"".join(parts)


def _open(collector: Collector) -> bytes:
    """Write OpenMetrics, but for its end: there is one, behind all families."""
    text: bytes = openmetrics.generate_latest(collector)  # type: ignore[no-untyped-call]
    return text.removesuffix(_END)


def _preferences(accept: str) -> dict[str, float]:
    """Read how much each media type is wanted, in whatever version; one whose weight is no number is not."""
    wanted: dict[str, float] = {}
    for offer in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in offer.split(";"))
        weights = [value for name, _, value in (each.partition("=") for each in parameters) if name == "q"]
        try:
            weight = float(weights[0]) if weights else 1.0
        except ValueError:
            continue
        wanted[kind] = max(weight, wanted.get(kind, 0.0))
    return wanted
