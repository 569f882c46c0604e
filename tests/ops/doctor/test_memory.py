from __future__ import annotations

import re

import attrs

from appliance.ops.doctor import memory
from tests.ops.doctor.said import only, said

GIB = 1024**3
GOOD = memory.Facts(total=8 * GIB, group=None, connections=12_000, unsent=32_768, topic=1024**2)


def test_enough_of_it_is_good() -> None:
    [found] = memory.judge(GOOD)
    assert said([found]) == [("memory", "ok")]
    assert "this machine has 8.6 GB" in found.what


def test_too_little_is_warned_of_with_a_number_that_fits() -> None:
    found = only(memory.judge(attrs.evolve(GOOD, group=512 * 1024**2)))
    assert (found.kind, found.verdict) == ("memory", "warning")
    assert "its group of processes may have 536.9 MB" in found.what
    match = re.search(r"limits.connections = (\d+)", found.remedy)
    assert match is not None
    fits = attrs.evolve(GOOD, group=512 * 1024**2, connections=int(match[1]))
    assert said(memory.judge(fits)) != [("memory", "warning")]


def test_clients_that_do_not_read_are_noted() -> None:
    found = only(memory.judge(attrs.evolve(GOOD, total=2 * GIB)))
    assert (found.kind, found.verdict) == ("memory", "note")
    match = re.search(r"limits.connections = (\d+)", found.remedy)
    assert match is not None
    fits = attrs.evolve(GOOD, total=2 * GIB, connections=int(match[1]))
    assert said(memory.judge(fits)) == [("memory", "ok")]


def test_a_limit_above_what_the_machine_has_is_none() -> None:
    [found] = memory.judge(attrs.evolve(GOOD, group=2**63 - 4096))
    assert "this machine has" in found.what


def test_a_machine_without_any_for_a_client_still_has_a_number() -> None:
    assert "limits.connections = 1`" in only(memory.judge(attrs.evolve(GOOD, total=1024**2))).remedy


def test_this_machine_is_looked_at() -> None:
    facts = memory.gather(group=GIB, connections=1, unsent=4096, topic=1)
    assert facts.total > 64 * 1024**2
    assert facts.group == GIB
