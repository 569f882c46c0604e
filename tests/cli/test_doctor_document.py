"""Holds the section "Asking the doctor" of docs/operations.md against the code, and runs its commands."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from appliance.ops.doctor import memory
from appliance.ops.doctor.findings import Kind, Verdict
from tests.authoring import PATIENCE, ROOT
from tests.cli.test_serving import OPEN, write

if TYPE_CHECKING:
    from pathlib import Path

HEADING = "Asking the doctor"
CONFIGURATION = "/etc/appliance/appliance.toml"
BLOCK = re.compile(r"^(?:<!-- (\S+) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `?([a-z0-9-]+)`? \| *(.*?) *\|$", re.MULTILINE)
LINE = re.compile(r"(ok|note|warning|problem) +([a-z-]+): \S.*")


@pytest.fixture(scope="module")
def section(root: Path) -> str:
    page = (root / "docs" / "operations.md").read_text(encoding="utf-8")
    _, found, rest = page.partition(f"\n## {HEADING}\n")
    assert found, f"there is no section `{HEADING}`"
    return re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def table(section: str, head: str) -> list[str]:
    """The first cells of the table whose first head this is."""
    [text] = [block for block in section.split("\n\n") if block.startswith(f"| {head} |")]
    rows = ROW.findall(text)
    assert [name for name, words in rows[1:] if not words] == []
    return [name for name, _ in rows[1:]]


def test_every_kind_of_finding_is_in_the_table_in_its_order(section: str) -> None:
    assert table(section, "finding") == [str(kind) for kind in Kind]


def test_every_word_is_explained(section: str) -> None:
    assert table(section, "word") == [str(verdict) for verdict in Verdict]
    assert table(section, "status") == ["0", "1", "2"]


def test_the_example_is_as_the_doctor_speaks(section: str) -> None:
    [text] = [text for mark, _, text in BLOCK.findall(section) if mark == "example"]
    *lines, blank, summary = text.splitlines()
    found = [match for line in lines if (match := LINE.fullmatch(line))]
    kinds = [Kind(match[2]) for match in found]
    assert kinds == sorted(kinds, key=list(Kind).index)
    others = [line for line in lines if not LINE.fullmatch(line)]
    assert len(others) == 2 * sum(match[1] != "ok" for match in found)
    assert [line for line in others if not line.startswith(("           why: ", "           do:  "))] == []
    assert (blank, summary) == ("", "1 problem, 1 warning")


def test_its_commands_run(section: str, tmp_path: Path) -> None:
    write(tmp_path, f"{OPEN}[limits]\nconnections = 100\nsessions = 100\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, module in {"appliance": "-m appliance.cli.main", "python3": ""}.items():
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        (tools / name).chmod(0o755)
    environment = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    commands = [text for _, kind, text in BLOCK.findall(section) if kind == "sh"]
    assert len(commands) == 3
    for command in commands:
        done = subprocess.run(
            ["sh", "-e", "-c", command.replace(CONFIGURATION, str(tmp_path / "appliance.toml"))],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        # PYTHONPATH is how the test has the appliance found.
        assert "environment: PYTHONPATH" in done.stdout


def test_its_figures_are_those_of_the_code(section: str) -> None:
    words = " ".join(section.split())
    assert f"{memory.BASE // 1024**2} MiB and {memory.CONNECTION // 1024} KiB" in words
    assert f"{memory.STALLED // 1024} KiB beside `limits.unsent`" in words
