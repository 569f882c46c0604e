"""Credentials are found wherever a client can put them."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access import credentials
from appliance.access.credentials import find, from_header
from appliance.access.principals import LONGEST, Credential, Kind, Principal
from appliance.core.errors import ErrorCode, RequestError

KEYS = st.text([chr(code) for code in range(0x21, 0x7F)], min_size=1, max_size=100)


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ([(b"Authorization", b"Bearer abc")], "", Credential("abc", "header")),
        ([(b"authorization", b"bEARER   abc ")], "", Credential("abc", "header")),
        ([(b"Authorization", b"abc")], "", Credential("abc", "header")),
        ([(b"X-API-Key", b"abc")], "", Credential("abc", "header")),
        ([(b"Sec-WebSocket-Protocol", b"appliance.v1, bearer.abc")], "", Credential("abc", "subprotocol")),
        (
            [(b"Sec-WebSocket-Protocol", b"appliance.v1"), (b"sec-websocket-protocol", b"bearer.a.b.c")],
            "",
            Credential("a.b.c", "subprotocol"),
        ),
        ([], "token=abc", Credential("abc", "query")),
        ([], "client_id=1&api_key=abc", Credential("abc", "query")),
        ([], "key=abc&x", Credential("abc", "query")),
        ([], "token=a%2Bb%3D", Credential("a+b=", "query")),
        ([], "token=a+b=", Credential("a+b=", "query")),
        ([], "token=&key=abc", Credential("abc", "query")),
        ([(b"Authorization", b"Basic YTpi")], "token=abc", Credential("abc", "query")),
        ([(b"Authorization", b"Bearer ")], "token=abc", Credential("abc", "query")),
        ([(b"Authorization", b"")], "token=abc", Credential("abc", "query")),
    ],
)
def test_found(headers: list[tuple[bytes, bytes]], query: str, expected: Credential) -> None:
    assert find(headers, query) == expected


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([], ""),
        ([(b"Host", b"abc")], "monkey=abc&tokens=abc"),
        ([(b"Authorization", b"Bearer")], "token="),
        ([(b"Sec-WebSocket-Protocol", b"appliance.v1, bearer.")], "token"),
    ],
)
def test_nothing_shown(headers: list[tuple[bytes, bytes]], query: str) -> None:
    assert find(headers, query) is None


def test_a_header_counts_before_the_query() -> None:
    found = find([(b"x-api-key", b"second"), (b"authorization", b"first")], "token=third")
    assert found == Credential("first", "header")


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([(b"Authorization", b"Bearer a b")], ""),
        ([(b"Authorization", b"Bearer \xff\xfe")], ""),
        ([(b"Authorization", b"a\0b")], ""),
        ([(b"X-API-Key", b"two words")], ""),
        ([(b"X-API-Key", b"x" * (LONGEST + 1))], ""),
        ([(b"Sec-WebSocket-Protocol", b"bearer.\xc3\xbc")], ""),
        ([], "token=%ff"),
        ([], "token=%00"),
        ([], "token=a%20b"),
        ([], "token=\ud800"),
        ([], f"token={'x' * (LONGEST + 1)}"),
    ],
)
def test_odd_text_is_an_invalid_token(headers: list[tuple[bytes, bytes]], query: str) -> None:
    with pytest.raises(RequestError) as caught:
        find(headers, query)
    assert caught.value.code is ErrorCode.INVALID_TOKEN


@given(KEYS)
def test_any_key_travels_as_bearer_and_escaped_in_a_query(key: str) -> None:
    assert from_header(b"Bearer " + key.encode()) == Credential(key, "header")
    assert find([], f"a=b&token={quote(key, safe='')}") == Credential(key, "query")


NAMES = st.sampled_from([b"Authorization", b"X-API-Key", b"Sec-WebSocket-Protocol"])
VALUES = st.binary(max_size=30) | st.builds(
    bytes.__add__, st.sampled_from([b"Bearer ", b"bearer."]), st.binary(max_size=30)
)


@given(headers=st.lists(st.tuples(NAMES, VALUES), max_size=4), query=st.text(max_size=30))
def test_whatever_comes_is_a_credential_or_none_or_an_invalid_token(
    headers: list[tuple[bytes, bytes]], query: str
) -> None:
    outcome: Credential | ErrorCode | None
    try:
        outcome = find(headers, f"{query}&token={query}")
    except RequestError as error:
        outcome = error.code
    if isinstance(outcome, Credential):
        assert outcome.text.isascii()
    else:
        assert outcome in {None, ErrorCode.INVALID_TOKEN}


@pytest.mark.parametrize(
    ("kind", "headers", "query", "way"),
    [
        ("key", [(b"authorization", b"Bearer sk_a")], "token=sk_b", "header"),
        ("token", [], "token=sk_b", "query"),
        ("key", [], "", "message"),
        ("certificate", [], "", "handshake"),
        ("anonymous", [], "token=sk_b", None),
    ],
)
def test_the_way_in_which_somebody_has_shown_who_it_is(
    kind: Kind, headers: list[tuple[bytes, bytes]], query: str, way: str | None
) -> None:
    assert credentials.way(Principal("ann", kind=kind), headers, query) == way
