"""The commands for the store as somebody types them."""

from __future__ import annotations

import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from appliance.cli.main import cli
from appliance.core.events import Entry
from appliance.core.kept import Batch, Record
from appliance.store.store import open_store
from tests.authoring import PATIENCE, ROOT, Done, run_appliance
from tests.cli.test_serving import OPEN, served, write

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3_600.0


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder: an event a minute of the last five hours, in price:A and signals:all in turns."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    store = open_store(folder / "store.db", sync="full")
    began = time.time() - 5 * HOUR
    records = []
    for number in range(1, 301):
        at = began + number * 60
        entry = Entry((number + 1) // 2, at, at, b'{"n":%d}' % number, number=number)
        topic = ("price:A", "signals:all")[number % 2]
        records.append(Record(topic.partition(":")[0], topic, "e1", entry))
    store.write(Batch(records=records, states={"price": {"where": 1}}))
    store.close()
    return folder


def ran(state: Path, *arguments: str) -> Done:
    done = CliRunner().invoke(cli, ["store", *arguments, "--state-dir", str(state)], prog_name="appliance")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


def exported(state: Path, *arguments: str) -> list[dict[str, Any]]:
    done = ran(state, "export", *arguments)
    assert (done.status, done.errors) == (0, "")
    return [json.loads(line) for line in done.output.splitlines()]


def exporting(state: Path, *, stdout: int | IO[Any], stderr: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "appliance.cli.main", "store", "export", "--state-dir", str(state)],
        cwd=ROOT,
        stdout=stdout,
        stderr=stderr,
        env={**os.environ, "TERM": "xterm"},
    )


def damage(state: Path) -> None:
    path = state / "store.db"
    content = bytearray(path.read_bytes())
    content[content.rindex(b'{"n":150}') + 5] ^= 1
    path.write_bytes(content)


def helped(*arguments: str) -> str:
    done = CliRunner().invoke(cli, ["store", *arguments, "--help"], prog_name="appliance")
    assert done.exit_code == 0
    return done.stdout


def test_help_teaches_how_to_begin() -> None:
    text = helped()
    assert re.search(
        r"(?m)^ +appliance store export > events\.jsonl +gives its events as lines of JSON$", text
    )
    listed = text.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == ["check", "compact", "export", "revert"]
    assert [line for line in listed if line.endswith("...")] == []


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("check", {"--json"}),
        ("export", {"--channel", "--since", "--until"}),
        ("compact", set()),
        ("revert", set()),
    ],
)
def test_help_explains_each_option(command: str, options: set[str]) -> None:
    listed = helped(command).partition("Options:\n")[2].splitlines()
    beginnings = [line.split() for line in listed if line.startswith("  -")]
    assert {words[0] for words in beginnings} == options | {"--config", "--state-dir", "-h,"}
    assert [words for words in beginnings if len(words) < 3] == []


def test_the_line_that_help_shows_is_what_is_written(state: Path) -> None:
    [shown] = re.findall(r"^ +(\{.*\})$", helped("export"), re.MULTILINE)
    shown = shown.replace("{…}", "{}")
    assert list(json.loads(shown)) == list(exported(state)[0])


def test_a_good_store_is_told_with_what_is_in_it(state: Path) -> None:
    done = ran(state, "check")
    assert (done.status, done.errors) == (0, "")
    first, _, _, heads, price, signals = done.output.splitlines()
    assert first == f"{state}/store.db: good"
    assert heads.split()[:3] == ["CHANNEL", "TOPICS", "EVENTS"]
    assert price.split()[:3] == ["price", "1", "150"]
    assert signals.split()[:3] == ["signals", "1", "150"]


def test_the_configuration_may_name_the_state_folder(state: Path, tmp_path: Path) -> None:
    (tmp_path / "appliance.toml").write_text(f'state_dir = "{state}"\n')
    done = run_appliance(tmp_path, "store", "check", "--json", "--config", "appliance.toml")
    assert (done.status, done.errors) == (0, "")
    told = json.loads(done.output)
    assert (told["file"], told["good"]) == (f"{state}/store.db", True)
    assert [channel["events"] for channel in told["channels"]] == [150, 150]


def test_a_damaged_store_ends_with_status_1(state: Path) -> None:
    damage(state)
    for arguments in (["check"], ["check", "--json"]):
        done = ran(state, *arguments)
        assert (done.status, done.errors) == (1, "")
        assert "event 75 of price:A is not as it was written" in done.output


def test_what_cannot_be_looked_at_ends_with_status_2(tmp_path: Path) -> None:
    done = run_appliance(tmp_path, "store", "check", "--state-dir", tmp_path)
    assert (done.status, done.output) == (2, "")
    assert done.errors.startswith(f"appliance: {tmp_path}/store.db is not there: ")
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_in_the_configuration_ends_with_status_2(tmp_path: Path) -> None:
    write(tmp_path, "[limits]\nsesions = 5\n")
    done = run_appliance(tmp_path, "store", "check", "--config", "appliance.toml")
    assert (done.status, done.output) == (2, "")
    assert done.errors.startswith("appliance: the configuration has a mistake\n")


