"""The audit log in a place of its own."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import stat
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from appliance.core.errors import StartError
from appliance.ops import audit, log
from appliance.ops.audit import Audit, FileSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 60.0


@pytest.fixture(autouse=True)
def stream() -> Iterator[io.StringIO]:
    """Give the ordinary log, of warnings and errors alone."""
    root, own = logging.getLogger(), logging.getLogger("appliance")
    handlers, levels = root.handlers[:], (root.level, own.level)
    written = io.StringIO()
    log.configure(level="warning", format="json", stream=written)
    yield written
    for added in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(added)
    root.setLevel(levels[0])
    own.setLevel(levels[1])
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@contextlib.contextmanager
def kept(place: Path, *, most: int = 1000) -> Iterator[Audit]:
    trail = audit.begin(str(place), most=most)
    assert trail is not None
    try:
        yield trail
    finally:
        trail.close()


def tell(event: str, **fields: object) -> None:
    structlog.get_logger("audit").info(event, **fields)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_lines_of_the_audit_log_alone_stand_in_its_file(tmp_path: Path, stream: io.StringIO) -> None:
    file = tmp_path / "audit.log"
    with kept(file) as trail:
        tell("refused", client="192.0.2.1", why="token=v3ry-s3cret-text")
        structlog.get_logger().warning("something else")
        assert trail.problems() == []
    [line] = lines(file)
    assert line["timestamp"]
    assert {**line, "timestamp": ""} == {
        "event": "refused",
        "client": "192.0.2.1",
        "why": "token=[redacted]",
        "level": "info",
        "audit": True,
        "timestamp": "",
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [json.loads(each)["event"] for each in stream.getvalue().splitlines()] == ["something else"]


def test_without_a_place_of_its_own_it_is_part_of_the_log(stream: io.StringIO) -> None:
    assert audit.begin(None, most=10) is None
    log.set_level("info")
    tell("session opened")
    [line] = [json.loads(each) for each in stream.getvalue().splitlines()]
    assert (line["event"], line["audit"]) == ("session opened", True)


def test_a_file_goes_on_and_one_that_is_rotated_is_left(tmp_path: Path) -> None:
    file, old = tmp_path / "audit.log", tmp_path / "audit.log.1"
    file.write_text('{"event": "before"}\n')
    file.chmod(0o600)
    with kept(file):
        tell("one")
        until(lambda: len(lines(file)) == 2)
        file.rename(old)
        tell("two")
        until(file.exists)
        tell("three")
    assert [line["event"] for line in lines(old)] == ["before", "one"]
    assert [line["event"] for line in lines(file)] == ["two", "three"]
    assert (stat.S_IMODE(old.stat().st_mode), stat.S_IMODE(file.stat().st_mode)) == (0o600, 0o640)


class Stuck:
    """A disk that takes nothing until it is let."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.busy = threading.Event()
        self.written: list[str] = []

    def write(self, lines: list[str]) -> None:
        self.busy.set()
        assert self.free.wait(PATIENCE)
        self.written += lines

    def close(self) -> None:
        """Have nothing to close."""


def test_what_waits_is_bounded_and_what_is_lost_is_counted(stream: io.StringIO) -> None:
    sink = Stuck()
    trail = Audit(sink, most=10)
    logging.getLogger(audit.NAME).addHandler(trail)
    tell("first")
    assert sink.busy.wait(PATIENCE)
    for number in range(25):
        tell("more", number=number)
    assert trail.problems() == [
        "15 lines of the audit log are lost: more come than can be written (audit.queue)"
    ]
    sink.free.set()
    trail.close()
    assert len(sink.written) == 11
    told = [json.loads(each)["event"] for each in stream.getvalue().splitlines()]
    assert told == ["the audit log loses lines"]


class Full:
    """A disk that is full."""

    def write(self, lines: list[str]) -> None:
        assert lines
        raise OSError(28, "No space left on device")

    def close(self) -> None:
        """Have nothing to close."""


def test_a_full_disk_stops_nobody() -> None:
    trail = Audit(Full(), most=10)
    logging.getLogger(audit.NAME).addHandler(trail)
    tell("lost")
    # That nothing more is written when it ends shows only where the line was written before.
    until(lambda: trail.lost == 1)
    trail.close()
    assert trail.problems() == ["1 lines of the audit log are lost: No space left on device"]


def test_a_torn_line_does_not_spoil_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "audit.log"
    sink, write, calls = FileSink(file), os.write, iter([5, None])

    def torn(number: int, content: bytes) -> int:
        count = next(calls)
        if count is None:
            raise OSError(28, "No space left on device")
        return write(number, content[:count])

    with monkeypatch.context() as patch:
        patch.setattr("os.write", torn)
        with pytest.raises(OSError, match="No space"):
            sink.write(['{"event": "torn"}'])
    sink.write(['{"event": "whole"}'])
    sink.close()
    assert file.read_text().splitlines() == ['{"eve', '{"event": "whole"}']


def test_a_place_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"audit\.file"):
        audit.begin(str(tmp_path / "nowhere" / "audit.log"), most=10)


def test_a_command_adds_a_line_with_who_gave_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "audit.log"
    monkeypatch.setenv("SUDO_USER", "ann")
    audit.note(str(file), "key made", name="desk")
    monkeypatch.delenv("SUDO_USER")
    audit.note(str(file), "key revoked", name="desk")
    first, second = lines(file)
    assert (first["event"], first["name"], first["uid"], first["sudo_user"]) == (
        "key made",
        "desk",
        os.getuid(),
        "ann",
    )
    assert "sudo_user" not in second
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
