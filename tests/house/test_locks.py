"""What is installed is locked by hash, from wherever the machine gets its packages."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.house.source_tree import ROOT, files

if TYPE_CHECKING:
    from pathlib import Path

PYTHON_LOCKS = sorted((ROOT / "packaging").glob("requirements*.txt"))
NODE_LOCKS = [
    path for path in files("appliance", "tests", suffix=".json") if path.name == "package-lock.json"
]


def by_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def pinned(lock: Path) -> dict[str, str]:
    """Package to version."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", lock.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("lock", [*PYTHON_LOCKS, ROOT / "packaging" / "websockets-13.txt"], ids=by_name)
def test_a_python_lock_pins_by_hash_and_names_no_address(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    entries = re.split(r"^(?=[^\s#])", text, flags=re.MULTILINE)[1:]
    assert entries
    assert [
        entry.split()[0] for entry in entries if not re.match(r"\S+==\S+ \\\n\s+--hash=sha256:", entry)
    ] == []


@pytest.mark.parametrize("lock", NODE_LOCKS, ids=by_name)
def test_a_node_lock_pins_by_hash_and_names_no_address(lock: Path) -> None:
    packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    installed = {name: package for name, package in packages.items() if name}
    assert installed
    assert [name for name, package in installed.items() if "resolved" in package] == []
    assert [name for name, package in installed.items() if "integrity" not in package] == []


def test_the_locks_agree_with_one_another() -> None:
    everything = pinned(ROOT / "packaging" / "requirements-test.txt")
    for lock in PYTHON_LOCKS:
        assert pinned(lock).items() <= everything.items(), lock.name


def test_the_runtime_lock_has_all_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {re.match(r"[a-z0-9-]+", requirement)[0] for requirement in project["dependencies"]}  # type: ignore[index]
    assert asked - pinned(ROOT / "packaging" / "requirements.txt").keys() == set()
