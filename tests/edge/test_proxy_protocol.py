"""The header of the PROXY protocol, however its bytes arrive, and whatever else arrives in its place."""

from __future__ import annotations

import ipaddress
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.edge.proxy_protocol import MOST, Header, MalformedError, read, wanted

if TYPE_CHECKING:
    from appliance.settings.tree import ProxyProtocol

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def line(client: str, family: str = "TCP4", server: str = "10.0.0.1") -> bytes:
    return f"PROXY {family} {client} {server} 4711 443\r\n".encode()


def binary(command: int, family: int, content: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(content)) + content


def told(client: Address, *, version: str, more: bytes = b"") -> bytes:
    if version == "v1":
        family, server = ("TCP4", "10.0.0.1") if client.version == 4 else ("TCP6", "::1")
        return line(str(client), family, server)
    kind = 0x11 if client.version == 4 else 0x21
    return binary(0x21, kind, client.packed + bytes(len(client.packed) + 4) + more)


def heard(data: bytes, version: ProxyProtocol = "on", *, pieces: int = 256) -> tuple[Header | None, bytes]:
    """Take a header off what arrives in pieces: it, and what is left for who comes after."""
    taken, place = b"", 0
    while read(taken, version) is None and place < len(data):
        at_hand = data[len(taken) : place + pieces]
        place += pieces
        taken += at_hand[: wanted(taken, at_hand, version)]
        assert len(taken) <= MOST
    return read(taken, version), data[len(taken) :]


@pytest.mark.parametrize(
    ("data", "address"),
    [
        (line("192.0.2.7"), "192.0.2.7"),
        (line("2001:db8::7", "TCP6", "::1"), "2001:db8::7"),
        (line("::ffff:192.0.2.7", "TCP6", "::1"), "192.0.2.7"),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
        (binary(0x20, 0x00, b""), None),
        (binary(0x20, 0x11, bytes(12)), None),
        (binary(0x21, 0x00, b""), None),
        (binary(0x21, 0x31, bytes(216)), None),
        (binary(0x21, 0x11, bytes((192, 0, 2, 7, *bytes(8)))), "192.0.2.7"),
        (told(ipaddress.ip_address("2001:db8::7"), version="v2", more=bytes(300)), "2001:db8::7"),
    ],
)
def test_a_header_says_who_the_client_is(data: bytes, address: str | None) -> None:
    assert heard(data + b"GET / HTTP/1.1\r\n") == (Header(address), b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n",
        b"PROXY UNKNOWNS\r\n",
        line("2001:db8::7"),
        line("192.0.2.7", "TCP6"),
        line("192.0.2.07"),
        line("192.0.2.7", server="nobody"),
        b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 -1 443\r\n",
        b"PROXY TCP4 192.0.2.7  10.0.0.1 1 443\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1 443\n" + bytes(100),
        b"PROXY " + b"x" * 200,
        binary(0x11, 0x11, bytes(12)),
        binary(0x22, 0x11, bytes(12)),
        binary(0x21, 0x12, bytes(12)),
        binary(0x21, 0x11, bytes(11)),
        binary(0x21, 0x21, bytes(35)),
        binary(0x21, 0x11, bytes(MOST)),
        SIGNATURE[:-1] + b"X" + bytes(20),
    ],
)
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        heard(data)


@pytest.mark.parametrize(("version", "other"), [("v1", "v2"), ("v2", "v1")])
def test_only_the_version_that_is_asked_for_is_taken(version: ProxyProtocol, other: ProxyProtocol) -> None:
    client = ipaddress.ip_address("192.0.2.7")
    assert heard(told(client, version=version), version) == (Header("192.0.2.7"), b"")
    with pytest.raises(MalformedError):
        heard(told(client, version=other), version)


CLIENTS = st.ip_addresses().filter(lambda each: each.version == 4 or each.ipv4_mapped is None)
VERSIONS = st.sampled_from(["v1", "v2"])


@given(CLIENTS, VERSIONS, st.binary(max_size=100), st.integers(1, 40), st.binary(max_size=50))
def test_however_it_arrives_nothing_behind_it_is_taken(
    client: Address, version: str, more: bytes, pieces: int, behind: bytes
) -> None:
    data = told(client, version=version, more=more)
    assert heard(data + behind, pieces=pieces) == (Header(str(client)), behind)


@given(CLIENTS, VERSIONS)
def test_a_part_of_one_is_none_yet(client: Address, version: str) -> None:
    data = told(client, version=version)
    assert {heard(data[:end])[0] for end in range(len(data))} == {None}


@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=300).map(lambda rest: SIGNATURE + rest),
        st.binary(max_size=300).map(lambda rest: b"PROXY " + rest),
        st.binary(max_size=120).map(lambda rest: b"PROXY TCP4 " + rest + b"\r\n"),
    ),
    st.integers(1, 40),
)
def test_whatever_arrives_is_a_header_or_refused(data: bytes, pieces: int) -> None:
    try:
        header, _ = heard(data, pieces=pieces)
    except MalformedError:
        return
    if header is not None and header.address is not None:
        assert str(ipaddress.ip_address(header.address)) == header.address
