"""Lines to a stream that may stall or break: the writer waits a moment at most.

Must not know what the lines say.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TextIO

PATIENCE: Final = 0.05
"""Seconds that one line may wait for its reader, while the lines before it got through."""


class Outlet:
    """Writes whole lines, or none of a line. Its user calls it from one thread at a time.

    It writes to the file itself: switching a terminal or a pipe that others share to non-blocking would
    harm them, and a thread would lose the last lines before a crash.
    """

    def __init__(self, stream: TextIO) -> None:
        with contextlib.suppress(OSError, ValueError):  # broken or closed already; `write` tells
            stream.flush()
        self._stream = stream
        self._encoding = stream.encoding or "utf-8"
        self._begun = b""
        self._stalled = False
        try:
            self._file: int | None = stream.fileno()
        except (OSError, ValueError):  # a stream in memory, or a closed one
            self._file = None

    def write(self, line: str) -> bool:
        """Write the line with its end, or return False when it had to be dropped."""
        if self._file is None:
            return self._write_to_memory(line)
        whole = f"{line}\n".encode(self._encoding, "backslashreplace")
        due = self._begun + whole
        rest = _push(self._file, due, patience=0 if self._stalled else PATIENCE)
        self._stalled = bool(rest)
        dropped = len(rest) >= len(whole)
        self._begun = rest[: len(rest) - len(whole)] if dropped else rest
        return not dropped

    def _write_to_memory(self, line: str) -> bool:
        try:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        except (OSError, ValueError):  # broken, or closed
            return False
        return True


def _push(file: int, content: bytes, *, patience: float) -> bytes:
    """Write what the file takes in this time, and return what is left."""
    deadline = time.monotonic() + patience
    while content:
        try:
            _, writable, _ = select.select((), (file,), (), max(deadline - time.monotonic(), 0))
            if not writable:
                break
            content = content[os.write(file, content[: select.PIPE_BUF]) :]  # so much never blocks now
        except (OSError, ValueError):  # broken, or closed; the next line finds out again
            break
    return content
