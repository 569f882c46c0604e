"""The first words of real clients of TLS, and of what is none."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.edge.hello import HANDSHAKE, offers_alpn


def hello(*alpn: str, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(alpn)
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="appliance.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_names_its_protocols_is_known(version: ssl.TLSVersion) -> None:
    assert offers_alpn(hello("h2", "http/1.1", version=version))
    assert offers_alpn(hello("http/1.1", version=version))
    assert not offers_alpn(hello(version=version))


def test_of_a_hello_that_is_cut_what_can_be_seen_counts() -> None:
    whole = hello("http/1.1")
    seen = [offers_alpn(whole[:length]) for length in range(len(whole) + 1)]
    assert seen == sorted(seen)
    assert seen[-1]
    assert not seen[60]


@given(st.binary(max_size=300))
def test_nothing_raises(data: bytes) -> None:
    assert isinstance(offers_alpn(data), bool)
    assert isinstance(offers_alpn(bytes((HANDSHAKE,)) + data), bool)


def test_what_is_no_hello_names_nothing() -> None:
    assert not offers_alpn(b"GET / HTTP/1.1\r\n" + bytes((0, 16)) * 100)
    assert not offers_alpn(b"")
