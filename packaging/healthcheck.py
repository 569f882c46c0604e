"""The health check of a container: whether the appliance in it is ready, wherever its configuration has it listen.

Must not know the configuration: it asks at every port that a process of this container listens on.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LISTENS = "0A"
_PATIENCE = 3.0
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


def places() -> list[tuple[str, int]]:
    """Where processes of this container listen. On the network of its host, the sockets of others are left out."""
    own = set(_own_sockets())
    found = []
    for table in _TABLES:
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:] if Path(table).exists() else ():
            words = line.split()
            if words[3] == _LISTENS and words[9] in own:
                found.append(_place(words[1]))
    return sorted(found, key=lambda place: place[1])


def _own_sockets() -> Iterator[str]:
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if named := re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink())):
                yield named[1]
        except OSError:
            continue  # closed meanwhile, or of another user


def _place(written: str) -> tuple[str, int]:
    """Read an address as the kernel writes it, each 32 bits in the order of the machine."""
    address, _, port = written.partition(":")
    words = [bytes.fromhex(address[at : at + 8]) for at in range(0, len(address), 8)]
    raw = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    if not any(raw):
        return "127.0.0.1" if len(words) == 1 else "::1", int(port, 16)
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, raw), int(port, 16)


def ask(host: str, port: int) -> str:
    """Say why the appliance there is not ready, or nothing."""
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE  # it is this container's own, and nothing secret is asked or told
    try:
        try:
            return _ask(http.client.HTTPSConnection(host, port, timeout=_PATIENCE, context=unverified))
        except (ssl.SSLError, ConnectionError):
            return _ask(http.client.HTTPConnection(host, port, timeout=_PATIENCE))
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__


def _ask(connection: http.client.HTTPConnection) -> str:
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace").strip()
        return "" if answer.status == http.HTTPStatus.OK else f"{answer.status} {body}"
    finally:
        connection.close()


def main() -> None:
    """Be well when one says that it is ready: a plugin may listen on other ports."""
    troubles = {port: ask(host, port) for host, port in places()}
    if not troubles:
        sys.exit("nothing listens")
    if all(troubles.values()):
        sys.exit("; ".join(f"port {port}: {trouble}" for port, trouble in troubles.items()))


if __name__ == "__main__":
    main()
