"""What is loaded for a process's life, in a process that has loaded nothing yet."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 60.0


def told(root: Path, code: str) -> str:
    """What a fresh process prints."""
    done = subprocess.run(
        [sys.executable, "-c", f"import gc, sys\nfrom appliance.loading.outset import lightly\n{code}"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return done.stdout.strip()


def test_garbage_is_looked_for_again_but_not_among_what_was_loaded(root: Path) -> None:
    code = (
        "with lightly('tested'):\n    import attrs, trio\n    print(gc.isenabled())\n"
        "print(gc.isenabled(), gc.get_freeze_count() > 10_000)"
    )
    assert told(root, code).split() == ["False", "True", "True"]


def test_where_all_is_loaded_already_garbage_stays_garbage(root: Path) -> None:
    code = (
        "with lightly('tested'):\n    import attrs\nkept = gc.get_freeze_count()\n"
        "with lightly('tested'):\n    import attrs\nprint(gc.get_freeze_count() == kept)"
    )
    assert told(root, code) == "True"


def test_a_module_that_does_not_load_leaves_nothing_switched_off(root: Path) -> None:
    code = "try:\n    with lightly('tested'):\n        import nowhere\nexcept ImportError:\n    print(gc.isenabled())"
    assert told(root, code) == "True"
