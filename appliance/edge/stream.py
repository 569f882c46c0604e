"""A Trio stream over a non-blocking socket, plain or TLS, that can also be written without waiting.

`push` hands bytes to the socket at once and keeps what it does not take; `send_all` does the same and waits. Both go
through one ordered buffer, so a control frame never tears a pushed frame. For TLS it drives a real `ssl.SSLSocket`:
a memory BIO in between would cost four times the CPU of the send itself.

Must not know what the bytes mean.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import struct
from collections import deque
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING

import trio

from appliance.runtime.turns import SLICE, Turnstile

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_CHUNK = 65_536
"""Bytes that are read at once at most."""
_FIRST_CHUNK = 1_024
"""The same while it is not known how much the reader has to do with them."""
_SMALLEST_CHUNK = 512
"""What it comes down to for who has much to do with each of them."""
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError)


class Stream(trio.abc.Stream):
    """Owned by one connection: one task reads; any number write, without waiting or with."""

    # An attribute costs less to reach in a slot, and push is called for each event of each client.
    __slots__ = (
        "_broken",
        "_closed",
        "_draining",
        "_given",
        "_held",
        "_keen",
        "_most",
        "_muted",
        "_sock",
        "_turnstile",
        "_unread",
        "_waiting",
        "_write",
        "received",
        "sent",
    )

    def __init__(self, sock: socket.socket, turnstile: Turnstile | None = None) -> None:
        """`turnstile` is where those wait for their turn who have something to read: a crowd at once, perhaps."""
        sock.setblocking(False)  # noqa: FBT003 - the signature of the socket
        self._turnstile = Turnstile() if turnstile is None else turnstile
        self._sock = sock
        self._write = _writer(sock)
        self._held = False
        self._muted = False
        self._waiting: deque[bytes] = deque()
        self._unread = b""
        self._keen = False
        self._most = _FIRST_CHUNK
        self._given = -inf
        self._draining = trio.Lock()
        self._broken = False
        self._closed = False
        self.sent = 0
        self.received = 0

    @property
    def socket(self) -> socket.socket:
        return self._sock

    @property
    def is_tls(self) -> bool:
        return isinstance(self._sock, ssl.SSLSocket)

    @property
    def alpn(self) -> str | None:
        return self._sock.selected_alpn_protocol() if isinstance(self._sock, ssl.SSLSocket) else None

    @property
    def peer_certificate(self) -> bytes | None:
        """The certificate that the peer has shown to the handshake, which has verified it; as DER."""
        if not isinstance(self._sock, ssl.SSLSocket) or self._sock.context.verify_mode is ssl.CERT_NONE:
            return None
        return self._sock.getpeercert(binary_form=True)

    @property
    def is_broken(self) -> bool:
        """Whether the peer is gone, as far as is known, or the stream is closed."""
        return self._broken

    @property
    def waiting(self) -> int:
        """Bytes that the socket has not taken yet."""
        return sum(map(len, self._waiting))

    def limit_unsent(self, size: int) -> None:
        """Keep stale data out of the kernel: it holds at most `size` unsent bytes."""
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        if option is not None and self._sock.family in {socket.AF_INET, socket.AF_INET6}:
            self._sock.setsockopt(socket.IPPROTO_TCP, option, size)

    async def peek(self, most: int) -> bytes:
        """Give the first bytes that the peer sends, leaving them in place; none when it has left."""
        while True:
            await self._readable()
            try:
                return self._sock.recv(most, socket.MSG_PEEK)
            except BlockingIOError:
                continue
            except OSError as error:
                self._break()
                raise trio.BrokenResourceError(str(error)) from error

    def secured(self, context: ssl.SSLContext) -> Stream:
        """Go on with TLS, as its server: this stream's socket becomes the one of the stream that is returned."""
        try:
            self._sock.getpeername()  # of a peer that has gone, the standard library would leave a socket open
            sock = context.wrap_socket(self._sock, server_side=True, do_handshake_on_connect=False)
        except (OSError, ValueError) as error:
            self._break()
            raise trio.BrokenResourceError(str(error)) from error
        self._closed = True
        self._break()
        return Stream(sock, self._turnstile)

    async def handshake(self) -> None:
        """Agree on keys with the peer; nothing to do on a plain stream."""
        if not isinstance(self._sock, ssl.SSLSocket):
            await trio.lowlevel.checkpoint()
            return
        while True:
            try:
                self._sock.do_handshake()
            except ssl.SSLWantReadError:
                await self._readable()
            except ssl.SSLWantWriteError:
                await trio.lowlevel.wait_writable(self._sock)
            except OSError as error:
                self._break()
                raise trio.BrokenResourceError(f"no TLS handshake: {error}") from error
            else:
                await trio.lowlevel.checkpoint()
                return

    def push(self, data: bytes) -> bool:
        """Hand `data` to the socket without waiting; False when some of what was pushed still waits for room.

        A broken or muted stream takes everything: whoever reads it finds out.
        """
        if self._held:
            if self._muted or self._broken:
                return True
            self._waiting.append(data)
            return False
        write = self._write  # a local: calling what lies in a slot costs more than reading it
        try:
            count = write(data)
        except _WOULD_BLOCK:
            count = 0
        except (OSError, ValueError):
            self._break()
            return True
        self.sent += count
        if count == len(data):
            return True
        # TLS must be offered again what it refused, to the byte: chunks are never cut but where a send ended.
        self._waiting.append(data[count:] if count else data)
        self._held = True
        # TLS takes a record at a time: that some of it is left does not say that the socket is full.
        return count > 0 and self._write_waiting()

    def mute(self) -> None:
        """Take no more pushes: from now on only `send_all` writes, behind all that was pushed."""
        self._muted = self._held = True

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        if self._broken:
            raise trio.BrokenResourceError
        self._waiting.append(bytes(data))
        # At once: while it lay here, what others push would find the socket full.
        if self._write_waiting():
            await trio.lowlevel.checkpoint()
        else:
            self._held = True
            await self.drained()
        if self._closed:
            raise trio.ClosedResourceError
        if self._broken:
            raise trio.BrokenResourceError

    async def wait_send_all_might_not_block(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        await self.drained()

    async def drained(self) -> None:
        """Wait until nothing waits any more: the socket has taken all that was pushed, or the stream has ended."""
        async with self._draining:  # so that only one task waits for the socket
            while not self._write_waiting():
                # A stream that is closed meanwhile has nothing left, which is what this is about.
                with contextlib.suppress(trio.ClosedResourceError):
                    await trio.lowlevel.wait_writable(self._sock)
        await trio.lowlevel.checkpoint()

    def unread(self, data: bytes) -> None:
        """Give back bytes; the next `receive_some` returns them first."""
        self._unread = data + self._unread

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._unread:
            await trio.lowlevel.checkpoint()
            most = max_bytes or _CHUNK
            data, self._unread = self._unread[:most], self._unread[most:]
            return data
        await trio.lowlevel.checkpoint_if_cancelled()
        most = self._measured(max_bytes or _CHUNK)
        waited = False
        while True:
            if self._closed:
                raise trio.ClosedResourceError
            try:
                data = self._sock.recv(most)
            except (BlockingIOError, ssl.SSLWantReadError):
                await self._readable()
                waited = True
            except ssl.SSLWantWriteError:
                async with self._draining:
                    await trio.lowlevel.wait_writable(self._sock)
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                data = b""
                break
            except OSError as error:
                self._break()
                raise trio.BrokenResourceError(str(error)) from error
            else:
                break
        self.received += len(data)
        await self._pace(waited=waited)
        return data

    async def _pace(self, *, waited: bool) -> None:
        """Let others run before what was read is given, which must not be lost."""
        if not waited:
            await trio.lowlevel.cancel_shielded_checkpoint()
            if self._keen:  # it did not have to wait before, either
                with trio.CancelScope(shield=True):
                    await self._turnstile.enter()
        self._keen = not waited
        self._given = perf_counter()

    def _measured(self, most: int) -> int:
        """Give how much to read at once: no more than the reader has shown to be done with in a slice. A few bytes can
        ask for much.
        """
        took = perf_counter() - self._given
        if took > SLICE and self._keen:
            self._most = max(_SMALLEST_CHUNK, self._most // 4)
        elif not self._keen:
            self._most = min(self._most, _FIRST_CHUNK)
        elif took < SLICE / 4:
            self._most = min(_CHUNK, self._most * 2)
        return min(most, self._most)

    async def _readable(self) -> None:
        await trio.lowlevel.wait_readable(self._sock)
        await self._turnstile.enter()

    async def finish(self, *, within: float) -> None:
        """Close gracefully: see that the peer can read the last words, which a hard close would throw away.

        It has so many seconds for that. Reads what the peer still sends, so nobody else may.
        """
        with (
            trio.move_on_after(within) as patience,
            contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError),
        ):
            await self.drained()
            self._say_goodbye()
            while await self.receive_some(_CHUNK):
                self._unread = b""
        if patience.cancelled_caught:
            self.abort()
        await self.aclose()

    def abort(self) -> None:
        """Close at once; the peer sees a reset, and tasks that wait here see a closed stream."""
        if not self._closed:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._close()

    async def aclose(self) -> None:
        if not self._closed:
            self._write_waiting()
            self._say_goodbye()
            self._close()
        await trio.lowlevel.checkpoint()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _write_waiting(self) -> bool:
        """Offer the socket what waits; True when nothing waits any more."""
        waiting = self._waiting
        while waiting and not (self._broken or self._closed):
            data = waiting[0]
            try:
                count = self._write(data)
            except ssl.SSLWantReadError:
                # Only before the handshake: to wait for room, of which there is enough, would be to spin.
                self._break()
                break
            except _WOULD_BLOCK:
                return False
            except (OSError, ValueError):
                self._break()
                break
            self.sent += count
            if count == len(data):
                waiting.popleft()
            else:
                waiting[0] = data[count:]
        if self._broken or self._closed:
            waiting.clear()
        self._held = self._muted or self._broken
        return True

    def _break(self) -> None:
        self._broken = self._held = True

    def _say_goodbye(self) -> None:
        """Tell the peer that nothing more comes, in TLS and in TCP."""
        with contextlib.suppress(OSError, ValueError):
            if isinstance(self._sock, ssl.SSLSocket) and not self._broken:
                self._sock.unwrap()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def _close(self) -> None:
        self._closed = True
        # OpenSSL keeps the number of the descriptor, which the next connection may get: write no more.
        self._break()
        self._write = _refuse
        self._waiting.clear()
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()


def _writer(sock: socket.socket) -> Callable[[bytes], int]:
    """Give what sends on a socket. `SSLSocket.send` asks in Python what is known here, at a twentieth of the cost
    of an event: so what it calls is called directly.
    """
    connection = getattr(sock, "_sslobj", None)
    write: Callable[[bytes], int] = sock.send if connection is None else connection.write
    return write


def _refuse(_data: bytes) -> int:
    raise OSError(errno.EBADF, "the stream is closed")
