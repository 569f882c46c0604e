from __future__ import annotations

import ipaddress
import socket

from appliance.ops.network import own_addresses


def test_addresses_are_those_of_this_machine() -> None:
    for address in own_addresses():
        assert not ipaddress.ip_address(address).is_unspecified
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as listening:
            listening.bind((address, 0))  # fails for an address of somebody else
