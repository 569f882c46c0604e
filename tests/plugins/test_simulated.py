from __future__ import annotations

from appliance.sources.simulated.source import Simulated, SimulatedSettings
from appliance.sources.simulated.tape import Tape
from tests.plugins.built_in import catalogue


def test_it_registers_the_source() -> None:
    source = catalogue().sources["simulated"]
    assert source.Settings is SimulatedSettings
    assert isinstance(source.open(SimulatedSettings()), Simulated)


def test_the_built_in_channels_have_their_rows_from_it() -> None:
    keys = Tape(seed=1, symbols=("BTC",), start=0.0).keys
    assert {name for name, each in catalogue().channels.items() if each.source == "simulated"} == set(keys)
