"""One connection to PostgreSQL, for threads: made, used by one thread at a time, cancelled from another.

Must not know tasks. Here alone is what pg8000 does inside; every failure leaves as a SourceError, and closes.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

from pg8000.core import Context, CoreConnection  # type: ignore[import-untyped]
from pg8000.exceptions import DatabaseError, InterfaceError  # type: ignore[import-untyped]

from appliance.core.errors import SourceError
from appliance.sources.postgres import access, faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from appliance.sources.postgres.access import Access
    from appliance.sources.postgres.settings import PostgresSettings

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_CANCEL_REQUEST = struct.pack("!ii", 16, 80877102)
_TERMINATE = struct.pack("!ci", b"X", 4)
_ASKS = (3, 5, 10)
"""Kinds of a server's request to sign in that a password answers: in clear, MD5, SASL."""

_LATER = 5.0  # seconds that the socket waits beyond the server's own deadline
_FAREWELL = 1.0
_TCP_OPTIONS = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}
_TWO_NUMBERS = 10
"""The version from which on there are two numbers in it, and not three."""


class _Asked(Exception):  # noqa: N818 - what the server did, not an error of the program
    """The server asks for a password, and there is none."""


class _Protocol(CoreConnection):  # type: ignore[misc] # without types
    """pg8000's connection, which also keeps what it would drop."""

    _usock: Any
    _sock: Any

    def __init__(self, opened: socket.socket, settings: PostgresSettings, password: str | None) -> None:
        self.heard: set[str] = set()
        self.last_error: DatabaseError | None = None
        self.cancel_key = b""
        # In the first message, for a pooler refuses there what it would otherwise leave set for others.
        parameters = {
            "client_encoding": "UTF8",
            "TimeZone": "UTC",
            "DateStyle": "ISO",
            "IntervalStyle": "iso_8601",
            "statement_timeout": str(max(1, round(settings.statement_timeout * 1000))),
            "default_transaction_read_only": "on",
        }
        super().__init__(
            settings.user,
            sock=opened,
            ssl_context=False,
            database=settings.database,
            password=password,
            application_name=settings.application_name,
            startup_params=parameters,
        )

    def handle_AUTHENTICATION_REQUEST(self, data: bytes, context: Any) -> None:  # noqa: ANN401, N802 - pg8000's
        if self.password is None and int.from_bytes(data[:4], "big") in _ASKS:
            raise _Asked
        super().handle_AUTHENTICATION_REQUEST(data, context)

    def handle_BACKEND_KEY_DATA(self, data: bytes, context: Any) -> None:  # noqa: ANN401, N802 - pg8000's
        self.cancel_key = data
        super().handle_BACKEND_KEY_DATA(data, context)

    def handle_ERROR_RESPONSE(self, data: bytes, context: Any) -> None:  # noqa: ANN401, N802 - pg8000's
        super().handle_ERROR_RESPONSE(data, context)
        # Said before the server hangs up, it would be forgotten for the end of the connection.
        self.last_error = context.error

    def handle_NOTIFICATION_RESPONSE(self, data: bytes, context: Any) -> None:  # noqa: ANN401, ARG002, N802 - pg8000's
        # pg8000 keeps the last hundred alone, and reads names as ASCII.
        self.heard.add(data[4:].partition(b"\0")[0].decode(errors="replace"))

    def leftovers(self) -> bool:
        """Whether bytes have come that nobody has looked at: for these, the socket may never become readable."""
        patience = self._usock.gettimeout()
        self._usock.settimeout(0)
        try:
            return bool(self._sock.peek(1))
        except ssl.SSLWantReadError:
            return False
        finally:
            self._usock.settimeout(patience)

    def last_words(self) -> DatabaseError | None:
        """What the server said before it hung up, also where nobody has read it yet."""
        if self.last_error is None:
            with contextlib.suppress(Exception):  # there may be no word, or only half of one
                self._usock.settimeout(0)
                self.handle_messages(Context(None))
        return self.last_error

    def close(self) -> None:
        """Say goodbye and wait a little until the server has gone, so that its place is free."""
        buffered, opened = self._sock, self._usock
        self._sock = self._usock = None
        with contextlib.suppress(OSError, ValueError):
            opened.settimeout(_FAREWELL)
            opened.sendall(_TERMINATE)
            socket.socket.shutdown(opened, socket.SHUT_WR)
            deadline = time.monotonic() + _FAREWELL
            while opened.recv(65_536) and time.monotonic() < deadline:
                pass
        with contextlib.suppress(OSError, ValueError):
            buffered.close()
        opened.close()


