"""How an installed appliance does: what systemd says of it, and what it says itself when it is asked at its door.

Must not know how that is shown.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import zipfile
from typing import TYPE_CHECKING, Any, Final

import attrs

from appliance.core.errors import SettingsError
from appliance.ops import systemctl, units
from appliance.ops.installation import Server
from appliance.settings.address import Address
from appliance.settings.load import load

if TYPE_CHECKING:
    from pathlib import Path

_WITHIN: Final = 5.0
_PROPERTIES: Final = (
    "LoadState",
    "ActiveState",
    "SubState",
    "StatusText",
    "NRestarts",
    "MainPID",
    "ActiveEnterTimestamp",
)
_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound to
_METADATA: Final = re.compile(r"(?:.*/)?stream_appliance-([^/]+)\.dist-info/METADATA")


@attrs.frozen
class Standing:
    """What there is to show, and whether all is well."""

    lines: tuple[str, ...]
    well: bool


def look() -> Standing:
    """Ask systemd and the appliance itself."""
    server = Server()
    told = systemctl.show(units.UNIT, *_PROPERTIES)
    if told.get("LoadState") == "not-found":
        return Standing(("unit       not installed: appliance systemd install",), well=False)
    addresses = _addresses(server)
    able, health = _health(addresses, server) if told.get("ActiveState") == "active" else (False, "")
    lines = (
        f"unit       {_unit(told)}",
        f"version    {_version(server.program)}",
        *(f"listens    {address}{_kept(address)}" for address in addresses),
        *((f"status     {told['StatusText']}",) if told.get("StatusText") else ()),
        *((f"health     {health}",) if health else ()),
    )
    return Standing(lines, well=able)


def _unit(told: dict[str, str]) -> str:
    state = f"{told.get('ActiveState')} ({told.get('SubState')})"
    since = f" since {told['ActiveEnterTimestamp']}" if told.get("ActiveState") == "active" else ""
    process = f", process {told['MainPID']}" if told.get("MainPID", "0") != "0" else ""
    restarts = f", restarted {told['NRestarts']} times by itself" if told.get("NRestarts", "0") != "0" else ""
    return f"{state}{since}{process}{restarts}"


def _version(program: Path) -> str:
    try:
        with zipfile.ZipFile(program) as archive:
            found = (match[1] for name in archive.namelist() if (match := _METADATA.fullmatch(name)))
            return f"{next(found)} ({program})"
    except (OSError, zipfile.BadZipFile, StopIteration):
        return f"not known ({program})"


def _addresses(server: Server) -> tuple[Address, ...]:
    try:
        listeners = load(file=server.configuration, environment={}).draft.listen
    except SettingsError:  # told by the start itself
        return ()
    return tuple(Address.parse(listen.url) for listen in listeners)


def _kept(address: Address) -> str:
    if units.socket_unit([address]) is None or not systemctl.is_active(units.SOCKET):
        return ""
    return ", kept open by systemd"


def _health(addresses: tuple[Address, ...], server: Server) -> tuple[bool, str]:
    """Ask at the first door whether new clients are well served."""
    try:
        ready = _ask(addresses[0], _key(server))
    except (IndexError, OSError, ValueError, http.client.HTTPException) as error:
        return False, f"does not answer: {error}"
    reasons = "; ".join(ready.get("reasons", ()))
    if ready["ready"]:
        return True, f"able to serve{reasons and f', but {reasons}'}"
    return False, f"not able to serve{reasons and f': {reasons}'}"


def _key(server: Server) -> str | None:
    """The appliance's own key, which root can read: who shows it is told reasons."""
    try:
        return (server.state[0] / "api_key").read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _ask(address: Address, key: str | None) -> dict[str, Any]:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = _connected(address)
    try:
        connection.request("GET", "/ready", headers={"Authorization": f"Bearer {key}"} if key else {})
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return answer


def _connected(address: Address) -> socket.socket:
    if address.kind == "unix":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(_WITHIN)
        sock.connect(address.path)
        return sock
    sock = socket.create_connection((_LOOPBACK.get(address.host, address.host), address.port), _WITHIN)
    if address.kind == "tcp":
        return sock
    context = ssl.create_default_context()
    context.check_hostname = False  # it is this machine, by whatever name the certificate has
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock, server_hostname=address.host)
