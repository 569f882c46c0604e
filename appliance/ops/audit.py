"""The audit log: who was let in and who was not, and what was changed of that, as lines of JSON in their own place.

Must not know what is told. Whoever tells does not wait for the disk: one thread writes, and what it cannot is counted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sys
import threading
from pathlib import Path
from typing import Final, Protocol

import attrs
import structlog

from appliance.core.errors import StartError
from appliance.ops import log
from appliance.ops.journald import SOCKET, Journal
from appliance.ops.outlet import Outlet

_log = structlog.get_logger()

NAME: Final = f"appliance.{log.AUDIT}"
"""Of its logger."""
_AT_ONCE: Final = 256
"""Lines of one write."""
_PATIENCE: Final = 5.0
"""Seconds in which what waits is written at the end."""
_MODE: Final = 0o640


class Sink(Protocol):
    """Takes lines; OSError where it cannot."""

    def write(self, lines: list[str]) -> None: ...

    def close(self) -> None: ...


class FileSink:
    """A file that lines are added to. When another one is in its place, or none, they go on there."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where it cannot be written."""
        self._path = path
        self._file = _opened(path)
        self._torn = False

    def write(self, lines: list[str]) -> None:
        self._keep_up()
        # What a full disk has left of a line is not to spoil the next one.
        rest = ("\n" * self._torn + "".join(f"{line}\n" for line in lines)).encode(
            "utf-8", "backslashreplace"
        )
        while rest:
            written = os.write(self._file, rest)
            rest = rest[written:]
            self._torn = bool(rest)

    def close(self) -> None:
        os.close(self._file)

    def _keep_up(self) -> None:
        ours = os.fstat(self._file)
        with contextlib.suppress(FileNotFoundError):
            found = self._path.stat()
            if (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino):
                return
        opened = _opened(self._path)
        os.close(self._file)
        self._file, self._torn = opened, False


class _Handed:
    """The journal, or standard error, where a line is either taken or lost."""

    def __init__(self, writer: Journal | Outlet) -> None:
        self._writer = writer

    def write(self, lines: list[str]) -> None:
        for line in lines:
            if not self._writer.write(line):
                raise OSError("it takes no more lines")

    def close(self) -> None:
        if isinstance(self._writer, Journal):
            self._writer.close()


def opened(place: str) -> Sink:
    """Give where lines go: `journal`, `stderr`, or a file. Raises OSError."""
    match place:
        case "journal":
            return _Handed(Journal())
        case "stderr":
            return _Handed(Outlet(sys.stderr))
        case _:
            return FileSink(Path(place))


class Audit(logging.Handler):
    """Takes the lines of the audit log; at most `most` of them wait. `problems` are what is wrong."""

    def __init__(self, sink: Sink, *, most: int) -> None:
        super().__init__()
        self.setFormatter(log.machine_formatter())
        self.lost = 0
        self._reason = ""
        self._sink = sink
        self._waiting: queue.Queue[str | None] = queue.Queue(most)
        self._writer = threading.Thread(target=self._write_all, name="audit", daemon=True)
        self._writer.start()

    def problems(self) -> list[str]:
        return [f"{self.lost} lines of the audit log are lost: {self._reason}"] if self.lost else []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._waiting.put_nowait(self.format(record))
        except queue.Full:
            self._lose(1, "more come than can be written (audit.queue)")
        except Exception as error:  # noqa: BLE001 - a log entry never harms who made it
            self._lose(1, repr(error))

    def close(self) -> None:
        """Write what waits, and take no more."""
        logging.getLogger(NAME).removeHandler(self)
        if self._writer.is_alive():
            with contextlib.suppress(queue.Full):
                self._waiting.put(None, timeout=_PATIENCE)
            self._writer.join(_PATIENCE)
            if not self._writer.is_alive():
                self._sink.close()
        super().close()

    def _write_all(self) -> None:
        more = True
        while more:
            lines, more = self._gathered()
            if not lines:
                continue
            try:
                self._sink.write(lines)
            except OSError as error:
                self._lose(len(lines), error.strerror or str(error))

    def _gathered(self) -> tuple[list[str], bool]:
        """Give the lines that wait, once there is one, and whether there will be more."""
        lines: list[str] = []
        line = self._waiting.get()
        while line is not None:
            lines.append(line)
            if len(lines) == _AT_ONCE or self._waiting.empty():
                return lines, True
            line = self._waiting.get()
        return lines, False

    def _lose(self, count: int, reason: str) -> None:
        first = not self.lost
        self.lost, self._reason = self.lost + count, reason
        if first:
            _log.error("the audit log loses lines", reason=reason)


def begin(place: str | None, *, most: int) -> Audit | None:
    """Keep the audit log in a place of its own until what is returned is closed; without one, it is part of the log.

    Raises StartError where the place cannot be written.
    """
    if place is None:
        return None
    try:
        audit = Audit(opened(place), most=most)
    except OSError as error:
        raise StartError(
            f"the audit log {place} cannot be written ({error.strerror or error}): let user {os.geteuid()} write there"
            " (audit.file)"
        ) from error
    logging.getLogger(NAME).addHandler(audit)
    return audit


@attrs.frozen
class Doer:
    """Who gives a command: the user, and who has become that one by `sudo`."""

    uid: int
    sudo: str | None

    @classmethod
    def here(cls) -> Doer:
        return cls(os.getuid(), os.environ.get("SUDO_USER"))


def note(place: str | None, event: str, **fields: object) -> None:
    """Add one line, of a command that ends soon. What is part of the log elsewhere goes to the journal here, if there
    is one. Raises OSError.
    """
    if place is None or place == "stderr":
        if not Path(SOCKET).exists():
            return
        place = "journal"
    doer = Doer.here()
    by = {"uid": doer.uid, **({} if doer.sudo is None else {"sudo_user": doer.sudo})}
    sink = opened(place)
    try:
        sink.write([log.line(event, **fields, **by)])
    finally:
        sink.close()


def _opened(path: Path) -> int:
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    except FileExistsError:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    os.fchmod(file, _MODE)
    return file