def test_an_appliance_that_runs_is_named_and_not_disturbed(tmp_path: Path) -> None:
    write(tmp_path, OPEN)
    with served(tmp_path) as running:
        running.wait_for("serving")
        for command, status in (("check", 2), ("export", 1), ("compact", 1)):
            done = run_appliance(tmp_path, "store", command, "--state-dir", running.folder / "state")
            assert (done.status, done.output) == (status, "")
            assert "store.db is open in another process" in done.errors
            assert "stop that one" in done.errors
            if os.path.exists("/proc/locks"):  # noqa: PTH110 - a question, no file
                assert f"({running.process.pid})" in done.errors
        assert running.process.poll() is None


def test_events_are_lines_in_the_order_in_which_they_came(state: Path) -> None:
    found = exported(state)
    assert [line["data"]["n"] for line in found] == list(range(1, 301))
    assert {line["topic"] for line in found} == {"price:A", "signals:all"}


@pytest.mark.parametrize("pattern", ["price", "price:*", "price:A", "pri*"])
def test_a_channel_is_named_by_itself_or_by_a_pattern(state: Path, pattern: str) -> None:
    assert len(exported(state, "--channel", pattern)) == 150
    assert len(exported(state, "--channel", pattern, "--channel", "signals:all")) == 300


def test_a_time_is_told_or_how_long_ago_it_is(state: Path) -> None:
    assert 119 <= len(exported(state, "--since", "2h")) <= 121
    assert 59 <= len(exported(state, "--since", "2h", "--until", "60m")) <= 61
    (one,) = [line for line in exported(state) if line["data"]["n"] == 100]
    told = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(one["at"]))
    assert exported(state, "--since", told)[0]["data"]["n"] == 100
    assert exported(state, "--until", told)[-1]["data"]["n"] == 99


@pytest.mark.parametrize("text", ["yesterday", "2030-01-31T12:00:00", "2030-01-31", "5", ""])
def test_what_is_no_time_is_told_with_what_is(state: Path, text: str) -> None:
    done = ran(state, "export", "--since", text)
    assert (done.status, done.output) == (2, "")
    assert (
        f"Invalid value for '--since': {text!r} is no time: write 2030-01-31T12:00:00Z, or 1h" in done.errors
    )


def test_what_is_no_pattern_is_told_with_what_is(state: Path) -> None:
    done = ran(state, "export", "--channel", "Price")
    assert (done.status, done.output) == (2, "")
    assert "Invalid value for '--channel': 'Price' is no channel: write" in done.errors


def test_a_channel_that_is_not_kept_is_told(state: Path) -> None:
    done = ran(state, "export", "--channel", "prise", "--channel", "signals")
    assert done.status == 1
    assert len(done.output.splitlines()) == 150
    assert done.errors == "appliance: prise:* covers no topic that is kept\n"


def test_what_is_damaged_is_left_out_and_told(state: Path) -> None:
    damage(state)
    done = ran(state, "export")
    assert done.status == 1
    assert len(done.output.splitlines()) == 299
    assert done.errors == "appliance: event 75 of price:A is not as it was written\n"


def test_who_reads_may_leave_early(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db", sync="full")
    body = b'"%s"' % (b"x" * 1_000)
    entries = [Entry(number, 1.0, 1.0, body, number=number) for number in range(1, 2_001)]
    store.write(Batch(records=[Record("price", "price:A", "e1", entry) for entry in entries]))
    store.close()
    with exporting(tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["offset"] == 1
        process.stdout.close()
        assert (process.stderr.read(), process.wait(PATIENCE)) == (b"", 0)


def test_where_nothing_can_be_written_is_told(state: Path) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        process = exporting(state, stdout=full, stderr=subprocess.PIPE)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert errors == (
        b"appliance: standard output cannot be written (No space left on device): make room there\n"
    )


def test_a_terminal_shows_how_far_it_has_come(state: Path) -> None:
    master, slave = pty.openpty()
    with exporting(state, stdout=subprocess.DEVNULL, stderr=slave) as process:
        os.close(slave)
        shown = b""
        while b"of 300 events" not in shown:
            shown += os.read(master, 65_536)
        assert process.wait(PATIENCE) == 0
    os.close(master)


def test_a_store_is_compacted_and_both_sizes_are_told(state: Path) -> None:
    path = state / "store.db"
    store = open_store(path, sync="full")
    store.forget("signals")
    store.close()
    before = path.stat().st_size
    done = ran(state, "compact")
    assert (done.status, done.errors) == (0, "")
    assert before > path.stat().st_size
    assert done.output == f"{path}: {before / 1000:.1f} kB before, {path.stat().st_size / 1000:.1f} kB now\n"
    assert len(exported(state)) == 150


# --- Going back to the store from before. ---


def test_revert_takes_the_copy_from_before_a_newer_appliance(state: Path) -> None:
    file = state / "store.db"
    assert ran(state, "revert").output == f"{file}: as it was\n"
    (state / "store.db-version-1").write_bytes(file.read_bytes())
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    assert ran(state, "revert").output == f"{file}: of version 1 again\n"
    assert ran(state, "check").status == 0
    assert (state / "store.db-version-2").exists()
