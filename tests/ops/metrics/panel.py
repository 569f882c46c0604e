"""What the tests of metrics share: instruments of the real parts, and how their metrics read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import trio
from prometheus_client.parser import text_string_to_metric_families

from appliance.ops.metrics.exposition import Exposition
from appliance.ops.metrics.instruments import Instruments
from appliance.runtime.census import Usage
from appliance.runtime.flusher import Flusher
from appliance.runtime.journal import Journal
from appliance.runtime.readiness import Readiness
from appliance.runtime.relief import Relief
from appliance.runtime.status import Sample, Status, Traffic
from appliance.runtime.watchman import Watchman
from appliance.settings.limits import LimitSettings
from appliance.settings.tree import Settings
from tests.runtime.intaking import Scene

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from appliance.core.histogram import Histogram
    from appliance.core.outbox import Outbox

NO_SAMPLE = Sample(at=0, deliveries=0, sent_bytes=0, received_bytes=0, opened=0, closed=0, errors={})


@attrs.define(eq=False)
class Session:
    traffic: Traffic
    dialect: str = "cryptointel"
    transport: str = "websocket"
    outbox: Outbox | None = None
    unaccounted: int = 0

    def account(self) -> None:
        self.traffic.sent_bytes += self.unaccounted
        self.unaccounted = 0


def panel(scene: Scene | None = None, **changes: Any) -> Instruments:
    """Instruments of an appliance that has just begun; `changes` are other ones."""
    scene = scene or Scene()
    return attrs.evolve(
        Instruments(
            status=Status(lambda: NO_SAMPLE),
            flusher=Flusher(stalled=lambda: 60.0),
            relief=Relief(
                tuple, limits=LimitSettings, memory=lambda: None, trim=lambda: None, press=lambda _: None
            ),
            watchman=Watchman(patience=lambda: 1.0, is_plugin=lambda _: False),
            hub=scene.hub,
            journal=Journal(scene.hub),
            intake=scene.intake,
            threads=trio.CapacityLimiter(4),
            sessions=tuple,
            addresses=lambda: (0, 0),
            listeners=lambda: {"tls://127.0.0.1:8443": Usage(0, 0, 12_000, 10_000)},
            settings=Settings,
            plugins=tuple,
            readiness=lambda: Readiness(able=True),
            certificate=lambda: None,
            files=lambda: None,
        ),
        **changes,
    )


async def scraped(instruments: Instruments) -> dict[str, Metric]:
    """The families as a Prometheus reads them, by the names under which they are known there."""
    _, text = await Exposition(instruments).text("")
    return {metric.name: metric for metric in text_string_to_metric_families(text.decode())}


async def values(instruments: Instruments, family: str) -> dict[tuple[str, ...], float]:
    """The values of a family by those of its labels; of a counter, without its `_total`."""
    metric = (await scraped(instruments))[family]
    return {tuple(sample.labels.values()): sample.value for sample in metric.samples}


async def value(instruments: Instruments, family: str) -> float:
    """The value of a family without labels."""
    found = await values(instruments, family)
    assert found.keys() == {()}
    return found[()]


async def buckets(instruments: Instruments, family: str) -> tuple[dict[str, float], float, float]:
    """The buckets of a histogram by their edges, its count and its sum."""
    samples = (await scraped(instruments))[family].samples
    found = {sample.labels["le"]: sample.value for sample in samples if sample.name.endswith("_bucket")}
    [count] = [sample.value for sample in samples if sample.name.endswith("_count")]
    [total] = [sample.value for sample in samples if sample.name.endswith("_sum")]
    return found, count, total


def observed(histogram: Histogram, *seconds: float) -> None:
    for each in seconds:
        histogram.observe(each)
