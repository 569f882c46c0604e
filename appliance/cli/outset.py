"""The loading of a command that loads much.

Must not know which command it is.
"""

from __future__ import annotations

import contextlib
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from appliance.loading import outset

if TYPE_CHECKING:
    from collections.abc import Iterator

_DRAWS = "rich"


@contextlib.contextmanager
def lightly(part: str = "loaded") -> Iterator[None]:
    """Import in this block what the command stands on. `part` names what is the same at each start."""
    with outset.lightly(part):
        _load_structlog()
        yield


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
