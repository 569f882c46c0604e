"""What the built file unpacks and compiles at its first start, at hand for tests that are not about one.

Must not know where a test wants it.
"""

from __future__ import annotations

import os
import py_compile
import re
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.e2e import running

if TYPE_CHECKING:
    from tests.booted import Machine

_PACKAGES: Final = "site-packages/"
OF_ROOT: Final = "/root/.cache/appliance/unpacked"
_OF_THE_UNIT: Final = "/var/cache/private/appliance/unpacked"
"""Where both have it in a machine."""


def build_of(zipapp: Path) -> str:
    """The name of the folder that the file unpacks itself in."""
    with zipfile.ZipFile(zipapp) as archive:
        [name] = re.findall(rb'\bbuild="([^"]+)"', archive.read("__main__.py"))
    return str(name.decode())


def folder(zipapp: Path) -> Path:
    """Where the file is unpacked already, all compiled: by `make`, else now. Nobody may change what is in it."""
    found = Path(running.surroundings(zipapp)["SHIV_ROOT"]) / build_of(zipapp)
    if not found.is_dir():
        done = running.run(zipapp, "version")
        assert done.returncode == 0, done.stderr
    return found


def lay(zipapp: Path, root: Path, *others: Path) -> Path:
    """Have it be in that folder as if the file had been unpacked there, and other versions of it. They share what is
    the same in them, with `folder` where the disk is the same; give the folder.
    """
    first = Path(shutil.copytree(folder(zipapp), root / build_of(zipapp), copy_function=_linked))
    with zipfile.ZipFile(zipapp) as archive:
        known = {entry.filename: entry.CRC for entry in archive.infolist()}
    [metadata] = first.glob("site-packages/stream_appliance-*.dist-info")
    for other in others:
        build = Path(shutil.copytree(first, root / build_of(other), copy_function=_linked))
        shutil.rmtree(build / metadata.relative_to(first))
        with zipfile.ZipFile(other) as archive:
            for entry in archive.infolist():
                name = entry.filename
                if name.startswith(_PACKAGES) and known.get(name) != entry.CRC:
                    (build / name).unlink(missing_ok=True)
                    archive.extract(entry, build)
                    if name.endswith(".py"):
                        py_compile.compile(str(build / name), doraise=True)
    return root


def of_root(zipapp: Path) -> dict[Path, str]:
    """Files of a machine with which root's first start of the file is not the first."""
    return {folder(zipapp): f"{OF_ROOT}/{build_of(zipapp)}"}


def of_the_unit(machine: Machine, *, copied: str) -> None:
    """Have what is in that folder of a machine be where the unit would unpack it: it is the unit's then."""
    machine.run(
        "install --directory --mode=700 /var/cache/private /var/cache/private/appliance\n"
        f"cp --archive {copied} {_OF_THE_UNIT}"
    )


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another disk
        shutil.copy2(source, target)
