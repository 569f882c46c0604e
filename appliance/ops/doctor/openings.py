"""Trials of the places to listen on: what comes of opening each, and who is in the way.

Must not judge. A trial binds and does not listen, so that it keeps nobody waiting, and no other from listening.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from appliance.ops.doctor import processes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from appliance.ops.doctor.processes import IpAddress, Process
    from appliance.settings.address import Address

_UNPRIVILEGED: Final = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_USUAL_UNPRIVILEGED: Final = 1024


@attrs.frozen(kw_only=True)
class Trial:
    """What became of opening an address: an error's number, or 0; and who listens there, as far as that is shown.

    `target` is the address that its host stands for; a Unix socket has none.
    """

    address: Address
    auth: str
    error: int = 0
    target: IpAddress | None = None
    holders: tuple[Process, ...] = ()


@attrs.frozen(kw_only=True)
class Facts:
    """`unprivileged` is the first port that needs no right, `root` whether the trials had all rights.

    `instance` is the appliance that runs with the same state folder, if any.
    """

    trials: Sequence[Trial]
    unprivileged: int = _USUAL_UNPRIVILEGED
    root: bool = False
    instance: int | None = None


def gather(addresses: Iterable[tuple[Address, str]], *, instance: int | None) -> Facts:
    """Try all addresses, each with who must show a credential there."""
    said = (processes.text(_UNPRIVILEGED) or "").strip()
    return Facts(
        trials=tuple(_tried(address, auth) for address, auth in addresses),
        unprivileged=int(said) if said.isdigit() else _USUAL_UNPRIVILEGED,
        root=os.geteuid() == 0,
        instance=instance,
    )


def _tried(address: Address, auth: str) -> Trial:
    if address.kind == "unix":
        error = _tried_path(Path(address.path))
        holders = processes.listening_on(address.path) if error == errno.EADDRINUSE else ()
        return Trial(address=address, auth=auth, error=error, holders=holders)
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError:
        return Trial(address=address, auth=auth, error=errno.EADDRNOTAVAIL)
    family, kind, protocol, _, where = found[0]
    target = ipaddress.ip_address(str(where[0]).partition("%")[0])
    try:
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family is socket.AF_INET6:
                trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            trial.bind(where)
    except OSError as error:
        holders = processes.listening(target, address.port) if error.errno == errno.EADDRINUSE else ()
        return Trial(address=address, auth=auth, error=error.errno or 0, target=target, holders=holders)
    return Trial(address=address, auth=auth, target=target)


def _tried_path(path: Path) -> int:
    """See whether a socket could be made there. What nobody listens on any more is removed at a start."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return errno.EEXIST
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.connect(str(path))
    except FileNotFoundError:
        if not path.parent.is_dir():
            return errno.ENOENT
    except OSError as error:
        if error.errno != errno.ECONNREFUSED:
            return error.errno or errno.EIO
    else:
        return errno.EADDRINUSE
    return 0 if os.access(path.parent, os.W_OK | os.X_OK, effective_ids=True) else errno.EACCES
