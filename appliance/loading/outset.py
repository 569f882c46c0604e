"""Loading what stays for a process's life, without what takes time there and gives nothing.

Must not know what is loaded.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from typing import TYPE_CHECKING

from appliance.loading import written

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def lightly(part: str) -> Iterator[None]:
    """Import in this block what stays. `part` names what is the same each time."""
    before = len(sys.modules)
    gc.disable()  # modules and classes are no garbage, and to look through them takes a tenth of a start
    try:
        with written.kept(written.place(part)):
            yield
    finally:
        if len(sys.modules) > before:
            gc.freeze()  # nor are they later
        gc.enable()
