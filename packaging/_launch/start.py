"""The way from the file to the program in it.

Must not know what the program is: the build says which function to call.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from _launch import held, places, suitable

if TYPE_CHECKING:
    from pathlib import Path

_UNSUITABLE = 2
"""The status of a mistake that no restart puts right."""


def start(*, built_for: str, glibc: tuple[int, ...], build: str, entry_point: str) -> None:
    """Run the entry point from the packages in this archive."""
    archive = sys.argv[0]
    name = os.path.basename(archive)  # noqa: PTH119 - a path object for each start, for one word
    if refusal := suitable.refusal(built_for, glibc):
        print(f"{name} {refusal}", file=sys.stderr)  # noqa: T201 - there is no log yet
        sys.exit(_UNSUITABLE)
    try:
        root, notice = places.choose(os.environ, build)
    except places.NowhereError as error:
        sys.exit(f"{name}: {error}")
    folder = root / build
    if not held.hold(folder):
        _lay(folder, archive, notice)
    sys.path.insert(_place(), str(folder / "site-packages"))
    if os.environ.get("SHIV_INTERPRETER"):
        import_module("_bootstrap.interpreter").execute_interpreter()
    else:
        # Whoever looks through the path, as for the version of a package, would read the names of all that is in it.
        own = os.path.abspath(archive)  # noqa: PTH100 - as above
        sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != own]  # noqa: PTH100 - as above
        module, _, function = entry_point.partition(":")
        sys.exit(getattr(import_module(module), function)())


def _lay(folder: Path, archive: str, notice: str) -> None:
    from _launch import laid  # noqa: PLC0415 - for the first start of a build alone

    name = os.path.basename(archive)  # noqa: PTH119 - as above
    # To compile all takes seconds, and each module that is imported is compiled then. But where Python is told to keep
    # no bytecode, and in a folder that is made ready for others, who cannot write there, that would be at each start.
    compiled = sys.dont_write_bytecode or bool(os.environ.get("SHIV_ROOT"))
    try:
        laid.lay(folder, archive, compiled=compiled)
    except laid.NotLaidError as error:
        sys.exit(f"{name}: {error}. Name another folder: SHIV_ROOT=DIR")
    if notice:
        print(f"{name}: {notice}", file=sys.stderr)  # noqa: T201 - as above


def _place() -> int:
    """Give the place on the path before the packages of this Python, so that those in the file go before them."""
    places_of_packages = (
        place for place, entry in enumerate(sys.path) if entry.endswith(("site-packages", "dist-packages"))
    )
    return next(places_of_packages, len(sys.path))
