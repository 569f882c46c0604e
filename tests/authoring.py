"""What an author of plugins has: a folder, the appliance installed, and a plain pytest."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import attrs

from tests import asking

if TYPE_CHECKING:
    from pathlib import Path

ROOT, PATIENCE = asking.ROOT, asking.PATIENCE
PLAIN = ("-p", "no:cacheprovider", "-p", "no:schemathesis")
"""Options of a pytest without what comes with the tests here, and takes longer to load than all else."""


@attrs.frozen
class Done:
    """How a command ended."""

    status: int
    output: str
    errors: str


def install(root: Path, folder: Path) -> Path:
    """Build the wheel of this tree, and lay it where Python finds it by PYTHONPATH."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=root, capture_output=True, timeout=PATIENCE, check=True)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def run_appliance(folder: Path, *arguments: str | Path, **environment: str) -> Done:
    """Run a command of this tree in a folder, as somebody would who has it installed."""
    whole = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = asking.of_this_tree().run(*map(str, arguments), folder=folder, environment=whole)
    return Done(done.returncode, done.stdout, done.stderr)


def run_pytest(folder: Path, *arguments: str, path: Path, **environment: str) -> Done:
    """Run pytest in a folder, as somebody would who has the appliance at `path`."""
    options = (*PLAIN, *arguments)
    return _run(folder, "pytest", options, {"PYTHONPATH": str(path), **environment})


def _run(folder: Path, module: str, arguments: tuple[str | Path, ...], environment: dict[str, str]) -> Done:
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)
