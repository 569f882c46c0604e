"""The introduction of a client by a balancer: reads the header of the PROXY protocol off a socket, and no more.

What follows belongs to TLS, which reads the socket itself. Must not know whether the balancer is to be believed.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import trio

from appliance.edge import proxy_protocol

if TYPE_CHECKING:
    from appliance.edge.proxy_protocol import Header
    from appliance.settings.tree import ProxyProtocol

_PEEKED = 256


async def hear(sock: socket.socket, version: ProxyProtocol) -> Header | None:
    """Give the header that a connection begins with; none when the peer leaves before its end.

    Raises MalformedError, and OSError where the connection breaks.
    """
    sock.setblocking(False)  # noqa: FBT003 - the signature of the socket
    taken = b""
    while (header := proxy_protocol.read(taken, version)) is None:
        await trio.lowlevel.wait_readable(sock)
        try:
            at_hand = sock.recv(_PEEKED, socket.MSG_PEEK)
            if not at_hand:
                return None
            taken += sock.recv(proxy_protocol.wanted(taken, at_hand, version))
        except BlockingIOError:
            continue
    return header
