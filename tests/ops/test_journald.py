"""The log in the journal: what reaches its socket, and what is written where there is none."""

from __future__ import annotations

import array
import io
import json
import logging
import os
import socket
import tempfile
from typing import TYPE_CHECKING

import pytest
import structlog

from appliance.ops import journald, log
from appliance.ops.journald import Journal, Prefixed, entry, is_journal
from appliance.ops.outlet import Outlet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket where the journal has its own."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.settimeout(10)
        yield listening


@pytest.fixture
def writer(journal: socket.socket) -> Iterator[Journal]:
    writing = Journal(journal.getsockname())
    yield writing
    writing.close()


def fields(whole: bytes) -> dict[str, str]:
    """Read an entry as the journal does."""
    found = {}
    while whole:
        line, _, whole = whole.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(whole[:8], "little")
            value, whole = whole[8 : 8 + size], whole[8 + size + 1 :]
        found[name.decode()] = value.decode()
    return found


def test_an_entry_has_words_for_people_and_fields_for_queries(
    writer: Journal, journal: socket.socket
) -> None:
    told = {"timestamp": "now", "level": "warning", "event": "session opened", "client": "10.0.0.1"}
    assert writer.write(
        json.dumps({**told, "topics": ["a", "b"], "why": "no reason", "count": 3, "gone": None})
    )
    assert fields(journal.recv(65536)) == {
        "MESSAGE": 'session opened client=10.0.0.1 topics=["a", "b"] why="no reason" count=3 gone=null',
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "appliance",
        "EVENT": "session opened",
        "CLIENT": "10.0.0.1",
        "TOPICS": '["a", "b"]',
        "WHY": "no reason",
        "COUNT": "3",
        "GONE": "null",
    }


@pytest.mark.parametrize(
    ("level", "priority"),
    [("debug", "7"), ("info", "6"), ("warning", "4"), ("error", "3"), ("critical", "2")],
)
def test_levels_are_priorities(level: str, priority: str) -> None:
    assert fields(entry({"event": "x", "level": level}))["PRIORITY"] == priority


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("channel.mode", "CHANNEL_MODE"),
        ("_PID", "PID"),
        ("9lives", "LIVES"),
        ("message", "FIELD_MESSAGE"),
        ("priority", "FIELD_PRIORITY"),
        ("syslog_identifier", "FIELD_SYSLOG_IDENTIFIER"),
        ("Event", "FIELD_EVENT"),
        ("höhe", "H_HE"),
        ("a" * 100, "A" * 64),
    ],
)
def test_any_name_becomes_one_that_the_journal_takes(name: str, field: str) -> None:
    found = fields(entry({"event": "x", "level": "info", name: "value"}))
    assert found[field] == "value"
    assert found["MESSAGE"] == f"x {name}=value"
    assert found["PRIORITY"] == "6"


def test_a_name_of_nothing_is_left_out_and_still_told() -> None:
    found = fields(entry({"event": "x", "level": "info", "__": "value"}))
    assert found == {"MESSAGE": "x __=value", "PRIORITY": "6", "SYSLOG_IDENTIFIER": "appliance", "EVENT": "x"}


def test_a_traceback_stands_below_the_message(writer: Journal, journal: socket.socket) -> None:
    traceback = "Traceback\n  line 1\nValueError: no"
    writer.write(json.dumps({"event": "failed", "level": "error", "at": 1, "exception": traceback}))
    found = fields(journal.recv(65536))
    assert found["MESSAGE"] == f"failed at=1\n{traceback}"
    assert found["EXCEPTION"] == traceback


def test_what_a_client_sent_cannot_forge_a_field(writer: Journal, journal: socket.socket) -> None:
    writer.write(json.dumps({"event": "x", "level": "info", "name": "a\nPRIORITY=0\n", "lone": "\ud800"}))
    found = fields(journal.recv(65536))
    assert (found["PRIORITY"], found["NAME"], found["LONE"]) == ("6", "a\nPRIORITY=0\n", "\\ud800")


def test_a_large_entry_goes_as_a_sealed_file(writer: Journal, journal: socket.socket) -> None:
    large = "x" * 20_000_000
    assert writer.write(json.dumps({"event": "large", "level": "info", "text": large}))
    space = socket.CMSG_SPACE(array.array("i").itemsize)
    content, ((_, _, sent),), *_ = journal.recvmsg(100, space)
    (file,) = array.array("i", sent)
    with os.fdopen(file, "r+b") as opened:
        assert content == b""
        with pytest.raises(PermissionError):  # sealed: the journal can rely on it
            os.pwrite(file, b"y", 0)
        opened.seek(0)
        assert fields(opened.read())["TEXT"] == large


def test_a_journal_that_is_behind_or_gone_makes_nobody_wait(writer: Journal, journal: socket.socket) -> None:
    line = json.dumps({"event": "x", "level": "info"})
    results = [writer.write(line) for _ in range(5000)]
    assert results[0]
    assert not results[-1]
    journal.recv(65536)
    assert writer.write(line)
    journal.close()
    assert not writer.write(line)


def test_without_the_journals_socket_lines_say_their_priority(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Journal(tmp_path / "none")
    stream = io.StringIO()
    writing = Prefixed(Outlet(stream))
    assert writing.write(
        json.dumps({"event": "failed", "level": "error", "a": 1, "exception": "Trace\n  back"})
    )
    assert stream.getvalue() == "<3>failed a=1\n<3>Trace\n<3>  back\n"


def test_the_journals_stream_is_known_by_its_number() -> None:
    with tempfile.TemporaryFile("w") as stream:
        found = os.fstat(stream.fileno())
        assert is_journal(stream, f"{found.st_dev}:{found.st_ino}")
        assert not is_journal(stream, f"{found.st_dev}:{found.st_ino + 1}")
        assert not is_journal(stream, "")
    assert not is_journal(io.StringIO(), "1:1")


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    root, appliance = logging.getLogger(), logging.getLogger("appliance")
    before, levels = root.handlers[:], (root.level, appliance.level)
    yield
    for added in [each for each in root.handlers if each not in before]:
        root.removeHandler(added)
        added.close()
    root.setLevel(levels[0])
    appliance.setLevel(levels[1])
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.mark.usefixtures("_logging_as_before")
@pytest.mark.parametrize("chosen", ["auto", "journald"])
def test_the_log_goes_to_the_journal(
    chosen: log.Format, journal: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The journal of this machine, if it has one, is none of a test's.
    monkeypatch.setattr(journald, "SOCKET", journal.getsockname())
    with tempfile.TemporaryFile("w") as stream:
        found = os.fstat(stream.fileno())
        log.configure(level="info", format=chosen, stream=stream, journal=f"{found.st_dev}:{found.st_ino}")
        structlog.get_logger().info("session opened", client="a\nb", key="sk_secret")
        try:
            int("no")
        except ValueError:
            structlog.get_logger().exception("failed")
        assert stream.tell() == 0
    first, second = fields(journal.recv(65536)), fields(journal.recv(65536))
    assert first["MESSAGE"] == r"session opened client=a\x0ab key=[redacted]"
    assert (first["CLIENT"], first["KEY"]) == (r"a\x0ab", "[redacted]")
    assert second["EXCEPTION"].startswith("Traceback (most recent call last):\n")
    assert second["EXCEPTION"].endswith("ValueError: invalid literal for int() with base 10: 'no'")
    assert second["PRIORITY"] == "3"
