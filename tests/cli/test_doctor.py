"""The command `appliance doctor`, in a process of its own as an operator has it."""

from __future__ import annotations

import json
import signal
import sys
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.authoring import Done, run_appliance
from tests.cli.test_connecting import TABLE, channel, source
from tests.cli.test_serving import OPEN, served, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Fresh

    class Ask(Protocol):
        def __call__(self, folder: Path, *arguments: str) -> Done: ...


SMALL = "[limits]\nconnections = 100\nsessions = 100\n"


def command(folder: Path) -> tuple[str, ...]:
    return ("doctor", "--config", str(folder / "appliance.toml"), "--state-dir", str(folder / "state"))


def doctor(folder: Path, *arguments: str) -> Done:
    return run_appliance(folder, *command(folder), *arguments)


def told(done: Done) -> list[dict[str, Any]]:
    findings: list[dict[str, Any]] = json.loads(done.output)["findings"]
    return findings


def test_a_server_that_is_well_ends_with_status_0(tmp_path: Path) -> None:
    write(tmp_path, OPEN + SMALL)
    done = doctor(tmp_path)
    assert (done.status, done.errors) == (0, "")
    lines = done.output.splitlines()
    assert f"ok       configuration: {tmp_path}/appliance.toml is good" in lines
    assert [line for line in lines if line.startswith("problem")] == []
    assert lines[-2] == ""


def test_a_problem_is_told_with_what_to_do_and_ends_with_status_1(tmp_path: Path) -> None:
    file = write(tmp_path, f"{OPEN}[limits]\nsessions = 0\n")
    done = doctor(tmp_path)
    assert (done.status, done.errors) == (1, "")
    lines = done.output.splitlines()
    at = lines.index(f"problem  configuration: {file}:5: limits.sessions: must be at least 1, not 0")
    assert lines[at + 1].startswith("           why: ")
    assert lines[at + 2] == f"           do:  correct it, and see with `appliance check {file}`"
    assert lines[-1].startswith("1 problem")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "80"], "No such option '--port'"),
        (["--timeout", "0"], "0.0 is not in the range"),
        (["now"], "unexpected extra argument (now)"),
    ],
)
def test_wrong_arguments_end_with_status_2(tmp_path: Path, arguments: list[str], words: str) -> None:
    write(tmp_path, OPEN)
    done = doctor(tmp_path, *arguments)
    assert (done.status, done.output) == (2, "")
    assert words in done.errors


def test_a_file_that_cannot_be_read_ends_with_status_2(tmp_path: Path) -> None:
    write(tmp_path, "[limits")
    done = doctor(tmp_path)
    assert (done.status, done.output) == (2, "")
    assert done.errors.startswith("appliance: the configuration has a mistake")


def test_programs_get_json_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, OPEN + SMALL)
    done = doctor(tmp_path, "--json", "--set", "limits.sessions=50")
    assert (done.status, done.errors) == (0, "")
    assert json.loads(done.output)["good"] is True
    assert {"kind", "verdict", "what", "why", "remedy"} == set(told(done)[0])
    done = doctor(tmp_path, "--json", "--set", "limits.sessions=0")
    assert (done.status, json.loads(done.output)["good"]) == (1, False)


def test_a_key_in_the_file_is_never_shown(tmp_path: Path) -> None:
    file = write(tmp_path, f'{OPEN}{SMALL}[[auth.keys]]\nname = "a"\nkey = "never-to-be-shown"\n')
    file.chmod(0o644)
    done = doctor(tmp_path)
    assert f"{file} holds secrets, and everybody may read it" in done.output
    assert "never-to-be-shown" not in done.output + done.errors


@pytest.mark.skipif(sys.platform != "linux", reason="who listens is told by /proc")
def test_an_appliance_that_runs_is_recognised_and_left_alone(tmp_path: Path) -> None:
    write(tmp_path, OPEN + SMALL)
    with served(tmp_path) as running:
        [address] = running.wait_for("serving")["listeners"]
        pid = running.process.pid
        done = doctor(tmp_path, "--listen", address, "--json")
        assert done.status == 0, done.output
        said = {finding["kind"]: finding["what"] for finding in told(done)}
        assert said["instance"] == f"process {pid} runs with {tmp_path}/state"
        assert said["listen"] == f"{address} is open: the appliance serves it (process {pid})"
        assert f"(process {pid}) allows" in said["open-files"]
        elsewhere = run_appliance(
            tmp_path, "doctor", "--listen", address, "--state-dir", tmp_path / "other", "--json"
        )
        assert elsewhere.status == 1
        [taken] = [finding for finding in told(elsewhere) if finding["kind"] == "listen"]
        assert f"(process {pid})" in taken["what"]
        running.send(signal.SIGTERM)
        assert running.status == 0


def test_databases_are_asked_when_told_to(tmp_path: Path, fresh: Fresh) -> None:
    fresh.execute(TABLE)
    write(tmp_path, OPEN + SMALL + source(fresh) + channel("mine"))
    [unasked] = [finding for finding in told(doctor(tmp_path, "--json")) if finding["kind"] == "source"]
    assert unasked["verdict"] == "note"
    done = doctor(tmp_path, "--json", "--connect")
    assert (done.status, done.errors) == (0, "mine: asking its source …\n")
    [asked] = [finding for finding in told(done) if finding["kind"] == "source"]
    assert (asked["verdict"], "CREATE INDEX CONCURRENTLY" in asked["remedy"]) == ("warning", True)
    done = doctor(tmp_path, "--connect", "--set", "sources.main.password=wrong")
    assert done.status == 1
    assert "does not let postgres in" in done.output
    assert "open sesame" not in done.output + done.errors
