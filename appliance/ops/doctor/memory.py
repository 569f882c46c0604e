"""Memory: whether what the limits allow fits into what there is.

Must not know what needs it: the figures are measured ones.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import attrs
from rich.filesize import decimal

from appliance.ops.doctor import processes
from appliance.ops.doctor.findings import Kind, note, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.ops.doctor.findings import Finding

BASE: Final = 128 * 1024**2
"""Bytes that it needs without a client: 73 MiB with the simulated market, and what plugins bring."""
CONNECTION: Final = 64 * 1024
"""Bytes for a client over TLS: 50 KiB are measured, of which OpenSSL has the most."""
STALLED: Final = 128 * 1024
"""Bytes that the kernel holds for a client that does not read, above `limits.unsent`."""


@attrs.frozen(kw_only=True)
class Facts:
    """`total` is the memory of the machine, `group` the limit of the group of processes, if there is one.

    `topic` are the most bytes of history of a topic.
    """

    total: int
    group: int | None
    connections: int
    unsent: int
    topic: int


def gather(*, group: int | None, connections: int, unsent: int, topic: int) -> Facts:
    """`group` is the limit that is known to hold for the appliance; else that of this process counts."""
    return Facts(
        total=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        group=processes.most_memory() if group is None else group,
        connections=connections,
        unsent=unsent,
        topic=topic,
    )


def judge(facts: Facts) -> Iterator[Finding]:
    within = facts.total if facts.group is None else min(facts.group, facts.total)
    limit = "this machine has" if within == facts.total else "its group of processes may have"
    usual = BASE + facts.connections * CONNECTION
    stalled = usual + facts.connections * (facts.unsent + STALLED)
    full = f"limits.connections = {facts.connections:,} take {decimal(usual)}, and {limit} {decimal(within)}"
    if usual > within:
        yield warning(
            Kind.MEMORY,
            full,
            why="when no more is left the kernel ends the process, and with it every session",
            remedy=f"`limits.connections = {max((within - BASE) // CONNECTION, 1)}`, or raise `MemoryMax=` of the unit"
            " or the memory of the machine",
        )
    elif stalled > within:
        each = CONNECTION + facts.unsent + STALLED
        yield note(
            Kind.MEMORY,
            f"{full}; if none of them read, they would take {decimal(stalled)}",
            why="the kernel holds what clients do not take, until `limits.stalled` ends them",
            remedy=f"`limits.connections = {max((within - BASE) // each, 1)}` where clients are not your own",
        )
    else:
        topics = (within - usual) // max(facts.topic, 1)
        yield ok(Kind.MEMORY, f"{full}; the rest holds {topics:,} full histories of {decimal(facts.topic)}")
