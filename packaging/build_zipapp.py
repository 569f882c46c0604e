"""Build the zipapp: a wheel of this tree, the locked dependencies beside it, one file of both.

Must not know what the appliance does; of it only the entry point is named here.
Downloads only when the lock or the Python changed. The same sources give the same bytes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / f"cpython-{sys.version_info.major}{sys.version_info.minor}"
LOCK = ROOT / "packaging" / "requirements.txt"
PREAMBLE = ROOT / "packaging" / "preamble.py"
TARGET = ROOT / "dist" / "appliance.pyz"
ENTRY_POINT = "appliance.cli.main:main"


def run(module: str, *arguments: str | Path) -> None:
    """Run a module of this environment, quietly when all goes well."""
    command = [sys.executable, "-W", "ignore", "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        sys.exit(f"{module} failed ({done.returncode}):\n{done.stdout}{done.stderr}")


def lay_dependencies() -> Path:
    """Install what the lock names, and nothing else, into a folder that stays while the lock does."""
    folder, installed = BUILD / "dependencies", BUILD / "dependencies.lock"
    wanted = LOCK.read_bytes()
    if installed.exists() and installed.read_bytes() == wanted:
        return folder
    installed.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    run(
        "pip",
        *("install", "--quiet", "--disable-pip-version-check", "--no-compile"),
        *("--require-hashes", "--no-deps", "--requirement", LOCK, "--target", folder),
    )
    # Scripts name this machine's Python, and the records hold their hashes.
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for record in folder.glob("*.dist-info/RECORD"):
        lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith("../")), encoding="utf-8")
    installed.write_bytes(wanted)
    return folder


def lay_appliance() -> Path:
    """Build the wheel and unpack it: installing it would record the folder that it came from."""
    wheels, folder = BUILD / "wheel", BUILD / "appliance"
    for old in (wheels, folder):
        shutil.rmtree(old, ignore_errors=True)
    run("hatchling", "build", "--target", "wheel", "--directory", wheels)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def main() -> None:
    TARGET.parent.mkdir(exist_ok=True)
    folders = (lay_dependencies(), lay_appliance())
    unfinished = TARGET.with_suffix(".unfinished")
    run(
        "shiv",
        *("--entry-point", ENTRY_POINT, "--python", "/usr/bin/env python3", "--reproducible"),
        *("--preamble", PREAMBLE),
        "--compile-pyc",  # at the first start: where Python may not write bytecode, each would be slow
        *(word for folder in folders for word in ("--site-packages", folder)),
        *("--output-file", unfinished),
    )
    unfinished.replace(TARGET)


if __name__ == "__main__":
    main()
