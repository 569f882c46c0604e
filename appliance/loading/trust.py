"""Whom plugins may come from: root, or the user that the appliance runs as, and nobody else can have written them.

Must not know what is in a file. Whoever can write a plugin is the appliance; so can who may swap the file.
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from typing import TYPE_CHECKING

from appliance.core.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40


def judge(path: Path, found: os.stat_result) -> None:
    """Raise a PluginError when others than root and this user own a file or folder, or can write it.

    The sticky bit of a folder such as /tmp does not help: it lets anybody put new files there.
    """
    shown, mode = shlex.quote(str(path)), stat.S_IMODE(found.st_mode)
    me = os.geteuid()
    if found.st_uid not in (0, me):
        raise PluginError(
            f"{path}: belongs to {_user(found.st_uid)}, and a plugin is loaded only when it is root's or "
            f"{_user(me)}'s: run `chown {_name(me)} {shown}`"
        )
    if mode & _BY_OTHERS:
        who = " and ".join(
            name for name, bit in (("its group", stat.S_IWGRP), ("others", stat.S_IWOTH)) if mode & bit
        )
        raise PluginError(
            f"{path}: can be written by {who} (mode {mode:04o}), and then anybody of them could change the "
            f"plugin: run `chmod go-w {shown}`"
        )


def judge_way(path: Path, top: Path) -> None:
    """Judge the folders that lead from `top` to what stands at `path`: who can write one can swap what is in it.

    Where the path is a symbolic link, the folder of what it leads to is judged too. `top` itself is one of them.
    """
    for folder in dict.fromkeys(_way(path, top)):
        judge(folder, folder.stat())


def _way(path: Path, top: Path) -> Iterator[Path]:
    yield top
    yield from (folder for folder in reversed(path.parents) if folder.is_relative_to(top))
    for _ in range(_MOST_LINKS):
        if not path.is_symlink():
            return
        path = path.parent / path.readlink()
        yield path.parent


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _user(user: int) -> str:
    return f"user {_name(user)}"
