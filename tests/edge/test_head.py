from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.edge import head as heads
from appliance.edge.head import Head, begins_like_http, parse

WHOLE = (
    b"GET /ws?token=x&a=b?c HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\n"
    b"Upgrade: WebSocket\r\nX-Empty:\r\nX-Twice: one\r\nx-twice:  two \r\n\r\n"
)


def parsed(data: bytes) -> Head:
    head = parse(data)
    assert head is not None
    return head


def test_a_head_is_read_as_far_as_routing_needs() -> None:
    head = parsed(WHOLE)
    assert (head.method, head.path, head.query) == (b"GET", "/ws", "token=x&a=b?c")
    assert head.get(b"host") == b"localhost"
    assert head.get(b"x-empty") == b""
    assert head.get(b"x-twice") == b"one"
    assert head.get(b"x-none") is None
    assert head.tokens(b"connection") == {b"keep-alive", b"upgrade"}
    assert head.tokens(b"x-twice") == {b"one", b"two"}
    assert head.wants_websocket


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"GET", b"POST"),
        (b"Upgrade: WebSocket", b"Upgrade: h2c"),
        (b"keep-alive, Upgrade", b"keep-alive"),
        (b"Connection:", b"X-Connection:"),
    ],
)
def test_what_is_no_upgrade_wants_no_websocket(before: bytes, after: bytes) -> None:
    assert not parsed(WHOLE.replace(before, after)).wants_websocket


def test_subprotocols_are_offered_by_their_exact_names() -> None:
    head = Head(b"GET", "/", ((b"sec-websocket-protocol", b"a, B"), (b"sec-websocket-protocol", b"c")))
    assert [head.offers(name) for name in (b"a", b"B", b"c", b"b", b"A", b"", b"a, B")] == [
        *(True, True, True),
        *(False, False, False, False),
    ]


@pytest.mark.parametrize(
    ("name", "value", "plain"),
    [
        (b"host", b"localhost:8443", True),
        (b"host", "bücher.example".encode("idna"), True),
        (b"host", "bücher.example".encode(), False),
        (b"host", b"xn--a", False),
        (b"upgrade", b"\xff", False),
        (b"sec-websocket-protocol", b"\xff", False),
        (b"user-agent", b"\xff", True),
    ],
)
def test_what_an_upgrade_is_judged_by_is_plain(name: bytes, value: bytes, *, plain: bool) -> None:
    assert Head(b"GET", "/ws", ((name, value),)).is_plain is plain
    assert not Head(b"GET", "/ws\xff", ((name, value),)).is_plain


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / http/1.1\r\n\r\n",
        b"GET / x HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.10\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\rHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\r\n b: c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\n: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
    ],
)
def test_what_is_no_head_is_none(data: bytes) -> None:
    assert parse(data) is None


@pytest.mark.parametrize(
    "data", [b"", b"G", b"GET ", b"GET /x", b"OPTIONS *", b"PRI * HTTP/2.0\r\n\r\nSM", b"P"]
)
def test_the_beginning_of_a_request_is_known(data: bytes) -> None:
    assert begins_like_http(data)


@pytest.mark.parametrize("data", [b"\x16\x03\x01", b"get ", b"GETS", b"SSH-2.0", b" GET", b"\r\nGET"])
def test_what_is_no_request_is_known(data: bytes) -> None:
    assert not begins_like_http(data)


@given(st.binary())
def test_nothing_that_a_peer_sends_raises(data: bytes) -> None:
    begins_like_http(data)
    head = parse(data + heads.END)
    if head is not None:
        use(head)


NAMES = st.sampled_from([b"Host", b"Connection", b"Upgrade", b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Key"])
LINE = st.binary(max_size=40).filter(lambda line: not {*b"\0\r\n"} & {*line})


@given(LINE.filter(lambda target: b" " not in target), st.lists(st.tuples(NAMES, LINE)))
def test_no_head_raises_whatever_it_says(target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    head = parsed(b"GET " + target + b" HTTP/1.1\r\n" + lines + b"\r\n")
    assert head.target == target.decode("latin-1")
    assert [name for name, _ in head.headers] == [name.lower() for name, _ in headers]
    use(head)


def use(head: Head) -> None:
    assert head.path + (f"?{head.query}" if "?" in head.target else "") == head.target
    assert isinstance(head.wants_websocket, bool)
    assert isinstance(head.is_plain, bool)
    head.offers(b"appliance.v1")
    head.tokens(b"connection")
