"""Settings of the kernel's network that matter to a server of many clients.

Must not know the server: its figures are told to it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
from rich.filesize import decimal

from appliance.ops.doctor import processes
from appliance.ops.doctor.findings import Kind, note, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from appliance.ops.doctor.findings import Finding

_SETTINGS: Final = Path("/proc/sys/net")
_WAITING: Final = 2
"""Entries of the firewall for each connection: one that has ended stays for minutes."""


@attrs.frozen(kw_only=True)
class Facts:
    """What the kernel is set to, where it tells; and what the appliance asks for.

    `backlog` are connections that may wait to be accepted, `unsent` the bytes that may wait for each client.
    """

    somaxconn: int | None
    conntrack: int | None
    tcp_memory: int | None
    outgoing: tuple[int, int] | None
    reserved: str
    backlog: int
    connections: int
    unsent: int
    ports: Sequence[int]


def gather(*, backlog: int, connections: int, unsent: int, ports: Sequence[int]) -> Facts:
    pages = _numbers("ipv4/tcp_mem")
    outgoing = _numbers("ipv4/ip_local_port_range")
    return Facts(
        somaxconn=next(iter(_numbers("core/somaxconn")), None),
        conntrack=next(iter(_numbers("netfilter/nf_conntrack_max")), None),
        tcp_memory=pages[-1] * os.sysconf("SC_PAGE_SIZE") if pages else None,
        outgoing=(outgoing[0], outgoing[1]) if outgoing else None,
        reserved=(processes.text(_SETTINGS / "ipv4/ip_local_reserved_ports") or "").strip(),
        backlog=backlog,
        connections=connections,
        unsent=unsent,
        ports=ports,
    )


def _numbers(name: str) -> list[int]:
    return [int(word) for word in (processes.text(_SETTINGS / name) or "").split() if word.isdigit()]


def judge(facts: Facts) -> Iterator[Finding]:
    if facts.somaxconn is not None:
        yield _queue(facts, facts.somaxconn)
    if facts.conntrack is not None:
        yield _tracked(facts, facts.conntrack)
    if facts.tcp_memory is not None:
        yield _held(facts, facts.tcp_memory)
    if facts.outgoing is not None:
        yield _outgoing(facts, *facts.outgoing)


def _queue(facts: Facts, somaxconn: int) -> Finding:
    what = f"{somaxconn:,} connections may wait to be accepted"
    if somaxconn >= facts.backlog:
        return ok(Kind.ACCEPT_QUEUE, what)
    return warning(
        Kind.ACCEPT_QUEUE,
        f"{what}, and the appliance asks for {facts.backlog:,}",
        why="when all clients come back at once, those past it wait for seconds",
        remedy=_set("net.core.somaxconn", facts.backlog),
    )


def _tracked(facts: Facts, most: int) -> Finding:
    need = _WAITING * facts.connections
    what = f"the firewall keeps track of {most:,} connections"
    if most >= need:
        return ok(Kind.CONNTRACK, what)
    return warning(
        Kind.CONNTRACK,
        f"{what}, and limits.connections = {facts.connections:,} may take {need:,}",
        why="when its table is full it drops whatever comes, also for other servers on this machine",
        remedy=_set("net.netfilter.nf_conntrack_max", need),
    )


def _held(facts: Facts, most: int) -> Finding:
    need = facts.connections * facts.unsent
    what = f"TCP may hold {decimal(most)}"
    if most >= need:
        return ok(Kind.TCP_MEMORY, what)
    pages = need // os.sysconf("SC_PAGE_SIZE") + 1
    return warning(
        Kind.TCP_MEMORY,
        f"{what}, and limits.connections with limits.unsent may take {decimal(need)}",
        why="past it the kernel slows down every connection of this machine",
        remedy=_set("net.ipv4.tcp_mem", f"{pages // 2} {pages * 3 // 4} {pages}"),
    )


def _outgoing(facts: Facts, first: int, last: int) -> Finding:
    taken = [port for port in facts.ports if first <= port <= last and not reserves(facts.reserved, port)]
    if not taken:
        return ok(Kind.OUTGOING_PORTS, f"{first}-{last}, none of which is listened on")
    wanted = ",".join([*([facts.reserved] if facts.reserved else []), *map(str, taken)])
    return note(
        Kind.OUTGOING_PORTS,
        f"{first}-{last}, and {', '.join(map(str, taken))} is listened on",
        why="while the appliance is restarted, a connection to elsewhere may be given the port, and it cannot start",
        remedy=_set("net.ipv4.ip_local_reserved_ports", wanted),
    )


def reserves(ranges: str, port: int) -> bool:
    """Whether a port is among ranges such as `8080,9000-9010`."""
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition("-")
        if int(first) <= port <= int(last or first):
            return True
    return False


def _set(name: str, value: int | str) -> str:
    return f"`sysctl -w {name}='{value}'`, and the same in /etc/sysctl.d/60-appliance.conf"
