"""The memory of this process, as the system tells of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from appliance.ops import memory
from appliance.ops.doctor import processes

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_what_is_taken_is_held_and_what_is_freed_can_be_given_back() -> None:
    before = memory.resident()
    assert before is not None
    taken = bytearray(b"x" * 64_000_000)
    held = memory.resident()
    assert held is not None
    assert held > before + 32_000_000
    del taken
    memory.trim()
    left = memory.resident()
    assert left is not None
    assert left < held - 32_000_000


def test_so_can_what_refers_to_itself() -> None:
    circle: list[object] = [bytearray(b"x" * 64_000_000)]
    circle.append(circle)
    held = memory.resident()
    assert held is not None
    del circle
    memory.trim()
    left = memory.resident()
    assert left is not None
    assert left < held - 32_000_000


def test_what_is_said_is_the_limit() -> None:
    assert memory.most(5_000) == 5_000
    assert memory.most("off") is None
    looked = memory.look(5_000)
    assert looked is not None
    assert looked.used > looked.most == 5_000
    assert memory.look("off") is None


def test_else_it_is_a_share_of_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: dict[str, int | None] = {"group": None}
    monkeypatch.setattr(processes, "most_memory", lambda **_: limits["group"])
    assert memory.most(None) == int(0.8 * MACHINE)
    limits["group"] = 1_000_000
    assert memory.most(None) == 800_000
    limits["group"] = 2 * MACHINE
    assert memory.most(None) == int(0.8 * MACHINE)


def test_where_the_system_does_not_tell_there_is_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "_ITSELF", tmp_path / "statm")
    assert memory.resident() is None
    assert memory.look(None) is None
