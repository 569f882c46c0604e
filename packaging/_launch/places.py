"""Where the file may unpack itself: a folder whose code nobody else can change.

Must not know what is unpacked.
"""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FOLDER = "appliance"
_UNPACKED = "unpacked"
_OUTSIDE = 65_534
"""The owner of what belongs to nobody in a namespace of users, such as `/` in a container without root."""


class NowhereError(Exception):
    """No folder can be used; the message says why, and the remedy."""


def choose(environment: Mapping[str, str], build: str) -> tuple[Path, str]:
    """Give the folder to unpack this build in, made and checked, and what should be told about it.

    The one that SHIV_ROOT names or none; else systemd's, else the user's own, else a temporary one of this user's.
    """
    if named := environment.get("SHIV_ROOT"):
        folder = Path(named).expanduser().absolute()
        if reason := unusable(folder, build):
            raise NowhereError(f"cannot unpack in SHIV_ROOT: {reason}")
        return folder, ""
    reasons = []
    for folder in _kept(environment):
        reason = unusable(folder, build)
        if not reason:
            return folder, ""
        reasons.append(reason)
    why = "; ".join(reasons) or f"user {os.geteuid()} has no home folder"
    folder = _temporary()
    if reason := unusable(folder, build):
        raise NowhereError(f"nowhere to unpack: {why}; {reason}. Name a folder of your own: SHIV_ROOT=DIR")
    return (
        folder,
        f"unpacked in {folder}, which may not last: {why}. Name a folder to keep it in: SHIV_ROOT=DIR",
    )


def _kept(environment: Mapping[str, str]) -> Iterator[Path]:
    """Name the folder of systemd, or if it gives none, that of the user (XDG)."""
    if by_systemd := environment.get("CACHE_DIRECTORY", "").partition(":")[0]:
        yield Path(by_systemd) / _UNPACKED
        return
    by_user = Path(environment.get("XDG_CACHE_HOME", ""))
    if by_user.is_absolute():  # XDG wants relative ones ignored
        yield by_user / _FOLDER / _UNPACKED
    elif home := _home(environment):
        yield home / ".cache" / _FOLDER / _UNPACKED


def _home(environment: Mapping[str, str]) -> Path | None:
    home = Path(environment.get("HOME", ""))
    if home.is_absolute():
        return home
    try:
        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        return None


def _temporary() -> Path:
    """Name the same folder each time, so that it is unpacked there once."""
    import tempfile  # noqa: PLC0415 - takes a while, and is seldom needed

    try:
        return Path(tempfile.gettempdir()) / f"{_FOLDER}-{os.geteuid()}"
    except FileNotFoundError as error:
        raise NowhereError("nowhere to unpack: no folder can be written. Name one: SHIV_ROOT=DIR") from error


def unusable(folder: Path, build: str) -> str:
    """Make the folder if it is not there. Say why this build cannot be unpacked in it and run from it, or nothing."""
    try:
        for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
            missing.mkdir(0o700, exist_ok=True)
        return _unsafe(folder.resolve(strict=True)) or _closed(folder, build)
    except OSError as error:
        return f"{error.filename or folder}: {error.strerror}"


def _closed(folder: Path, build: str) -> str:
    """What is unpacked already need not be written."""
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return f"{folder} is mounted noexec"
    if not os.access(folder, os.W_OK, effective_ids=True) and not (folder / build).is_dir():
        return f"{folder} cannot be written"
    return ""


def _unsafe(folder: Path) -> str:
    found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder} is not a folder"
    if found.st_uid not in {0, os.geteuid()}:
        return f"{folder} belongs to user {found.st_uid}"
    for each in (folder, *folder.parents):
        if _others_may_change(each, within=each == folder):
            return f"others may write in {each}"
    return ""


def _others_may_change(folder: Path, *, within: bool) -> bool:
    """Whether somebody else could put another folder in the place of one in here. Where many may write, as in `/tmp`,
    the sticky bit keeps each from the folders of others, but not from making files in this one: `within`.
    """
    found = folder.stat()
    if found.st_uid not in {0, os.geteuid(), _OUTSIDE}:
        return True
    own_group = found.st_gid in {0, found.st_uid}  # a group of one, as most systems make for each user
    writable = found.st_mode & (stat.S_IWOTH if own_group else stat.S_IWOTH | stat.S_IWGRP)
    return bool(writable) and (within or not found.st_mode & stat.S_ISVTX)
