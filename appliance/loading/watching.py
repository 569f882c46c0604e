"""Tells when something happens in folders, where the system has inotify.

Must not know what lies in them: whoever is woken looks for himself, for events can be lost.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import inotify_simple  # type: ignore[import-untyped]
import structlog
import trio

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_log = structlog.get_logger()

_FLAGS = inotify_simple.flags
_MASK = (
    _FLAGS.CREATE
    | _FLAGS.DELETE
    | _FLAGS.MODIFY
    | _FLAGS.CLOSE_WRITE
    | _FLAGS.MOVED_FROM
    | _FLAGS.MOVED_TO
    | _FLAGS.ATTRIB
    | _FLAGS.DELETE_SELF
    | _FLAGS.MOVE_SELF
    | _FLAGS.ONLYDIR
)


class Watching:
    """Folders that are watched; to be closed. Where the system cannot, nothing is ever told."""

    def __init__(self) -> None:
        self._notify: inotify_simple.INotify | None = None
        self._watched: set[int] = set()
        self._told = False

    def open(self) -> None:
        """Begin; it may look for the system's library, and so take its time."""
        try:
            self._notify = inotify_simple.INotify(nonblocking=True)
        except (OSError, AttributeError) as error:
            self._cannot(error)

    def close(self) -> None:
        if self._notify is not None:
            self._notify.close()
            self._notify = None

    def follow(self, folders: Iterable[Path]) -> None:
        """Watch these folders from now on, and no others; also anew those that were replaced by another."""
        if self._notify is None:
            return
        watched: set[int] = set()
        for folder in folders:
            try:
                watched.add(self._notify.add_watch(folder, _MASK))
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue  # it went while it was looked at, or nobody may look
            except OSError as error:
                self._cannot(error)
        for gone in self._watched - watched:
            with contextlib.suppress(OSError):  # who removes a folder, ends its watch
                self._notify.rm_watch(gone)
        self._watched = watched

    async def changed(self) -> None:
        """Wait until something happens in one of them."""
        if self._notify is None:
            await trio.sleep_forever()
        else:
            await trio.lowlevel.wait_readable(self._notify.fileno())
            self._notify.read(timeout=0)

    def _cannot(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            _log.warning(
                "folders are not watched, only looked at (plugins.look_every)",
                reason=str(error),
                remedy="raise fs.inotify.max_user_watches and max_user_instances",
            )
