"""Build the zipapp: a wheel of this tree, the locked dependencies beside it, one file of both.

Must not know what the appliance does; of it only the entry point is named here.
Downloads only when the lock or the Python changed. The same sources give the same bytes. What does not boot is no file.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import archive
import bill_of_materials
import trial

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / f"cpython-{sys.version_info.major}{sys.version_info.minor}"
LOCK = ROOT / "packaging" / "requirements.txt"
DIST = ROOT / "dist"
NAME = "appliance.pyz"
ENTRY_POINT = "appliance.cli.main:main"


def run(module: str, *arguments: str | Path) -> None:
    """Run a module of this environment, quietly when all goes well."""
    command = [sys.executable, "-W", "ignore", "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        sys.exit(f"{module} failed ({done.returncode}):\n{done.stdout}{done.stderr}")


def lay_dependencies() -> tuple[Path, Path]:
    """Install what the lock names, and nothing else, into a folder that stays while the lock does; give the folder, and
    pip's report of what it installed.
    """
    folder, report, installed = BUILD / "dependencies", BUILD / "report.json", BUILD / "dependencies.lock"
    wanted = LOCK.read_bytes()
    if installed.exists() and installed.read_bytes() == wanted and report.exists():
        return folder, report
    installed.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    BUILD.mkdir(parents=True, exist_ok=True)
    run(
        "pip",
        *("install", "--quiet", "--disable-pip-version-check", "--no-compile"),
        *("--require-hashes", "--no-deps", "--requirement", LOCK, "--target", folder, "--report", report),
    )
    shutil.rmtree(folder / "bin", ignore_errors=True)  # scripts name this machine's Python
    installed.write_bytes(wanted)
    return folder, report


def lay_appliance() -> Path:
    """Build the wheel and unpack it: installing it would record the folder that it came from."""
    wheels, folder = BUILD / "wheel", BUILD / "appliance"
    for old in (wheels, folder):
        shutil.rmtree(old, ignore_errors=True)
    run("hatchling", "build", "--target", "wheel", "--directory", wheels)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(folder)
    return folder


def glibc(folder: Path) -> tuple[int, ...]:
    """Give the version that the compiled packages in a folder need: of each, the lowest that one of its tags allows."""
    needed: list[tuple[int, ...]] = [()]
    for wheel in folder.glob("*.dist-info/WHEEL"):
        text = wheel.read_text(encoding="utf-8").replace("manylinux2014", "manylinux_2_17")
        tags = [(int(major), int(minor)) for major, minor in re.findall(r"manylinux_(\d+)_(\d+)", text)]
        if tags:
            needed.append(min(tags))
    return max(needed)


def pack(folders: tuple[Path, ...], packed: Path) -> None:
    """Have it packed; it is compressed when it is finished."""
    run(
        "shiv",
        *("--entry-point", ENTRY_POINT, "--python", "/usr/bin/env python3"),
        *("--reproducible", "--uncompressed"),
        *(word for folder in folders for word in ("--site-packages", folder)),
        *("--output-file", packed),
    )


def main() -> None:
    dependencies, report = lay_dependencies()
    appliance = lay_appliance()
    (metadata,) = appliance.glob("*.dist-info/METADATA")
    made = BUILD / "made"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    file, packed = made / NAME, BUILD / "packed"
    pack((dependencies, appliance), packed)
    archive.finish(
        packed,
        file,
        archive.Needs(
            python=(sys.version_info.major, sys.version_info.minor),
            built_for=EXTENSION_SUFFIXES[0].rpartition(".")[0].lstrip("."),
            glibc=glibc(dependencies),
        ),
        entry_point=ENTRY_POINT,
        name=f"appliance-{re.findall(r'(?m)^Version: (.+)$', metadata.read_text(encoding='utf-8'))[0]}",
    )
    trial.boot(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    (made / f"{NAME}.sha256").write_text(f"{digest}  {NAME}\n", encoding="ascii")
    bill = bill_of_materials.write(
        metadata.read_text(encoding="utf-8"), json.loads(report.read_bytes()), digest=digest
    )
    (made / "appliance.cdx.json").write_text(bill, encoding="utf-8")
    DIST.mkdir(exist_ok=True)
    for result in made.iterdir():
        result.replace(DIST / result.name)
    print(archive.describe(DIST / NAME), file=sys.stderr)  # noqa: T201 - for who builds


if __name__ == "__main__":
    main()
