from __future__ import annotations

import resource
import subprocess
import sys

from appliance.ops.limits import raise_open_files

SCRIPT = """
import resource
from appliance.ops.limits import raise_open_files

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
{before}
print(*raise_open_files(), *resource.getrlimit(resource.RLIMIT_NOFILE), hard)
"""

REFUSING = """
def refuse(*_):
    raise {error}
resource.setrlimit = refuse
"""


def raised(before: str = "") -> list[int]:
    """Raise the limit in a process that has it low, and give before, after, and what the system then says."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [int(number) for number in done.stdout.split()]


def test_all_that_the_system_allows_is_taken() -> None:
    before, after, soft, hard, allowed = raised()
    assert before == 64
    assert after == soft == hard == allowed


def test_a_system_that_refuses_leaves_it_as_it_was() -> None:
    for error in ("ValueError('not so many')", "OSError('not so many')"):
        before, after, soft, *_ = raised(REFUSING.format(error=error))
        assert before == after == soft == 64


def test_twice_is_as_good_as_once() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        _, after = raise_open_files()
        assert raise_open_files() == (after, after)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
