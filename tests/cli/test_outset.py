"""What is loaded for a command that loads much, in a process that has loaded nothing yet."""

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
        [sys.executable, "-c", f"import sys\nfrom appliance.cli.outset import lightly\n{code}"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return done.stdout.strip()


def test_the_server_is_loaded_without_what_draws(root: Path) -> None:
    code = "with lightly():\n    from appliance.cli import serving\nprint({'structlog', 'rich'} & set(sys.modules))"
    assert told(root, code) == "{'structlog'}"


def test_what_draws_can_be_loaded_afterwards(root: Path) -> None:
    code = (
        "with lightly():\n    import structlog\nimport rich.console\nprint(rich.console.Console().width > 0)"
    )
    assert told(root, code) == "True"


def test_what_draws_stays_where_it_is_loaded(root: Path) -> None:
    code = "import rich\nwith lightly():\n    import structlog\nprint(sys.modules['rich'] is rich)"
    assert told(root, code) == "True"
