"""One `GET` of a small document over HTTPS, on Trio.

Must not know what the document is. No redirects: what is configured is where it is fetched.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import h11
import trio

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 262_144
"""Bytes of a document."""
_CHUNK = 16_384
_OK = 200


class Unfetched(Exception):  # noqa: N818 - it is why there is no document
    """The document is not to be had; the message says why."""


async def fetch(url: str, *, ca: Path | None, within: float) -> bytes:
    """Give the document at an `https://` or `http://` URL; `ca` are authorities in place of the system's."""
    try:
        with trio.fail_after(within):
            return await _fetch(url, ca)
    except trio.TooSlowError:
        raise Unfetched(f"{url} did not answer within {within:g} s") from None
    except (OSError, trio.BrokenResourceError, ValueError) as error:
        cause = error.__cause__ if isinstance(error, trio.BrokenResourceError) else None
        raise Unfetched(f"{url}: {cause or error}") from None
    except h11.RemoteProtocolError as error:
        raise Unfetched(f"{url} does not speak HTTP: {error}") from None


async def _fetch(url: str, ca: Path | None) -> bytes:
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    stream: trio.abc.Stream = await trio.open_tcp_stream(host, parts.port or (443 if secure else 80))
    async with stream:
        if secure:
            context = ssl.create_default_context(cafile=None if ca is None else str(ca))
            stream = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        request = h11.Request(
            method="GET",
            target=target,
            headers=[
                ("host", parts.netloc),
                ("accept", "application/json"),
                ("accept-encoding", "identity"),
                ("connection", "close"),
            ],
        )
        connection = h11.Connection(h11.CLIENT)
        await stream.send_all(connection.send(request) or b"")
        await stream.send_all(connection.send(h11.EndOfMessage()) or b"")
        return await _body(url, stream, connection)


async def _body(url: str, stream: trio.abc.Stream, connection: h11.Connection) -> bytes:
    body = bytearray()
    while True:
        match connection.next_event():
            case h11.NEED_DATA:
                connection.receive_data(bytes(await stream.receive_some(_CHUNK)))
            case h11.Response(status_code=status) if status != _OK:
                raise Unfetched(f"{url} answers with status {status}")
            case h11.Data(data=data):
                body += data
                if len(body) > LARGEST:
                    raise Unfetched(f"{url} gives more than {LARGEST} bytes")
            case h11.EndOfMessage():
                return bytes(body)
            case h11.ConnectionClosed() | h11.PAUSED:
                raise Unfetched(f"{url} ended without an answer")
            case _:
                pass  # the head of a good answer, or one that announces it
