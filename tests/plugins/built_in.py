"""The built-in plugins as the appliance loads them, and the rows that the simulated market has for them."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from appliance.api import Event
from appliance.loading.catalogue import Catalogue, collect
from appliance.loading.files import builtin_folder
from appliance.loading.importer import is_plugin
from appliance.sources.simulated.instruments import DOZEN
from appliance.sources.simulated.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from appliance.api import Channel

START = 1_766_000_000.0


def catalogue() -> Catalogue:
    """Load them once, and anew where other tests have let go of the modules meanwhile."""
    made, modules = _collected()
    if any(sys.modules.get(name) is not module for name, module in modules.items()):
        _collected.cache_clear()
        made, _ = _collected()
    return made


@functools.cache
def _collected() -> tuple[Catalogue, dict[str, ModuleType]]:
    made = collect([builtin_folder()])
    return made, {name: module for name, module in sys.modules.items() if is_plugin(name)}


def channel(name: str) -> Channel:
    return catalogue().channels[name]


@functools.cache
def events(name: str) -> list[Event]:
    """What the simulated market publishes into a channel in ten minutes."""
    tape = Tape(seed=1, symbols=(*DOZEN, "PEPE"), start=START)
    ticks = [tape.step(START + second) for second in range(600)]
    rows = [row for tick in ticks for row in tick.rows if row.channel == name]
    return [Event(row.channel, row.key, row.data, row.at) for row in rows]


def topics(event: Event, **settings: Any) -> list[str]:
    declared = channel(event.channel)
    return list(declared.route(event, declared.Settings(**settings)))


def assert_rows_fit(name: str) -> None:
    """Every row of the market fits the channel's schema, which knows every field of it."""
    schema = channel(name).schema
    assert schema is not None
    assert events(name)
    for event in events(name):
        fitted: Any = msgspec.convert(event.data, schema, strict=True)
        assert event.data.keys() <= {*type(fitted).__struct_fields__}


def assert_refused(name: str, data: Mapping[str, Any], words: str) -> None:
    schema = channel(name).schema
    assert schema is not None
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(data, schema, strict=True)


def assert_taken(name: str, data: Mapping[str, Any]) -> None:
    """Such rows come from other sources than the market."""
    schema = channel(name).schema
    assert schema is not None
    msgspec.convert(data, schema, strict=True)
