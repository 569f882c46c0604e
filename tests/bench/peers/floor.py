"""The floor of the bench: one plain loop of `send` over all sockets, TLS or not, and nothing else.

Must not do what a real server has to: it never reads after the upgrade and cannot cope with a slow client.
"""

from __future__ import annotations

import base64
import hashlib
import re
import selectors
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.edge.certificates import ensure
from appliance.edge.tls import server_context
from tests.bench.peers.orders import Order, Orders, Texts, arguments

if TYPE_CHECKING:
    import ssl

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(rb"sec-websocket-key:\s*(\S+)", re.IGNORECASE)
_DAY = 86_400.0


def upgrade(connection: socket.socket) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)
    key = _KEY.search(head)
    if key is None:
        raise ValueError("not an upgrade")
    accept = base64.b64encode(hashlib.sha1(key[1] + _MAGIC).digest())  # noqa: S324 - RFC 6455 says so
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def publish(order: Order, texts: Texts, connections: list[socket.socket]) -> None:
    for due, burst in order.bursts():
        time.sleep(max(0.0, due - time.monotonic()))
        for _ in range(burst):
            text = texts.make(order.key).encode()
            frame = b"\x81\x7e" + len(text).to_bytes(2, "big") + text
            for connection in connections:
                connection.send(frame)


def security() -> ssl.SSLContext:
    """Make what the appliance's own listener has: the same kind of key, the same ciphers."""
    with tempfile.TemporaryDirectory() as folder:
        pair = ensure(Path(folder), names=(), valid=_DAY, renew_before=0.0, now=time.time())
        return server_context(pair.certificate, pair.key)


def main() -> None:
    parser = arguments()
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    context = security() if options.tls else None
    orders, texts = Orders(options.orders), Texts(options.size)
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", options.port), backlog=1024) as listener:
        waiting = selectors.DefaultSelector()
        waiting.register(listener, selectors.EVENT_READ)
        waiting.register(orders.socket, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    if context is not None:
                        connection = context.wrap_socket(connection, server_side=True)
                    upgrade(connection)
                    connections.append(connection)
                else:
                    publish(orders.read(), texts, connections)


if __name__ == "__main__":
    main()
