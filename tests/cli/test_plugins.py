"""The commands as somebody types them."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from appliance.cli.main import cli
from appliance.loading import ledger
from tests.authoring import run_appliance

if TYPE_CHECKING:
    from pathlib import Path


def helped(*arguments: str) -> str:
    done = CliRunner().invoke(cli, [*arguments, "--help"], prog_name="appliance")
    assert done.exit_code == 0
    return done.stdout


def test_help_teaches_how_to_begin() -> None:
    text = helped("plugins")
    assert re.search(r"(?m)^ +appliance plugins new fees +writes fees\.py and tests/test_fees\.py$", text)
    listed = text.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == ["check", "list", "new"]
    assert [line for line in listed if line.endswith("...")] == []


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("new", {"--dir"}),
        ("check", {"--config", "--seconds"}),
        ("list", {"--config", "--state-dir", "--json"}),
    ],
)
def test_help_explains_each_option(command: str, options: set[str]) -> None:
    listed = helped("plugins", command).partition("Options:\n")[2].splitlines()
    beginnings = [line.split() for line in listed if line.startswith("  -")]
    assert {words[0] for words in beginnings} == options | {"-h,"}
    assert [words for words in beginnings if len(words) < 3] == []


def test_from_nothing_to_a_channel_in_three_commands(tmp_path: Path) -> None:
    done = run_appliance(tmp_path, "plugins", "new", "fees", "--dir", "mine")
    assert (done.status, done.errors) == (0, "")
    assert done.output.splitlines()[:2] == [
        "mine/fees.py: the plugin, with the channel `fees`",
        "mine/tests/test_fees.py: its test; the appliance passes over the folder `tests`",
    ]
    assert f'plugins_dir = ["{tmp_path}/mine"]' in done.output
    done = run_appliance(tmp_path, "plugins", "check", "mine/fees.py", "--seconds", "0.1")
    assert (done.status, done.errors) == (0, "")
    first, *_, last = done.output.splitlines()
    assert first == "mine/fees.py: loaded as the appliance would load it"
    assert "  fees:BTC  1  " in done.output
    assert last == "mine/fees.py: good"
    (tmp_path / "appliance.toml").write_text('plugins_dir = ["mine"]\n')
    done = run_appliance(
        tmp_path, "plugins", "list", "--config", "appliance.toml", "--state-dir", "state", "--json"
    )
    plugins = {each["name"]: each for each in json.loads(done.output)["plugins"]}
    assert plugins["fees"]["channels"] == ["fees"]
    assert "test_fees" not in plugins
    assert not (tmp_path / "state").exists()


def test_a_name_that_cannot_be_is_told_with_the_usage(tmp_path: Path) -> None:
    done = run_appliance(tmp_path, "plugins", "new", "My-Fees")
    assert (done.status, done.output) == (2, "")
    assert "Invalid value for 'NAME': 'My-Fees' is no name for a channel" in done.errors
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "fees.py").write_text("mine")
    done = run_appliance(tmp_path, "plugins", "new", "fees")
    assert (done.status, done.output) == (1, "")
    assert done.errors.startswith("appliance: fees.py is there already: remove it, or take another name")


def test_what_is_wrong_with_a_plugin_ends_its_check_with_status_1(tmp_path: Path) -> None:
    run_appliance(tmp_path, "plugins", "new", "fees")
    file = tmp_path / "fees.py"
    file.write_text(file.read_text().replace('"value": random.random()', '"value": "much"'))
    done = run_appliance(tmp_path, "plugins", "check", "fees.py", "--seconds", "0.1")
    assert done.status == 1
    [line] = [number for number, text in enumerate(file.read_text().splitlines(), 1) if '"much"' in text]
    told = done.errors.splitlines()[-1]
    assert told.startswith(f"appliance: {file}:{line}: PublishError: fees: the event of 'BTC' does not fit")
    assert "Traceback" in done.errors


def test_what_is_wrong_with_the_configuration_ends_it_with_status_2(tmp_path: Path) -> None:
    run_appliance(tmp_path, "plugins", "new", "fees")
    (tmp_path / "appliance.toml").write_text("[limits]\nsesions = 5\n")
    done = run_appliance(tmp_path, "plugins", "check", "fees.py", "--config", "appliance.toml")
    assert (done.status, done.output) == (2, "")
    assert done.errors.startswith(
        "appliance: the configuration has a mistake\n  appliance.toml:2: limits.sesions"
    )


def test_one_that_does_not_stop_is_told_and_left(tmp_path: Path) -> None:
    (tmp_path / "stays.py").write_text(
        "import trio\nfrom appliance.api import Channel, Mode, hookimpl\n\n"
        "async def produce(feed, settings):\n    with trio.CancelScope(shield=True):\n"
        "        await trio.sleep_forever()\n\n"
        "@hookimpl\ndef register_channels():\n"
        '    return [Channel(name="stays", mode=Mode.LOG, message="stays", produce=produce)]\n'
    )
    done = run_appliance(
        tmp_path, "plugins", "check", "stays.py", "--seconds", "0.1", APPLIANCE_PRODUCERS__STOP_WITHIN="0.1s"
    )
    assert done.status == 1
    assert done.errors.splitlines()[-1] == (
        f"appliance: {tmp_path}/stays.py: channel `stays` does not stop within 0.1 s (producers.stop_within): let its "
        "producer pass on trio.Cancelled, and not shield itself"
    )


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = run_appliance(tmp_path, "plugins", "check", "fees.py")
    assert done.status == 2
    assert "Path 'fees.py' does not exist" in done.errors


def test_the_list_is_that_of_the_appliance_which_runs(tmp_path: Path) -> None:
    state = ledger.PluginState(
        name="fees", file="/fees.py", origin="folder", state="quarantined", error="it floods"
    )
    ledger.write(tmp_path / ledger.FILE_NAME, [state], now=time.time())
    done = run_appliance(tmp_path, "plugins", "list", "--state-dir", tmp_path)
    assert (done.status, done.errors) == (0, "")
    assert done.output.startswith(f"The appliance runs as process {os.getpid()}; it told this at ")
    assert done.output.splitlines()[2:] == [
        "NAME  STATE        CHANNELS  FILE",
        "fees  quarantined  -         /fees.py",
        "    it floods",
    ]
