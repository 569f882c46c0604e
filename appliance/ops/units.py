"""The texts that systemd and a new server need: the unit, its socket, a first configuration.

Must not know where they are put, nor whether they are there already.
"""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import appliance

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.settings.address import Address

UNIT: Final = "appliance.service"
SOCKET: Final = "appliance.socket"
PROGRAM: Final = "/usr/local/lib/appliance/appliance.pyz"
"""What the unit starts, and with which Python, unless it is told otherwise."""
PYTHON: Final = "/usr/bin/python3"

_NOTIFY_RELOAD: Final = 253
"""The first systemd that waits for a reload by itself."""


def _folder() -> Path:
    """Give the folder of the texts: in the package once installed, beside it in a checkout."""
    package = Path(appliance.__file__).parent
    installed = package / "systemd"
    return installed if installed.is_dir() else package.parent / "packaging" / "systemd"


def _text(name: str) -> str:
    return (_folder() / name).read_text(encoding="utf-8")


def process_unit(*, python: Path, program: Path, systemd: int) -> str:
    """Give the unit that starts the program, as this version of systemd understands it."""
    text = _text(UNIT).replace(
        f"ExecStart={PYTHON} {PROGRAM} ", f"ExecStart={_word(python)} {_word(program)} "
    )
    if systemd < _NOTIFY_RELOAD:
        text = text.replace("Type=notify-reload\n", "Type=notify\nExecReload=/bin/kill -HUP $MAINPID\n")
    return text


def socket_unit(addresses: Iterable[Address]) -> str | None:
    """Give the socket that keeps these open, as far as it can: a port of a name, or any free one, it cannot."""
    lines = [f"ListenStream={place}\n" for address in addresses if (place := _place(address))]
    return _text(SOCKET).replace("[Socket]\n", f"[Socket]\n{''.join(lines)}") if lines else None


def first_configuration(urls: Iterable[str]) -> str:
    return _text("appliance.toml") + "".join(f"\n[[listen]]\nurl = {json.dumps(url)}\n" for url in urls)


def _place(address: Address) -> str | None:
    if address.kind == "unix":
        path = Path(address.path)
        return _escaped(path) if path.is_absolute() else None
    try:
        host = ipaddress.ip_address(address.host)
    except ValueError:
        return None
    if not address.port:
        return None
    return f"[{host}]:{address.port}" if host.version == 6 else f"{host}:{address.port}"  # noqa: PLR2004 - of the protocol


def _word(path: Path) -> str:
    """One word of a command line in a unit."""
    text = _escaped(path).replace("$", "$$")
    special = any(sign in text for sign in " \t\"'\\;")
    return json.dumps(text, ensure_ascii=False) if special else text


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")
