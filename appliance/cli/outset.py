"""The loading of a command that loads much, without what takes time there and gives nothing.

Must not know which command it is.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from appliance.cli import written

if TYPE_CHECKING:
    from collections.abc import Iterator

_DRAWS = "rich"


@contextlib.contextmanager
def lightly(part: str = "loaded") -> Iterator[None]:
    """Import in this block what stays for the process's life. `part` names what is the same at each start."""
    before = len(sys.modules)
    gc.disable()  # modules and classes are no garbage, and to look through them takes a tenth of a start
    try:
        with written.kept(written.place(part)):
            _load_structlog()
            yield
    finally:
        if len(sys.modules) > before:
            gc.freeze()  # nor are they later
        gc.enable()


def _load_structlog() -> None:
    """Load it before anything else does: where rich is to be had, it takes that along, to draw tracebacks, of which the
    log has none that are drawn. Who wants rich can import it afterwards.
    """
    if _DRAWS in sys.modules:
        return
    sys.modules[_DRAWS] = None  # type: ignore[assignment]  # an import of it fails, as where it is not installed
    try:
        import_module("structlog")
    finally:
        del sys.modules[_DRAWS]
