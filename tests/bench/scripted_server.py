"""A real server that does the same to every client, to test a load against.

Must not know what the load makes of it.
"""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

WITHIN = 20.0
"""Seconds that a busy machine may take for what should take a moment."""


def event(offset: int, topic: str = "t:1", **data: Any) -> str:
    """Write an event as the own protocol does."""
    return json.dumps({"type": "update", "channel": topic, "offset": offset, "data": data})


def sends(*texts: str) -> Callable[[ServerConnection], None]:
    def script(connection: ServerConnection) -> None:
        for text in texts:
            connection.send(text)

    return script


@contextlib.contextmanager
def serving(script: Callable[[ServerConnection], None], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run the server; give its URL."""

    def stay(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            script(connection)
            connection.recv()

    server: Server
    with serve(stay, "127.0.0.1", 0, ssl=tls, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            port = server.socket.getsockname()[1]
            yield f"{'ws' if tls is None else 'wss'}://127.0.0.1:{port}/ws"
        finally:
            server.shutdown()
            thread.join()
