from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.origins import Prefixes, parse

if TYPE_CHECKING:
    import ipaddress


@pytest.mark.parametrize(
    ("prefixes", "address", "origin"),
    [
        (Prefixes(), "192.0.2.7", "192.0.2.7"),
        (Prefixes(), "::ffff:192.0.2.7", "192.0.2.7"),
        (Prefixes(), "2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        (Prefixes(), "fe80::1%eth0", "fe80::/64"),
        (Prefixes(), "unix", "unix"),
        (Prefixes(), "no: address", "no: address"),
        (Prefixes(ipv4=24), "192.0.2.7", "192.0.2.0"),
        (Prefixes(ipv4=24), "::ffff:192.0.2.7", "192.0.2.0"),
        (Prefixes(ipv4=24), "unix", "unix"),
        (Prefixes(ipv6=48), "2001:db8:1:2::4", "2001:db8:1::/48"),
        (Prefixes(ipv6=128), "2001:db8::4", "2001:db8::4/128"),
    ],
)
def test_an_origin_is_the_network_of_an_address(prefixes: Prefixes, address: str, origin: str) -> None:
    assert prefixes.origin(address) == origin


@given(st.ip_addresses(v=6), st.ip_addresses(v=6), st.integers(16, 128))
def test_those_of_one_prefix_are_one(
    one: ipaddress.IPv6Address, other: ipaddress.IPv6Address, bits: int
) -> None:
    prefixes = Prefixes(ipv6=bits)
    if one.ipv4_mapped is None and other.ipv4_mapped is None:
        same = int(one) >> (128 - bits) == int(other) >> (128 - bits)
        assert (prefixes.origin(str(one)) == prefixes.origin(str(other))) == same


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(8, 32))
def test_and_of_ipv4_too(one: ipaddress.IPv4Address, other: ipaddress.IPv4Address, bits: int) -> None:
    prefixes = Prefixes(ipv4=bits)
    same = int(one) >> (32 - bits) == int(other) >> (32 - bits)
    assert (prefixes.origin(str(one)) == prefixes.origin(str(other))) == same


@given(st.text())
def test_any_text_has_an_origin(text: str) -> None:
    assert isinstance(Prefixes().origin(text), str)
    assert parse(text) is None or Prefixes().origin(text)
