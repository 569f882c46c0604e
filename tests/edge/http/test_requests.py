"""Requests of HTTP/1 that others might read otherwise, and those that nobody does."""

from __future__ import annotations

import h11
import pytest

from appliance.edge.http.requests import Requests

GOOD = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def reading(data: bytes) -> Requests:
    requests = Requests(h11.SERVER)
    requests.receive_data(data)
    return requests


def test_a_good_request_is_read() -> None:
    requests = reading(GOOD)
    assert isinstance(requests.next_event(), h11.Request)
    assert isinstance(requests.next_event(), h11.EndOfMessage)


@pytest.mark.parametrize("body", [b"line\nline", b" \n folded"])
def test_a_body_may_have_any_lines(body: bytes) -> None:
    requests = reading(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    assert isinstance(requests.next_event(), h11.Request)
    data = requests.next_event()
    assert isinstance(data, h11.Data)
    assert data.data == body


@pytest.mark.parametrize(
    "data",
    [
        b"GET /health HTTP/1.1\nHost: x\n\n",
        b"GET /health HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX: y\r\n folded\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX: y\r\n\tfolded",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\ncontent-length: 5\r\n\r\n",
    ],
)
def test_what_is_unclear_is_no_request(data: bytes) -> None:
    with pytest.raises(h11.RemoteProtocolError, match="unclear"):
        reading(data).next_event()


def test_in_the_end_nothing_is_read() -> None:
    requests = reading(GOOD)
    requests.over = True
    assert requests.next_event() is h11.NEED_DATA
