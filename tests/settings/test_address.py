"""Listen URLs: what they mean, and what is said of wrong ones."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.settings.address import Address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("tls://127.0.0.1:8443", Address("tls", "127.0.0.1", 8443)),
        ("tcp://localhost:0", Address("tcp", "localhost", 0)),
        ("tls://[::1]:443", Address("tls", "::1", 443)),
        ("tcp://[fe80::1%eth0]:80", Address("tcp", "fe80::1%eth0", 80)),
        ("unix:/run/appliance/socket", Address("unix", path="/run/appliance/socket")),
        ("unix:socket", Address("unix", path="socket")),
    ],
)
def test_a_url_is_read_and_given_back(url: str, address: Address) -> None:
    assert Address.parse(url) == address
    assert str(address) == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "expected tls://HOST:PORT, tcp://HOST:PORT or unix:PATH"),
        ("wss://host:443", "write tls:// for wss and https"),
        ("http://host:80", "write tcp:// for ws and http"),
        ("tls:host:443", "write tls://"),
        ("tls://host", "expected tls://HOST:PORT, with a port"),
        ("tls://host:", "expected tls://HOST:PORT, with a port"),
        ("tls://host:https", "expected tls://HOST:PORT, with a port"),
        ("tls://host:0443", "expected tls://HOST:PORT, with a port"),
        ("tls://host:65536", "from 0 (any free one) to 65535"),
        ("tls://host:" + "9" * 5000, "from 0 (any free one) to 65535"),
        ("tls://:443", "0.0.0.0 or [::] listens on all addresses"),
        ("tls://::1:443", "stands in brackets, as in tls://[::1]:8443"),
        ("tls://[127.0.0.1]:443", "is not an IPv6 address"),
        ("tls://user@host:443", "neither a host name nor an address"),
        ("tls://host name:443", "neither a host name nor an address"),
        ("tls://host:443/ws", "nothing follows the port"),
        ("unix:", "a path follows unix:"),
        ("unix:///run/socket", "without //"),
        ("unix:/" + "a" * 107, "at most 107 bytes"),
        ("unix:/\0", "a path follows unix:"),
    ],
)
def test_a_wrong_url_is_told_what_is_right(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        Address.parse(url)


@given(st.text() | st.from_regex(r"(tls|tcp)://.*:\d+|unix:.*"))
def test_any_text_is_an_address_that_comes_back_or_a_value_error(url: str) -> None:
    try:
        address = Address.parse(url)
    except ValueError:
        return
    assert str(address) == url
