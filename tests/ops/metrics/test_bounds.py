from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from appliance.ops.metrics.bounds import BOUNDS
from appliance.runtime.relief import Memory, Relief
from appliance.settings.limits import COUNTED, LimitSettings
from tests.ops.metrics.panel import panel, scraped, value, values

if TYPE_CHECKING:
    from appliance.core.errors import RequestError


@attrs.define(eq=False)
class Slow:
    owed_bytes: int

    def expel(self, error: RequestError) -> None: ...

    def cut(self) -> None: ...


def relief(*owed: int, memory: Memory | None = None) -> Relief:
    slow = [Slow(each) for each in owed]
    given: dict[str, Any] = {"trim": lambda: None, "press": lambda _: None}
    return Relief(lambda: slow, limits=LimitSettings, memory=lambda: memory, **given)


async def test_each_limit_shows_before_it_is_hit() -> None:
    instruments = panel()
    assert await values(instruments, "appliance_limit_hits") == {(limit,): 0 for limit in COUNTED}


async def test_how_often_each_was_hit() -> None:
    instruments = panel()
    instruments.status.traffic.refused("RATE_LIMITED", "connections_per_minute")
    instruments.status.traffic.refused("RATE_LIMITED", "connections_per_minute")
    instruments.status.traffic.refused("INVALID_TOKEN")
    instruments.flusher.dropped["stalled"] += 3
    hits = await values(instruments, "appliance_limit_hits")
    assert {limit: count for (limit,), count in hits.items() if count} == {
        "connections_per_minute": 2,
        "stalled": 3,
    }


async def test_what_gathers_and_how_short_memory_is() -> None:
    looked = relief(500, 70_000, memory=Memory(5_000, 4_000))
    await looked.look()
    instruments = panel(relief=looked, addresses=lambda: (7, 3))
    for family, wanted in {
        "appliance_addresses": 7,
        "appliance_address_connections_max": 3,
        "appliance_owed_bytes": 70_500,
        "appliance_owed_bytes_max": 70_000,
        "appliance_owed_bytes_limit": LimitSettings().owed_bytes_in_all,
        "appliance_memory_limit_bytes": 4_000,
        "appliance_memory_short": 1,
    }.items():
        assert await value(instruments, family) == wanted


async def test_without_a_limit_of_memory_there_is_none_to_show() -> None:
    assert await values(panel(relief=relief()), "appliance_memory_limit_bytes") == {}


async def test_all_of_them_are_exposed() -> None:
    exposed = await scraped(panel())
    assert [family.name for family in BOUNDS if family.name.removesuffix("_total") not in exposed] == []
