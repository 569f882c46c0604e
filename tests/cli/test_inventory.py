"""The plugins that a running appliance told of, or those that would be loaded."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from appliance.cli.inventory import Inventory, as_json, as_table, take
from appliance.core.errors import StartError
from appliance.loading import ledger
from appliance.loading.ledger import PluginState
from appliance.settings.load import load

if TYPE_CHECKING:
    from pathlib import Path

FEES = PluginState(
    name="fees", file="/plugins/fees.py", origin="folder", state="loaded", channels=("fees", "fees_eu")
)
BROKEN = PluginState(
    name="broken",
    file="/plugins/broken.py",
    origin="folder",
    state="refused",
    error="/plugins/broken.py:3: SyntaxError: invalid syntax",
)
METALS = PluginState(
    name="metals", file="/plugins/metals.py", origin="folder", state="loaded", sources=("metals",)
)


def taken(folder: Path, configuration: str = "") -> Inventory:
    file = folder / "appliance.toml"
    file.write_text(configuration)
    return take(load(file=file, environment={}, state_dir=str(folder)), {})


def told_by_another(folder: Path, *, written: float) -> None:
    """Leave what a process wrote that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(60)
    content = msgspec.json.encode(ledger.Ledger(ended.pid, written, (FEES,)))
    (folder / ledger.FILE_NAME).write_bytes(content)


def test_what_runs_is_told_from_its_state_folder(tmp_path: Path) -> None:
    now = time.time()
    ledger.write(tmp_path / ledger.FILE_NAME, [FEES, BROKEN], now=now)
    found = taken(tmp_path)
    assert found.running
    assert found.written == now
    assert [(each.name, each.state) for each in found.plugins] == [("fees", "loaded"), ("broken", "refused")]


def test_where_nothing_runs_it_is_what_would_be_loaded(tmp_path: Path) -> None:
    told_by_another(tmp_path, written=1_000.0)
    plugins = tmp_path / "plugins"
    plugins.mkdir(mode=0o755)
    (plugins / "broken.py").write_text("1 / 0\n")
    found = taken(tmp_path, f'plugins_dir = ["{plugins}"]\n')
    assert not found.running
    assert found.written == 1_000.0
    states = {each.name: each for each in found.plugins}
    assert states["price"].channels == ("price",)
    assert states["price"].state == "loaded"
    assert states["broken"].state == "refused"
    assert states["broken"].error == f"{plugins}/broken.py:1: ZeroDivisionError: division by zero"


def test_another_process_with_the_number_of_the_one_that_wrote_is_not_taken_for_it(tmp_path: Path) -> None:
    ledger.write(tmp_path / ledger.FILE_NAME, [FEES], now=time.time() - 10 * 365 * 86_400)
    assert not taken(tmp_path).running


def test_a_file_that_is_none_of_the_appliances_is_told(tmp_path: Path) -> None:
    (tmp_path / ledger.FILE_NAME).write_text("{}")
    with pytest.raises(StartError, match=r"plugins\.json is not what the appliance writes"):
        taken(tmp_path)


def test_a_folder_of_another_user_is_told_not_taken_for_an_empty_one(own_folder: Path) -> None:
    state = own_folder / "state"
    state.mkdir(mode=0o000)
    with pytest.raises(StartError, match=r"plugins\.json cannot be read \(Permission denied\)"):
        take(load(file=None, environment={}, state_dir=str(state)), {})


def test_the_table_shows_each_plugin_and_what_is_wrong_with_it() -> None:
    found = Inventory(
        running=True, state_dir="/state", pid=12, written=1_766_000_000.0, plugins=(FEES, BROKEN, METALS)
    )
    assert list(as_table(found)) == [
        "The appliance runs as process 12; it told this at 2025-12-17T19:33:20.000Z.",
        "",
        "NAME    STATE    CHANNELS       FILE",
        "fees    loaded   fees, fees_eu  /plugins/fees.py",
        "broken  refused  -              /plugins/broken.py",
        "    /plugins/broken.py:3: SyntaxError: invalid syntax",
        "metals  loaded   source metals  /plugins/metals.py",
    ]


@pytest.mark.parametrize(
    ("written", "last"), [(None, ""), (0.0, "; the last one told of its plugins at 1970-01-01T00:00:00.000Z")]
)
def test_the_table_says_when_nothing_runs(written: float | None, last: str) -> None:
    found = Inventory(running=False, state_dir="/state", written=written, plugins=(FEES,))
    assert list(as_table(found))[:3] == [
        f"No appliance runs with the state folder /state{last}.",
        "These plugins would be loaded:",
        "",
    ]


def test_programs_get_the_same_as_json() -> None:
    found = Inventory(running=True, state_dir="/state", pid=12, written=5.0, plugins=(FEES,))
    told = json.loads(as_json(found))
    assert (told["running"], told["pid"], told["written"]) == (True, 12, 5.0)
    assert told["plugins"][0]["name"] == "fees"
    assert told["plugins"][0]["channels"] == ["fees", "fees_eu"]
