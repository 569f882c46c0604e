"""Code in a process that has loaded nothing yet."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.asking import PATIENCE, ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def printed(
    code: str,
    *words: str | Path,
    python: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run code in the tree, and give what it prints. `python` are options of Python; `words` are the code's own."""
    return subprocess.run(
        [sys.executable, *python, "-c", code, *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    ).stdout.strip()
