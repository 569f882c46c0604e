"""Origins: what of an address tells where somebody comes from, for all that is counted by addresses.

Who has an IPv6 network has more addresses than any table can hold: all of a prefix are one. Must not know what is
counted.
"""

from __future__ import annotations

import ipaddress
from typing import Final

import attrs

_WHOLE: Final = 32
"""Bits of an IPv4 address."""


@attrs.frozen
class Prefixes:
    """How many bits of an address count."""

    ipv4: int = _WHOLE
    ipv6: int = 64

    def origin(self, address: str) -> str:
        """Give the network of an address; what is no address, as that of a Unix socket, is one by itself."""
        if self.ipv4 == _WHOLE and ":" not in address:
            return address  # nearly always, and there is nothing to compute
        found = parse(address)
        if isinstance(found, ipaddress.IPv4Address):
            return str(ipaddress.IPv4Network((found, self.ipv4), strict=False).network_address)
        if isinstance(found, ipaddress.IPv6Address):
            return str(ipaddress.IPv6Network((found, self.ipv6), strict=False))
        return address


def parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address: an IPv4 one within IPv6 is one of IPv4, and an interface is left out."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found
