"""The simulated source: one market, made from a seed, for all channels that name it.

Must not know which channels those are.
"""

from __future__ import annotations

from appliance.api import Source, hookimpl
from appliance.sources.simulated.source import Simulated, SimulatedSettings


@hookimpl
def register_sources() -> tuple[Source, ...]:
    return (Source(kind="simulated", open=Simulated, Settings=SimulatedSettings),)
