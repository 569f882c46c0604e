"""How this machine is reached from others."""

from __future__ import annotations

import contextlib
import socket

ANYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to
"""Hosts of listeners that listen on every address of the machine."""

_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses that nobody has (RFC 5737, RFC 3849), but that the way out leads to."""
_DISCARD = 9


def own_addresses() -> tuple[str, ...]:
    """Give the addresses that this machine would use to reach others, which is where those reach it."""
    found = []
    for family, elsewhere in _ELSEWHERE.items():
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, _DISCARD))  # of a datagram socket: nothing is sent
            found.append(probe.getsockname()[0])
    return tuple(found)
