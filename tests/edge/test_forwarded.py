"""Who a request comes from: the rightmost address that is no trusted proxy, whatever else stands in the head."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.edge.forwarded import Found, MalformedError, find

if TYPE_CHECKING:
    from appliance.settings.tree import Forwarded

PROXY = "10.0.0.1"
TRUSTED = ipaddress.ip_network("10.0.0.0/8")


def trusts(address: str) -> bool:
    return ipaddress.ip_address(address) in TRUSTED


def listed(*values: str, scheme: str | None = None) -> Found:
    headers = [(b"X-Forwarded-For", value.encode("latin-1")) for value in values]
    headers += [] if scheme is None else [(b"x-forwarded-proto", scheme.encode())]
    return find("x-forwarded-for", headers, PROXY, trusts)


def standard(*values: str) -> Found:
    headers = [(b"forwarded", value.encode("latin-1")) for value in values]
    return find("forwarded", headers, PROXY, trusts)


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ((), PROXY),
        (("",), PROXY),
        (("192.0.2.7",), "192.0.2.7"),
        (("203.0.113.9, 192.0.2.7",), "192.0.2.7"),
        (("203.0.113.9, 192.0.2.7, 10.0.0.2,10.9.9.9",), "192.0.2.7"),
        (("203.0.113.9", "192.0.2.7", "10.0.0.2"), "192.0.2.7"),
        (("10.0.0.3, 10.0.0.2",), "10.0.0.3"),
        (('nonsense, "made up", 192.0.2.7',), "192.0.2.7"),
        (("192.0.2.7:4711",), "192.0.2.7"),
        (("[2001:db8::7]:4711",), "2001:db8::7"),
        (("[2001:db8::7]",), "2001:db8::7"),
        (("2001:db8::7",), "2001:db8::7"),
        (("::ffff:192.0.2.7",), "192.0.2.7"),
    ],
)
def test_the_rightmost_that_is_no_proxy_is_the_client(values: tuple[str, ...], address: str) -> None:
    assert listed(*values).address == address


@pytest.mark.parametrize(
    "value",
    [
        "192.0.2.7,",
        "unknown",
        "192.0.2",
        "192.0.2.7:port",
        "192.0.2.7:",
        "[2001:db8::7",
        "203.0.113.9, nobody, 10.0.0.2",
        "1" * 100,
        "192.0.2.7\u00e4",
        ", ".join(["10.0.0.2"] * 33),
    ],
)
def test_what_a_proxy_has_written_must_be_an_address(value: str) -> None:
    with pytest.raises(MalformedError):
        listed(value)


@pytest.mark.parametrize(
    ("scheme", "told"),
    [("https", "https"), ("HTTP", "http"), ("http, https", "https"), ("gopher", None), ("", None)],
)
def test_the_scheme_is_that_of_the_last_proxy(scheme: str, told: str | None) -> None:
    assert listed("192.0.2.7", scheme=scheme) == Found("192.0.2.7", told)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ((), Found(PROXY)),
        (("for=192.0.2.7",), Found("192.0.2.7")),
        (("For=192.0.2.7;Proto=HTTPS;by=10.0.0.1",), Found("192.0.2.7", "https")),
        (('for="[2001:db8::7]:4711";proto=http',), Found("2001:db8::7", "http")),
        (('for=203.0.113.9, for=192.0.2.7;host="a,b;c", for=10.0.0.2',), Found("192.0.2.7")),
        (("for=203.0.113.9", "for=192.0.2.7"), Found("192.0.2.7")),
        (('for="203.0.113.9, for=192.0.2.7',), Found("192.0.2.7")),
        ((r'for=192.0.2.7;host="a\"b"',), Found("192.0.2.7")),
        (("for=192.0.2.7;proto=gopher",), Found("192.0.2.7")),
    ],
)
def test_the_standard_header_says_it_too(values: tuple[str, ...], found: Found) -> None:
    assert standard(*values) == found


@pytest.mark.parametrize(
    "value",
    [
        "for=unknown",
        "for=_hidden",
        "by=10.0.0.1",
        "192.0.2.7",
        "for=192.0.2.7;for=192.0.2.8",
        'for=192.0.2.7"',
        'for="192.0.2.7',
        "for=192.0.2.7,",
    ],
)
def test_what_is_malformed_in_it_is_not_guessed(value: str) -> None:
    with pytest.raises(MalformedError):
        standard(value)


@pytest.mark.parametrize(
    ("header", "address"), [("x-forwarded-for", "192.0.2.7"), ("forwarded", "192.0.2.8"), ("off", PROXY)]
)
def test_only_the_header_that_the_proxies_write_counts(header: Forwarded, address: str) -> None:
    """They pass on the other one as the client has made it up."""
    headers = [(b"x-forwarded-for", b"192.0.2.7"), (b"forwarded", b"for=192.0.2.8")]
    assert find(header, headers, PROXY, trusts).address == address


WRITTEN = st.one_of(
    st.text(st.characters(max_codepoint=255), max_size=60),
    st.text(alphabet='for=proto;",:[]\\ 10.2%', max_size=60),
)


@given(st.lists(WRITTEN, max_size=4), st.sampled_from(["x-forwarded-for", "forwarded"]))
def test_whatever_stands_in_the_head_is_an_address_or_malformed(values: list[str], header: Forwarded) -> None:
    headers = [(header.encode(), value.encode("latin-1")) for value in values]
    try:
        found = find(header, headers, PROXY, trusts)
    except MalformedError:
        return
    ipaddress.ip_address(found.address)
    assert found.scheme in {None, "http", "https"}


@given(st.lists(WRITTEN, max_size=4), st.ip_addresses(), st.integers(0, 3))
def test_nobody_can_come_from_elsewhere_than_the_proxies_say(
    made_up: list[str], client: ipaddress.IPv4Address | ipaddress.IPv6Address, proxies: int
) -> None:
    if client.version == 6 or client in TRUSTED:
        client = ipaddress.ip_address("2001:db8::7")
    behind = ", ".join([str(client), *(f"10.0.0.{number}" for number in range(proxies))])
    assert listed(*made_up, behind).address == str(client)
    quoted = f'for="[{client}]"' if client.version == 6 else f"for={client}"
    elements = ", ".join([quoted, *(f"for=10.0.0.{number}" for number in range(proxies))])
    assert standard(*made_up, elements).address == str(client)
