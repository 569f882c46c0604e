"""A listener: accepts connections and has each served inside a guard, so that none can harm another.

Must not know what is served.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import structlog
import trio

from appliance.core.errors import StartError
from appliance.edge.pulse import Pulse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from appliance.settings.address import Address

    Serve = Callable[[socket.socket, str], Awaitable[None]]

_log = structlog.get_logger()

BACKLOG = 4096
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE = 0.1
"""Seconds between two tries to accept while file descriptors are out."""
_TURN = 64
"""Connections accepted in one go before others get a turn."""


@attrs.frozen
class Bound:
    """A listener whose socket is open; `kept` where somebody else has it open, too, and will after us."""

    address: Address
    sock: socket.socket
    kept: bool = False
    pulse: Pulse = attrs.field(factory=Pulse)


def bind(address: Address) -> socket.socket:
    """Open a listening socket, or raise `StartError` that says why that cannot be."""
    if address.kind == "unix":
        return _bind_unix(address)
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise StartError(f"{address}: {address.host!r} is no address of this machine ({error})") from error
    family, kind, protocol, _, target = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(target)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _not_bound(address, error) from error
    sock.setblocking(False)  # noqa: FBT003 - the signature of the socket
    return sock


def _not_bound(address: Address, error: OSError) -> StartError:
    reasons = {
        errno.EADDRINUSE: "the port is taken: stop the other server, or listen elsewhere with --listen",
        errno.EACCES: "not allowed: ports below 1024 need CAP_NET_BIND_SERVICE",
        errno.EADDRNOTAVAIL: "this machine has no such address",
    }
    return StartError(f"{address}: {reasons.get(error.errno or 0, error.strerror or str(error))}")


def _bind_unix(address: Address) -> socket.socket:
    path = Path(address.path)
    _remove_stale(path, address)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise StartError(f"{address}: {error.strerror or error}") from error
    sock.setblocking(False)  # noqa: FBT003 - the signature of the socket
    return sock


def _remove_stale(path: Path, address: Address) -> None:
    """Remove a socket that nobody listens on any more, and no other."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(str(path))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        path.unlink()
        return
    except OSError as error:
        raise StartError(f"{address}: {error.strerror or error}") from error
    raise StartError(f"{address}: another server listens there: stop it, or listen elsewhere with --listen")


def unbind(sock: socket.socket, address: Address, *, kept: bool = False) -> None:
    """Close a listening socket; a Unix socket's file goes too, but where somebody else has the socket `kept` open."""
    trio.lowlevel.notify_closing(sock)
    sock.close()
    if address.kind == "unix" and address.path and not kept:
        with contextlib.suppress(OSError):
            os.unlink(address.path)  # noqa: PTH108 - a path of bytes length, not a folder entry of ours to manage


async def listen(
    sock: socket.socket,
    serve: Serve,
    *,
    connections: trio.Nursery,
    pulse: Pulse,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept until cancelled; each connection is served by a task in `connections`."""
    task_status.started()
    exhausted, pause = False, 0.0
    while True:
        if exhausted:  # also when nobody waits: the last descriptor may have gone to the last who did
            await trio.sleep(pause)
        else:
            await trio.lowlevel.wait_readable(sock)
        pulse.turn()
        try:
            for _ in range(_TURN):
                accepted, address = sock.accept()
                connections.start_soon(_guard, serve, accepted, _name(address))
            pause = 0.0
        except BlockingIOError:
            # Not before all that waited are in: at the limit, each that leaves lets one in.
            if exhausted:
                exhausted = False
                _log.info("accepting again")
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                continue  # this one left before it was accepted
            if not exhausted:
                exhausted = True
                _log.error(
                    "accepting is paused",
                    error=os.strerror(error.errno),
                    remedy="raise the limit of open files (ulimit -n, LimitNOFILE=)",
                )
            pause = _PAUSE


async def _guard(serve: Serve, sock: socket.socket, address: str) -> None:
    """Contain whatever a connection raises."""
    with sock:
        try:
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await serve(sock, address)
        except Exception:  # noqa: BLE001 - the guard: told once, and nobody else is harmed
            _log.exception("connection failed", client=address)
        except BaseExceptionGroup as group:
            # It failed while it was being cancelled.
            cancelled, failed = group.split(trio.Cancelled)
            if failed is not None:
                _log.error("connection failed", client=address, exc_info=failed)
            if cancelled is not None:
                raise cancelled from None


def _name(address: object) -> str:
    return str(address[0]) if isinstance(address, tuple) else "unix"
