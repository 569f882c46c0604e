"""The PROXY protocol, versions 1 and 2: the few bytes in which a balancer says, before all else, who its client is.

Must not know sockets, nor whom to believe.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

import attrs

from appliance.core.origins import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.settings.tree import ProxyProtocol

MOST: Final = 2048
"""Bytes of the longest header that is taken: addresses take 232 at most, and the rest is what balancers add."""
_LONGEST_LINE: Final = 107
_BEGINNING: Final = b"PROXY "
_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED: Final = 16
_LENGTH: Final = slice(14, 16)
_LOCAL, _PROXIED = 0x20, 0x21
_LINE: Final = re.compile(r"PROXY (TCP4|TCP6) (\S+) (\S+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})\r\n", re.ASCII)
_MOST_PORT: Final = 65_535
_CLIENT_OF: Final = {0x11: slice(_FIXED, _FIXED + 4), 0x21: slice(_FIXED, _FIXED + 16)}
"""Where the client's address stands, by the byte of family and protocol."""
_NOT_TOLD: Final = frozenset({0x00, 0x31})
"""Families in which there is no address to believe: unspecified ones, and Unix sockets of the balancer."""
_SIZES: Final = {0x11: 12, 0x21: 36, 0x00: 0, 0x31: 216}


class MalformedError(Exception):
    """This is no header of the version that is asked for."""


@attrs.frozen
class Header:
    """`address` is that of the client; none where the balancer speaks for itself, as it does to see who is alive."""

    address: str | None


def wanted(taken: bytes, at_hand: bytes, version: ProxyProtocol) -> int:
    """Say how many of the bytes at hand belong to the header of which some are taken: never one behind it.

    Raises MalformedError as soon as it can be none.
    """
    data = taken + at_hand
    end = _end(data, version)
    return (len(data) if end is None else min(end, len(data))) - len(taken)


def read(data: bytes, version: ProxyProtocol) -> Header | None:
    """Read a header, of which there is not more than it; none while some of it is still to come."""
    end = _end(data, version)
    if end is None or len(data) < end:
        return None
    return _read_line(data) if data.startswith(_BEGINNING) else _read_binary(data)


def _end(data: bytes, version: ProxyProtocol) -> int | None:
    """Give the length of the header that begins so; none where that does not show yet."""
    forms: list[tuple[bytes, Callable[[bytes], int | None]]] = []
    if version in {"v1", "on"}:
        forms.append((_BEGINNING, _end_of_line))
    if version in {"v2", "on"}:
        forms.append((_SIGNATURE, _end_of_binary))
    for beginning, end in forms:
        if data.startswith(beginning):
            return end(data)
        if beginning.startswith(data):
            return None
    raise MalformedError("it does not begin as one")


def _end_of_line(data: bytes) -> int | None:
    found = data.find(b"\r\n", 0, _LONGEST_LINE)
    if found < 0 and len(data) >= _LONGEST_LINE:
        raise MalformedError("the line does not end")
    return None if found < 0 else found + 2


def _end_of_binary(data: bytes) -> int | None:
    if len(data) < _FIXED:
        return None
    end = _FIXED + int.from_bytes(data[_LENGTH], "big")
    if end > MOST:
        raise MalformedError(f"it is over {MOST} bytes")
    return end


def _read_line(data: bytes) -> Header:
    text = data.decode("latin-1")
    if text.startswith("PROXY UNKNOWN"):
        if text[len("PROXY UNKNOWN") :][:1] not in {" ", "\r"}:
            raise MalformedError("its family is not known")
        return Header(None)
    found = _LINE.fullmatch(text)
    if found is None or max(int(found[4]), int(found[5])) > _MOST_PORT:
        raise MalformedError("the line is none")
    kind = ipaddress.IPv4Address if found[1] == "TCP4" else ipaddress.IPv6Address
    try:
        client, _ = kind(found[2]), kind(found[3])
    except ValueError:
        raise MalformedError("an address is none") from None
    return Header(str(parse(str(client))))


def _read_binary(data: bytes) -> Header:
    command, family = data[12], data[13]
    if command == _LOCAL:
        return Header(None)
    if command != _PROXIED:
        raise MalformedError("its version or its command is not known")
    if family not in _SIZES:
        raise MalformedError("its family or its protocol is not known")
    if len(data) < _FIXED + _SIZES[family]:
        raise MalformedError("its addresses are cut off")
    if family in _NOT_TOLD:
        return Header(None)
    return Header(str(parse(str(ipaddress.ip_address(data[_CLIENT_OF[family]])))))
