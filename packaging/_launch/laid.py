"""What is packed, laid out as a folder, once for each build; and what is left of old builds, removed.

Must not know where the folder is, nor what is run from it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import zipfile
from importlib import import_module
from typing import TYPE_CHECKING

from _launch.held import hold

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_UNFINISHED = ".tmp"
_REMOVED = ".removed"
_LOCK = ".lock"
_KEPT = 1
"""How many builds stay beside the newest one: the one before, for the way back to it."""


class NotLaidError(Exception):
    """The disk did not take it; the message says why."""


def lay(folder: Path, archive: str, *, compiled: bool) -> None:
    """Unpack the archive's packages into this folder, all compiled or none, and hold it.

    Processes that come at once share it. One that is killed on the way leaves nothing that another takes for whole.
    """
    try:
        with _alone(folder.parent):
            if hold(folder):
                return
            _unpack(folder, archive, compiled=compiled)
            hold(folder)
            _clean(folder)
    except OSError as error:
        raise NotLaidError(f"cannot unpack in {folder.parent}: {error.strerror or error}") from error


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Let one process at a time unpack and remove; wait for it."""
    lock = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _unpack(folder: Path, archive: str, *, compiled: bool) -> None:
    shiv = import_module("_bootstrap")  # of the archive
    unfinished = folder.with_name(folder.name + _UNFINISHED)
    shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
    before = os.umask(0o077)
    try:
        unfinished.mkdir()
        with zipfile.ZipFile(archive) as opened:
            # One process compiles: several want shared memory, which a locked-up service may lack.
            shiv.extract_site_packages(
                opened, unfinished / folder.name, compile_pyc=compiled, compile_workers=1
            )
        (unfinished / folder.name).rename(folder)
    finally:
        os.umask(before)
        shutil.rmtree(unfinished, ignore_errors=True)  # most of all when the disk is full


def _clean(newest: Path) -> None:
    """Remove what is left of killed processes, and old builds but for the last, unless a process runs from them.

    Other zipapps may unpack beside them: a build is known by its name, `appliance-…`.
    """
    builds = []
    for entry in newest.parent.glob(f"{newest.name.partition('-')[0]}-*"):
        if entry.name.endswith((_UNFINISHED, _REMOVED)):
            shutil.rmtree(entry, ignore_errors=True)
        elif entry != newest:
            builds.append(entry)
    builds.sort(key=lambda entry: entry.stat().st_mtime)
    for old in builds[:-_KEPT]:
        _remove(old)


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):  # it stays when a process holds it, or when it is not ours to remove
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder.rename(folder.with_name(folder.name + _REMOVED)), ignore_errors=True)
        finally:
            os.close(held)
