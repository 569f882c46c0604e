"""Begins processes of the appliance that it is a part of, each forked off behind what has loaded it already.

It is run where that appliance is: see `asking`. Must not know what is asked.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

from appliance.cli import outset
from appliance.cli.main import main

with outset.lightly():
    from appliance.cli import serving  # noqa: F401 - most commands need it

# As for the command itself: this folder is not where modules are looked for, nor is the file that was unpacked.
_OWN = str(Path(__file__).resolve().parent)
sys.path[:] = [entry for entry in sys.path if entry != _OWN and not entry.endswith(".pyz")]

_MOST = 1 << 20
"""Bytes of a request, with all variables of an environment."""


def answer(asked: socket.socket) -> None:
    """Answer each request, a line of JSON, with another, until nobody asks any more."""
    text = b""
    files: list[int] = []
    while True:
        part, sent, _, _ = socket.recv_fds(asked, _MOST, 3)
        if not part:
            return
        text += part
        files += sent
        if text.endswith(b"\n"):
            asked.sendall(json.dumps(_answered(json.loads(text), files, asked)).encode() + b"\n")
            text, files = b"", []


def _answered(request: dict[str, Any], files: list[int], asked: socket.socket) -> int | None:
    """Give the process that was begun, or the status of one that has ended."""
    if "ended" in request:
        known, status = os.waitpid(request["ended"], os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if known else None
    if not (child := os.fork()):
        asked.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        _run(**request)
    for file in files:
        os.close(file)
    return child


def _run(words: list[str], folder: str | None, environment: dict[str, str], within: int) -> NoReturn:
    """Run a command as a process does that has begun with it."""
    signal.alarm(within)  # none for 0
    if folder is not None:
        os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = words
    main()
    sys.exit()


if __name__ == "__main__":
    gc.freeze()  # so that what is loaded stays shared
    with socket.socket(fileno=int(sys.argv[1])) as opened:
        answer(opened)