class Connection:
    """Does nothing until `open`. `sever` and `cancel` may be called from any thread, all else by one at a time."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._access: Access | None = None
        self._address: tuple[int, Any] = (socket.AF_UNSPEC, None)
        self._opened: socket.socket | None = None
        self._protocol: _Protocol | None = None
        self._severed = False

    @property
    def opened(self) -> socket.socket | None:
        """The socket, to wait on for what the server sends unasked; none before `open` and after the end."""
        return self._opened

    @property
    def version(self) -> int:
        """As `server_version_num`: 160003 for 16.3."""
        found = re.findall(r"\d+", self._live.parameter_statuses.get("server_version", "").partition(" ")[0])
        first, second, third = (*map(int, found[:3]), 0, 0, 0)[:3]
        return first * 10_000 + (second if first >= _TWO_NUMBERS else second * 100 + third)

    def open(self) -> None:
        with self._failing(faults.unreachable):
            deadline = time.monotonic() + self._settings.connect_timeout
            self._access = access.read(self._settings)
            opened = self._secured(self._reached(deadline))
            self._hold(opened)
            _shake(opened)
            try:
                self._protocol = _Protocol(opened, self._settings, self._access.password)
            except _Asked:
                raise faults.without_password(self._access.unknown, self._settings) from None
            opened.settimeout(self._settings.statement_timeout + _LATER)

    def run(self, sql: str, parameters: Sequence[str | None] = ()) -> list[list[Any]]:
        """Run one statement, with values for $1, $2… as text."""
        with self._failing(faults.lost):
            if parameters:
                return self._live.execute_unnamed(sql, parameters).rows or []
            return self._live.execute_simple(sql).rows or []

    def heard(self) -> set[str]:
        """The names that notices came for since the last call. Shows too whether the server still answers."""
        with self._failing(faults.lost):
            protocol = self._live
            protocol.execute_simple("")
            while protocol.leftovers():
                protocol.execute_simple("")
            names, protocol.heard = protocol.heard, set()
            return names

    def cancel(self) -> None:
        """Ask the server to give up the statement that another thread waits for; returns when it was told."""
        protocol, (family, address) = self._protocol, self._address
        if protocol is None:
            return
        with contextlib.suppress(OSError, SourceError), socket.socket(family) as plain:
            plain.settimeout(_FAREWELL)
            plain.connect(address)
            with self._secured(plain) as opened:
                _shake(opened)
                opened.sendall(_CANCEL_REQUEST + protocol.cancel_key)
                opened.recv(1)

    def sever(self) -> None:
        """End it at once, and with it whatever a thread waits for."""
        with self._lock:
            self._severed = True
            if self._opened is not None:
                _shut_down(self._opened)

    def close(self) -> None:
        """End it, and wait a little until the server has let go of it."""
        with self._lock:
            opened, self._opened = self._opened, None
            protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.close()
        elif opened is not None:
            opened.close()

    @property
    def _live(self) -> _Protocol:
        if self._protocol is None:
            raise faults.lost(ConnectionError(), self._settings)
        return self._protocol

    @contextlib.contextmanager
    def _failing(self, broken: Callable[[OSError, PostgresSettings], SourceError]) -> Iterator[None]:
        """Close when anything fails, and say what; `broken` tells of the socket."""
        try:
            yield
        except Exception as error:
            protocol = self._protocol if isinstance(error, InterfaceError) else None
            last = protocol.last_words() if protocol is not None else None
            self.close()
            match error:
                case SourceError():
                    raise
                case DatabaseError():
                    raise faults.told(error.args[0], self._settings) from None
                case InterfaceError() if last is not None:
                    raise faults.told(last.args[0], self._settings) from None
                case InterfaceError(args=("network error",)):
                    cause = error.__cause__
                    lost = cause if isinstance(cause, OSError) else ConnectionError()
                    raise broken(lost, self._settings) from None
                case OSError():
                    raise broken(error, self._settings) from None
                case _:
                    raise faults.unintelligible(error, self._settings) from error

    def _hold(self, opened: socket.socket) -> None:
        """Let `sever` find the socket; the last one held is closed with the connection."""
        with self._lock:
            self._opened = opened
            if self._severed:
                raise ConnectionAbortedError

    def _reached(self, deadline: float) -> socket.socket:
        """A socket to the first address of the host that answers."""
        addresses = self._addresses()
        failure: OSError = ConnectionRefusedError()
        for left, (family, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
            opened = socket.socket(family)
            self._hold(opened)
            try:
                opened.settimeout(max(0.01, (deadline - time.monotonic()) / left))
                opened.connect(address)
            except OSError as error:
                opened.close()
                failure = error
                continue
            _keep_alive(opened)
            opened.settimeout(max(0.01, deadline - time.monotonic()))
            self._address = family, address
            return opened
        raise failure

    def _addresses(self) -> list[tuple[int, Any]]:
        path = access.socket_path(self._settings)
        if path is not None:
            return [(socket.AF_UNIX, str(path))]
        host, port = self._settings.host, self._settings.port
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError:
            raise socket.gaierror(socket.EAI_NONAME, "no name of a host") from None
        return list(dict.fromkeys((family, address) for family, _, _, _, address in found))

    def _secured(self, opened: socket.socket) -> socket.socket:
        """Ask for TLS, if it is wanted. What an eavesdropper adds in clear after the answer fails the handshake."""
        found = self._access
        if found is None or found.context is None:
            return opened
        opened.sendall(_SSL_REQUEST)
        match opened.recv(1):
            case b"S":
                return found.context.wrap_socket(
                    opened, server_hostname=self._settings.host, do_handshake_on_connect=False
                )
            case b"N" if found.sslmode == "prefer":
                return opened
            case b"N":
                raise faults.without_tls(self._settings)
            case b"":
                raise ConnectionResetError
            case other:
                raise faults.unintelligible(ValueError(f"{other!r} in answer"), self._settings)


def _shake(opened: socket.socket) -> None:
    if isinstance(opened, ssl.SSLSocket):
        opened.do_handshake()


def _shut_down(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it was not connected yet, or is no more
        # Not the method of SSLSocket, which would take TLS from under a thread that reads.
        socket.socket.shutdown(opened, socket.SHUT_RDWR)


def _keep_alive(opened: socket.socket) -> None:
    """Notice a host that has gone without a word, as far as this system can."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if opened.family == socket.AF_UNIX:
        return
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in _TCP_OPTIONS.items():
        if hasattr(socket, name):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
