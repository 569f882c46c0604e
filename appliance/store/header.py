"""The first bytes of the file: whose it is, and of which version. They can be read while an appliance has it.

Must not know the tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.core.errors import StoreError
from appliance.store import faults, schema

if TYPE_CHECKING:
    from pathlib import Path

_SIZE: Final = 100
_BEGINS: Final = b"SQLite format 3\0"
_VERSION: Final = slice(60, 64)
_APPLICATION: Final = slice(68, 72)


def version(path: Path) -> int | None:
    """Give the version of a file of ours; None where there is none yet. Raises StoreError.

    It is 0 when the file was made a moment ago. Not to be called by the process that has the file: closing it gives up
    the locks on it.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_SIZE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read ({error.strerror}): be the user of the appliance, or root"
        ) from error
    if not head:
        return None
    if len(head) < _SIZE or not head.startswith(_BEGINS):
        raise faults.damaged(path, "it does not begin as it was written")
    application, found = (int.from_bytes(head[place]) for place in (_APPLICATION, _VERSION))
    if application != schema.APPLICATION and (application or found):
        raise faults.foreign(path, "a database of another application")
    return found
