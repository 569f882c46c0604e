"""A built file, tried as an operator would start it: it tells its version, serves, answers and stops.

Must not know how it was built.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_PATIENCE = 120.0


def boot(file: Path) -> None:
    """Try the file, and end the build if it does not run."""
    with tempfile.TemporaryDirectory() as folder:
        # `make` names where to unpack; without it, nothing is to stay.
        environment = {
            "PATH": os.environ["PATH"],
            "SHIV_ROOT": os.environ.get("SHIV_ROOT") or f"{folder}/unpacked",
        }
        command = [sys.executable, "-S", str(file)]
        told = subprocess.run(  # noqa: S603 - our own words
            [*command, "version"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
        if told.returncode or told.stderr:
            sys.exit(f"{file.name} does not start ({told.returncode}):\n{told.stdout}{told.stderr}")
        serving = [*command, "serve", "--listen", "tcp://127.0.0.1:0", "--state-dir", f"{folder}/state"]
        with subprocess.Popen(  # noqa: S603 - our own words
            serving, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            over = threading.Timer(_PATIENCE, process.kill)
            over.start()
            try:
                _ask(process)
            finally:
                over.cancel()
                process.kill()


def _ask(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None  # noqa: S101 - it is a pipe
    address, logged = _address(process.stderr)
    if not address:
        sys.exit(f"the built file does not serve:\n{logged}")
    with urllib.request.urlopen(f"http://{address}/health", timeout=_PATIENCE) as answer:
        json.load(answer)
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read()
    if status := process.wait():
        sys.exit(f"the built file does not stop as it should ({status}):\n{logged}{rest}")


def _address(log: Iterable[str]) -> tuple[str, str]:
    """Give where it listens, once it says so, and what it said until then."""
    said = ""
    for line in log:
        said += line
        if line.startswith("{") and json.loads(line)["event"] == "serving":
            return str(json.loads(line)["listeners"][0]).partition("://")[2], said
    return "", said
