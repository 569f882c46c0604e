"""Words of remedies: paths as a shell takes them, users as people know them.

Must not know what is wrong.
"""

from __future__ import annotations

import pwd
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def quoted(path: Path) -> str:
    return shlex.quote(str(path))


def user_name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
