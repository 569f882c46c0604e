"""The built file in a terminal of its own, as a person starts it."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Self

import attrs

from tests.e2e.running import PATIENCE, command, surroundings

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_CHUNK = 65_536


@attrs.define(eq=False)
class Terminal:
    """What a person sees. As a context, it ends the process with its end."""

    process: subprocess.Popen[bytes]
    _master: int
    _shown: bytes = b""
    _ended: bool = False
    _changed: threading.Condition = attrs.field(factory=threading.Condition)

    @classmethod
    def start(cls, zipapp: Path, *words: str) -> Terminal:
        master, slave = pty.openpty()
        try:
            process = subprocess.Popen(
                ["setsid", "--ctty", *command(zipapp), *words],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env={**surroundings(zipapp), "TERM": "xterm"},
            )
        finally:
            os.close(slave)
        terminal = cls(process, master)
        threading.Thread(target=terminal._read, daemon=True).start()
        return terminal

    @property
    def text(self) -> str:
        return self._shown.decode().replace("\r\n", "\n")

    def wait_for(self, text: str) -> str:
        """Wait until this has been shown, and give all that has."""
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while text not in self.text:
                assert not self._ended, self.text
                assert self._changed.wait(deadline - time.monotonic()), self.text
        return self.text

    def stop(self) -> str:
        """Press Ctrl-C, and give all that was shown."""
        os.write(self._master, b"\x03")
        assert self.process.wait(PATIENCE) == 0
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended, PATIENCE)
        return self.text

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        with self._changed:
            self._changed.wait_for(lambda: self._ended, PATIENCE)
        os.close(self._master)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # how a terminal ends whose other side is closed
            while data := os.read(self._master, _CHUNK):
                with self._changed:
                    self._shown += data
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
