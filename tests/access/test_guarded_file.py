"""A file that says who is let in: what it holds, and when it is trusted. Keys and revocations stand in such files."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import msgspec
import pytest

from appliance.access.guarded_file import GuardedFile
from appliance.core.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path


class Names(msgspec.Struct, frozen=True):
    names: tuple[str, ...] = ()


def check(found: Names) -> None:
    if "nobody" in found.names:
        raise ValueError("nobody is nobody")


@pytest.fixture
def file(tmp_path: Path) -> GuardedFile[Names]:
    return GuardedFile(tmp_path / "names.json", Names, "names add", check)


def add(file: GuardedFile[Names], name: str) -> int:
    return file.change(lambda before: (Names((*before.names, name)), len(before.names)))


def test_what_is_not_there_is_empty(file: GuardedFile[Names]) -> None:
    assert file.read() == Names()
    assert file.signature() is None


def test_a_change_replaces_the_whole(file: GuardedFile[Names]) -> None:
    assert (add(file, "ann"), add(file, "bob")) == (0, 1)
    assert file.read() == Names(("ann", "bob"))
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    seen = file.signature()
    add(file, "carl")
    assert file.signature() != seen
    assert [each.name for each in file.path.parent.iterdir()] == ["names.json"]


def test_what_cannot_be_meant_is_refused_with_who_writes_it(file: GuardedFile[Names]) -> None:
    add(file, "nobody")
    with pytest.raises(StartError, match=r"not what `names add` writes \(nobody is nobody\)"):
        file.read()


def test_what_others_can_read_is_not_trusted(file: GuardedFile[Names]) -> None:
    add(file, "ann")
    file.path.chmod(0o644)
    with pytest.raises(StartError, match="chmod 600"):
        file.read()
