"""Limits of the process that the operating system sets.

Must not know what the process does with them.
"""

from __future__ import annotations

import resource


def raise_open_files() -> tuple[int, int]:
    """Allow as many open files as the system lets us, and give the limit before and after."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        # macOS reports no hard limit and then refuses so many.
        return soft, soft
    return soft, hard
