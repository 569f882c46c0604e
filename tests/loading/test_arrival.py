from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

import pytest
import trio

from appliance.core.errors import Mistake, PluginError, SettingsError
from appliance.loading import arrival
from appliance.loading.importer import ALL
from appliance.loading.probe import probe
from appliance.settings.load import load
from tests.loading import dropping
from tests.loading.dropping import write

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.loading.arrival import Probed
    from appliance.loading.plugin import Plugin

QUICK = load(file=None, environment={}, overrides=["plugins.check_within=0.3"])
LOADED = load(file=None, environment={})
ELSEWHERE = "import threading\nif threading.current_thread() is not threading.main_thread():\n    "
"""Behaves otherwise here than in the probe."""


async def probed(file: Path) -> Probed:
    return await arrival.probed(await arrival.read(file, LOADED), LOADED, probe)


def names(plugin: Plugin) -> list[str]:
    return [channel.name for channel in plugin.channels]


def ours() -> set[str]:
    return {name for name in sys.modules if name.startswith(ALL)}


async def test_from_a_file_to_a_plugin(tmp_path: Path) -> None:
    found = await probed(write(tmp_path / "p" / "fees.py", dropping.plugin("fees")))
    assert found.finding.channels == ["fees"]
    plugin, fitted = await arrival.imported(found, LOADED, names)
    assert fitted == ["fees"] == names(plugin)
    plugin.forget()


async def test_what_is_not_to_be_trusted_is_not_read(tmp_path: Path) -> None:
    file = write(tmp_path / "p" / "fees.py", dropping.plugin("fees"))
    file.parent.chmod(0o777)
    with pytest.raises(PluginError, match="can be written by"):
        await arrival.read(file, LOADED)


async def test_what_is_imported_is_what_was_probed(tmp_path: Path) -> None:
    file = write(tmp_path / "p" / "fees.py", dropping.plugin("fees"))
    found = await probed(file)
    write(file, "1 / 0")
    plugin, _ = await arrival.imported(found, LOADED, names)
    assert names(plugin) == ["fees"]
    plugin.forget()


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("1 / 0", ":3: ZeroDivisionError: division by zero"),
        ("raise SystemExit", ":3: SystemExit: a plugin must not end the process"),
        ("raise KeyboardInterrupt", ": RuntimeError: raised KeyboardInterrupt()"),
    ],
)
async def test_what_fails_only_here_is_refused_here(tmp_path: Path, statement: str, told: str) -> None:
    file = write(tmp_path / "p" / "fees.py", dropping.plugin("fees", before=f"{ELSEWHERE}{statement}"))
    found, before = await probed(file), ours()
    with pytest.raises(PluginError) as caught:
        await arrival.imported(found, LOADED, names)
    assert str(caught.value).startswith(f"{file}{told}")
    assert ours() == before


async def test_what_does_not_end_here_is_ended(tmp_path: Path) -> None:
    file = write(tmp_path / "p" / "fees.py", dropping.plugin("fees", before=f"{ELSEWHERE}while True: pass"))
    found, before = await probed(file), ours()
    with pytest.raises(PluginError) as caught:
        await arrival.imported(found, QUICK, names)
    assert "is not imported within 0.3 s here, though it was in the probe" in str(caught.value)
    assert "restart the appliance" not in str(caught.value), "its thread has ended"
    assert ours() == before


async def test_of_what_does_not_fit_nothing_stays(tmp_path: Path) -> None:
    found, before = await probed(write(tmp_path / "p" / "fees.py", dropping.plugin("fees"))), ours()

    def unfit(_plugin: Plugin) -> NoReturn:
        raise PluginError("it clashes")

    with pytest.raises(PluginError, match="it clashes"):
        await arrival.imported(found, LOADED, unfit)
    assert ours() == before


async def test_mistakes_of_the_configuration_stay_what_they_are(tmp_path: Path) -> None:
    def mistaken() -> NoReturn:
        raise SettingsError([Mistake("a", "is wrong")])

    with pytest.raises(SettingsError, match="a: is wrong"):
        await arrival.within(mistaken, LOADED, tmp_path)


async def test_what_came_out_of_each_is_told_and_only_some_work_at_the_same_time() -> None:
    working, most = 0, 0

    async def work(thing: int) -> int:
        nonlocal working, most
        working += 1
        most = max(most, working)
        await trio.sleep(0.01)
        working -= 1
        if thing == 3:
            raise PluginError("three")
        return thing * 2

    results = await arrival.each_of(range(6), work)
    assert [results[thing] for thing in (0, 1, 5)] == [0, 2, 10]
    assert isinstance(results[3], PluginError)
    assert most == 2
