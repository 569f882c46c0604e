"""An appliance that is asked for many things: loaded once, it runs each command in a process forked off behind that.

For what commands say, which differs from case to case. What loading them takes, and in which order, is for tests to
show that run them as a user does. Must not know what a test wants to find out.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from tests.authoring import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FORKING = Path(__file__).parent / "forking.py"


@attrs.frozen
class Loaded:
    _process: subprocess.Popen[str]

    def run(
        self, *words: str, folder: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end. `environment` is added to the one in which all was loaded."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {
            "words": words,
            "folder": None if folder is None else str(folder),
            "variables": dict(environment or {}),
            "within": int(PATIENCE),
        }
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return subprocess.CompletedProcess(words, *json.loads(self._process.stdout.readline()))


@contextlib.contextmanager
def loaded(
    *python: str, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Loaded]:
    """Load the appliance that this Python finds, until the block ends. `environment` is the whole one."""
    with subprocess.Popen(
        [*python, str(_FORKING)],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Loaded(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
