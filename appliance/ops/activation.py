"""Sockets that systemd has opened for this process, and which listener each is for.

Must not know how listeners are opened otherwise, nor what is served on them.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from appliance.core.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping, Sequence

    from appliance.settings.address import Address

_FIRST: Final = 3
"""The descriptor of the first socket: those before it are the standard streams."""
_ANYWHERE: Final = {"0.0.0.0": "::"}  # noqa: S104 - compared with, not bound to
"""For all addresses of IPv4, all of IPv6 where the socket takes both."""


@attrs.frozen
class Passed:
    """A socket that was passed, and the name of the unit that it comes from."""

    sock: socket.socket
    name: str

    def __str__(self) -> str:
        return f"{_shown(self.sock)} ({self.name})" if self.name else _shown(self.sock)


def take(environment: MutableMapping[str, str]) -> tuple[Passed, ...]:
    """Take over what was passed; the environment is as if nothing had been, and no child inherits the sockets."""
    process, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if process != str(os.getpid()) or not count.isdecimal():
        return ()
    passed = []
    for place in range(int(count)):
        os.set_inheritable(_FIRST + place, False)  # noqa: FBT003 - the signature of the system
        passed.append(Passed(_socket(_FIRST + place), names[place] if place < len(names) else ""))
    return tuple(passed)


def _socket(descriptor: int) -> socket.socket:
    """Make a socket of the descriptor, which must be one that accepts connections."""
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise StartError(
            f"descriptor {descriptor} that systemd passed is no socket ({error.strerror}): "
            "in the socket unit, leave only ListenStream="
        ) from error
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise StartError(
            f"{_shown(sock)} that systemd passed takes no connections: "
            "in the socket unit, write ListenStream=, and Accept=no"
        )
    sock.setblocking(False)  # noqa: FBT003 - the signature of the socket
    return sock


def match(addresses: Sequence[Address], passed: Iterable[Passed]) -> list[socket.socket | None]:
    """Give for each address the socket that listens there, or None where it is still to be opened.

    A socket that is for none of them is a StartError: somebody would wait there in vain.
    """
    left = list(passed)
    matched: list[socket.socket | None] = [None] * len(addresses)
    for fits in (_is_at, _covers):  # what fits exactly goes first
        for place, address in enumerate(addresses):
            found = next((each for each in left if matched[place] is None and fits(each.sock, address)), None)
            if found is not None:
                matched[place] = found.sock
                left.remove(found)
    if left:
        places = ", ".join(map(str, addresses))
        raise StartError(
            f"systemd has opened {', '.join(map(str, left))}, and the configuration listens on {places}: make "
            "ListenStream= and [[listen]] the same; `appliance systemd install` writes the one from the other"
        )
    return matched


def _is_at(sock: socket.socket, address: Address) -> bool:
    if address.kind == "unix":
        name = sock.getsockname() if sock.family is socket.AF_UNIX else ""
        return isinstance(name, str) and bool(name) and Path(name).absolute() == Path(address.path).absolute()
    return sock.family is not socket.AF_UNIX and sock.getsockname()[:2] in _targets(
        address.host, address.port
    )


def _covers(sock: socket.socket, address: Address) -> bool:
    """Whether an IPv6 socket on all addresses takes IPv4 too, as that of `ListenStream=8443` does."""
    if sock.family is not socket.AF_INET6 or address.host not in _ANYWHERE:
        return False
    both = not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    return both and sock.getsockname()[:2] == (_ANYWHERE[address.host], address.port)


def _targets(host: str, port: int) -> set[tuple[object, ...]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:  # told when the listener is opened
        return set()
    return {target[:2] for *_, target in found}


def _shown(sock: socket.socket) -> str:
    name = sock.getsockname()
    if sock.family is socket.AF_UNIX:
        return f"unix:{name!s}"
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        host, port = name[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"a socket of family {sock.family}"
