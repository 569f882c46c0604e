"""What is known of a server before it is examined: of one that runs, and of one that does not."""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from appliance.cli import patient
from appliance.cli.serving import Request
from appliance.core.errors import SettingsError
from tests.cli.test_serving import OPEN, served, write

if TYPE_CHECKING:
    from pathlib import Path


def admitted(folder: Path, text: str = OPEN, **fields: Any) -> patient.Patient:
    given = {"listen": (), "overrides": (), "state_dir": str(folder / "state"), "environment": {}, **fields}
    return patient.admit(Request(file=write(folder, text), **given))


def test_one_that_does_not_run_is_what_would_be_started(tmp_path: Path) -> None:
    found = admitted(tmp_path)
    assert (found.folder, found.pid, found.mistakes) == (tmp_path / "state", None, ())
    assert "price" in {configured.channel.name for configured in found.channels}
    assert {plugin.state for plugin in found.plugins} == {"loaded"}
    assert found.running_plugins == ()
    assert not (tmp_path / "state").exists()


def test_mistakes_are_kept_with_those_of_plugins(tmp_path: Path) -> None:
    found = admitted(tmp_path, "[channels.signals]\nhigh = 2\n[limits]\nsessions = 0\ntopics = 7\n")
    assert [mistake.path for mistake in found.mistakes] == ["channels.signals.high", "limits.sessions"]
    assert found.settings.limits.topics == 7
    assert found.channels == ()


def test_a_file_that_is_no_toml_is_told_as_ever(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        admitted(tmp_path, "[limits")


def test_a_plugin_that_does_not_load_is_among_the_plugins(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir(mode=0o755)
    (tmp_path / "plugins" / "broken.py").write_text("1 / 0\n")
    found = admitted(tmp_path, f'plugins_dir = ["{tmp_path}/plugins"]\n')
    [broken] = [plugin for plugin in found.plugins if plugin.state == "refused"]
    assert "ZeroDivisionError" in broken.error
    assert found.channels != ()


def test_addresses_and_hosts_are_those_of_the_listeners(tmp_path: Path) -> None:
    urls = ("tls://127.0.0.1:1", "tcp://0.0.0.0:2", "unix:/run/socket", "tls://127.0.0.1:3", "tls://[::1]:4")
    found = admitted(tmp_path, "", listen=urls)
    assert [str(address) for address, _ in found.addresses] == list(urls)
    assert {auth for _, auth in found.addresses} == {"required"}
    assert found.hosts == ("127.0.0.1", "::1")


def test_what_is_durable_is_seen(tmp_path: Path) -> None:
    without = "\n".join(
        f"[channels.{name}]\nhistory.durable = false" for name in ("alerts", "drift", "scores")
    )
    assert admitted(tmp_path).is_durable
    assert not admitted(tmp_path, f"{OPEN}{without}\n").is_durable


def test_the_configuration_is_read_as_it_is_written(tmp_path: Path) -> None:
    assert admitted(tmp_path, "[limits]\nsessions = 0\n").written == {"limits": {"sessions": 0}}
    embedded = Request(file=None, listen=(), overrides=(), state_dir=str(tmp_path / "state"), environment={})
    assert patient.admit(embedded).written == {}


def test_somebody_without_a_home_has_no_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    found = admitted(tmp_path, state_dir=None)
    assert found.folder is None
    assert "has no home folder" in found.homeless
    assert found.pid is None


@pytest.mark.skipif(sys.platform != "linux", reason="who has the store is told by /proc")
def test_one_that_runs_is_known_with_its_limits(tmp_path: Path) -> None:
    write(tmp_path, OPEN)
    with served(tmp_path) as running:
        running.wait_for("serving")
        found = admitted(tmp_path)
        assert found.pid == running.process.pid
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert found.open_files is not None
        assert found.open_files[0] == (0 if hard == resource.RLIM_INFINITY else hard)
        assert found.open_files[1].endswith(f"(process {running.process.pid})")
        assert {plugin.state for plugin in found.running_plugins} == {"loaded"}
        running.send(signal.SIGTERM)
        assert running.status == 0
    assert admitted(tmp_path).pid is None
