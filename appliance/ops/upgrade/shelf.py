"""The file that the appliance runs from, and those beside it: what comes, what goes, what is kept.

    appliance.pyz               in place: whole at any moment, for it is only ever replaced by renaming
    appliance.pyz.new           the one that comes, while it is examined
    appliance.pyz.old           the last that is known to serve, as long as the one in place is not
    appliance.pyz.previous      what was in place before, then .previous-2, .previous-3 …

Must not know what is in them, nor what runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import filecmp
import glob
import os
import shutil
from typing import TYPE_CHECKING

import attrs

from appliance.core.errors import UpgradeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def locked(target: Path) -> Iterator[Shelf]:
    """Have the files for oneself. The lock is the kernel's, on their folder: it leaves nothing behind."""
    with contextlib.ExitStack() as stack:
        with _telling(target.parent):
            folder = stack.enter_context(_opened(target.parent))
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UpgradeError(f"another upgrade of {target} is under way: wait until it has ended") from None
        yield Shelf(target)


@attrs.frozen
class Shelf:
    target: Path

    @property
    def new(self) -> Path:
        return self._beside("new")

    @property
    def old(self) -> Path:
        return self._beside("old")

    @property
    def is_unproven(self) -> bool:
        """Whether an upgrade was cut short, so that nobody saw whether what is in place serves."""
        return self.old.exists() and not self.old.samefile(self.target)

    @property
    def last_good(self) -> Path | None:
        """What to go back to, if there is anything."""
        if self.is_unproven:
            return self.old
        return next(iter(self._previous()), None)

    def stage(self, source: Path) -> None:
        """Copy a file beside the one in place, with the owner, the mode and the labels of that one."""
        with _telling(self.new):
            self.new.unlink(missing_ok=True)
            file = os.open(self.new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "wb") as copy, source.open("rb") as original:
                shutil.copyfileobj(original, copy)
                copy.flush()
                found = self.target.stat()
                if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(file, found.st_uid, found.st_gid)
                shutil.copystat(self.target, self.new)  # what SELinux calls it, too
                os.utime(file)
                os.fsync(file)

    def discard(self) -> None:
        with _telling(self.new):
            self.new.unlink(missing_ok=True)

    def swap(self) -> None:
        """Put the new file in place. The last one that is known to serve is kept until `settle` or `put_back`."""
        with _telling(self.target):
            if not self.is_unproven:
                self.old.unlink(missing_ok=True)
                os.link(self.target, self.old)
            self.new.replace(self.target)
            self._sync()

    def put_back(self) -> None:
        """Put the last one that is known to serve in place again; the one that was there is gone."""
        with _telling(self.target):
            self.old.replace(self.target)
            self._sync()

    def settle(self, keep: int) -> None:
        """What is in place is known to serve: keep so many of those before it, and never the same one once more."""
        with _telling(self.target):
            for path in [self.old, *self._previous()]:
                if path.exists() and filecmp.cmp(path, self.target, shallow=False):
                    path.unlink()
            if self.old.exists():
                self._make_room(1)
                self.old.replace(self._numbered(1))
            for path in self._previous()[keep:]:
                path.unlink()
            self._sync()

    def _previous(self) -> list[Path]:
        """What is kept, the newest first."""
        first, others = self._numbered(1), self.target.parent.glob(f"{glob.escape(self._numbered(1).name)}-*")
        numbers = [int(word) for path in others if (word := path.name.rpartition("-")[2]).isdecimal()]
        return [*([first] if first.exists() else []), *map(self._numbered, sorted(numbers))]

    def _make_room(self, number: int) -> None:
        path = self._numbered(number)
        if path.exists():
            self._make_room(number + 1)
            path.replace(self._numbered(number + 1))

    def _numbered(self, number: int) -> Path:
        return self._beside("previous" if number == 1 else f"previous-{number}")

    def _beside(self, ending: str) -> Path:
        return self.target.with_name(f"{self.target.name}.{ending}")

    def _sync(self) -> None:
        """Make the names survive a failure of power."""
        with _opened(self.target.parent) as folder:
            os.fsync(folder)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield opened
    finally:
        os.close(opened)


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise UpgradeError(
            f"{where}: {error.strerror or error}: be root, and look at the disk and its mount"
        ) from error
