from __future__ import annotations

import re
import resource
import subprocess
import sys

import pytest

from appliance.ops.doctor import open_files
from tests.authoring import ROOT
from tests.ops.doctor.said import only, said


@pytest.mark.parametrize("most", [0, 1256, 524_288])
def test_enough_are_good(most: int) -> None:
    facts = open_files.gather(known=(most, "appliance.service"), connections=1000)
    assert said(open_files.judge(facts)) == [("open-files", "ok")]


def test_too_few_are_a_problem_with_numbers_that_fit() -> None:
    found = only(open_files.judge(open_files.gather(known=(1024, "nginx"), connections=1000)))
    assert (found.kind, found.verdict) == ("open-files", "problem")
    assert found.what.startswith("nginx allows 1,024 open files")
    limit, fewer = (
        re.search(r"LimitNOFILE=(\d+)", found.remedy),
        re.search(r"connections = (\d+)", found.remedy),
    )
    assert limit is not None
    assert fewer is not None
    for most, connections in ((int(limit[1]), 1000), (1024, int(fewer[1]))):
        facts = open_files.gather(known=(most, "x"), connections=connections)
        assert said(open_files.judge(facts)) == [("open-files", "ok")]


def test_without_anything_known_the_limit_of_this_process_counts() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    facts = open_files.gather(known=None, connections=1)
    assert facts.most == (0 if hard == resource.RLIM_INFINITY else hard)


def test_a_low_limit_of_a_shell_is_seen() -> None:
    script = (
        "from appliance.ops.doctor import open_files as o; print(o.gather(known=None, connections=1).most)"
    )
    done = subprocess.run(
        ["sh", "-c", 'ulimit -n 99; exec "$0" -c "$1"', sys.executable, script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "99\n"
