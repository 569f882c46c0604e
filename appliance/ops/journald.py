"""The log in systemd's journal: each line with its fields, so that `journalctl EVENT="session opened"` finds it.

Must not know who logs what. Lines come as JSON, whatever is in them.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import re
import socket
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import TextIO

    from appliance.ops.outlet import Outlet

SOCKET: Final = "/run/systemd/journal/socket"
IDENTIFIER: Final = "appliance"

_PRIORITIES: Final = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
_TOLD: Final = ("event", "level", "timestamp", "exception")
"""What stands elsewhere in an entry, or is the journal's own."""
_RESERVED: Final = re.compile(r"MESSAGE(_ID)?|PRIORITY|ERRNO|TID|UNIT|(SYSLOG|CODE|OBJECT|COREDUMP)_.*|EVENT")
_LONGEST_NAME: Final = 64
_PLAIN: Final = re.compile(r"[^\s\"'=]+")
_SEND_BUFFER: Final = 8 * 1024 * 1024
_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def is_journal(stream: TextIO, named: str) -> bool:
    """Whether the stream is the one that systemd has connected to the journal: `named` is `$JOURNAL_STREAM`."""
    with contextlib.suppress(OSError, ValueError):  # a stream in memory, or a closed one
        found = os.fstat(stream.fileno())
        return named == f"{found.st_dev}:{found.st_ino}"
    return False


class Journal:
    """Hands entries to the journal's socket. Its user calls it from one thread at a time."""

    def __init__(self, path: str | Path | None = None) -> None:
        """Raises OSError where there is no journal."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)  # noqa: FBT003 - the signature of the socket
            with contextlib.suppress(OSError):  # then larger entries go as files
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            self._socket.connect(str(path or SOCKET))
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def write(self, line: str) -> bool:
        """Hand over a line of JSON, or return False when it had to be dropped."""
        whole = entry(json.loads(line))
        try:
            self._socket.send(whole)
        except BlockingIOError:  # the journal is behind
            return False
        except OSError:  # too large for a message; or the journal has gone, and then this fails too
            return self._send_file(whole)
        return True

    def _send_file(self, whole: bytes) -> bool:
        try:
            file = os.memfd_create(IDENTIFIER, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                with os.fdopen(os.dup(file), "wb") as opened:
                    opened.write(whole)
                fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file]))]
                self._socket.sendmsg([b""], ancillary)
            finally:
                os.close(file)
        except OSError:
            return False
        return True


class Prefixed:
    """The same for an outlet of lines, where the journal's socket cannot be reached: `<6>`, then the message."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    def write(self, line: str) -> bool:
        """Write the lines of an entry, each with its priority, or return False when the rest had to be dropped."""
        told = json.loads(line)
        lines = _message(told).splitlines()
        return all(self._outlet.write(f"<{_priority(told)}>{each}") for each in lines)


def entry(told: Mapping[str, Any]) -> bytes:
    """What an entry is on the wire of the journal."""
    fields = (
        ("MESSAGE", _message(told)),
        ("PRIORITY", str(_priority(told))),
        ("SYSLOG_IDENTIFIER", IDENTIFIER),
        ("EVENT", str(told.get("event", ""))),
        *_fields(told),
    )
    return b"".join(_encoded(name, value.encode("utf-8", "backslashreplace")) for name, value in fields)


def _encoded(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


def _fields(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in told.items():
        if name in _TOLD and name != "exception":
            continue
        upper = re.sub(r"[^A-Z0-9_]", "_", name.upper()).lstrip("_0123456789")
        if _RESERVED.fullmatch(upper):
            upper = f"FIELD_{upper}"
        if upper:
            yield upper[:_LONGEST_NAME], value if isinstance(value, str) else _json(value)


def _message(told: Mapping[str, Any]) -> str:
    """What people read: the event, its fields, and below it where it was raised."""
    words = [str(told.get("event", ""))]
    words += (f"{name}={_word(value)}" for name, value in told.items() if name not in _TOLD)
    lines = [" ".join(words), *([str(told["exception"])] if "exception" in told else [])]
    return "\n".join(lines)


def _word(value: object) -> str:
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else _json(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _priority(told: Mapping[str, Any]) -> int:
    return _PRIORITIES.get(str(told.get("level")), _PRIORITIES["info"])
