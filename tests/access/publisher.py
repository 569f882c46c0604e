"""A server that publishes keys, on the loopback: what it answers is up to the test."""

from __future__ import annotations

import contextlib
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import trio

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator


def answer(body: Any, status: str = "200 OK") -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (
        status.encode(),
        len(content),
        content,
    )


@attrs.define(eq=False)
class Publisher:
    """Answers each request with `says`; none is a server that never answers."""

    says: bytes | None
    context: ssl.SSLContext | None = None
    port: int = 0
    heads: list[bytes] = attrs.Factory(list)

    @property
    def url(self) -> str:
        return f"{'http' if self.context is None else 'https'}://localhost:{self.port}/keys?v=1"

    def publish(self, *keys: Any) -> None:
        self.says = answer({"keys": keys})

    async def serve(self, stream: trio.abc.Stream) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with stream:
                if self.context is not None:
                    stream = trio.SSLStream(stream, self.context, server_side=True, https_compatible=True)
                head = b""
                while b"\r\n\r\n" not in head:
                    more = bytes(await stream.receive_some(4096))
                    if not more:
                        return
                    head += more
                self.heads.append(head)
                if self.says is None:
                    await trio.sleep_forever()
                else:
                    await stream.send_all(self.says)


@contextlib.asynccontextmanager
async def publishing(
    *keys: Any, says: bytes | None = b"", context: ssl.SSLContext | None = None
) -> AsyncIterator[Publisher]:
    """Serve until the block ends."""
    publisher = Publisher(answer({"keys": keys}) if says == b"" else says, context)
    async with trio.open_nursery() as nursery:  # ends with the block
        listen = partial(trio.serve_tcp, publisher.serve, 0, host="127.0.0.1")
        (listener,) = await nursery.start(listen)
        publisher.port = listener.socket.getsockname()[1]
        yield publisher
        nursery.cancel_scope.cancel()
