"""Documents fetched from a real server on the loopback, and all that can be wrong with it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import trio

from appliance.access.fetching import LARGEST, Unfetched, fetch
from appliance.edge.certificates import ensure
from appliance.edge.tls import server_context
from tests.access.publisher import answer, publishing
from tests.edge.stage import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_document_comes_as_it_is() -> None:
    async with publishing({"kty": "x"}) as publisher:
        assert await fetch(publisher.url, ca=None, within=PATIENCE) == b'{"keys": [{"kty": "x"}]}'
        head = publisher.heads[0]
        assert head.startswith(b"GET /keys?v=1 HTTP/1.1\r\n")
        assert b"host: localhost:%d\r\n" % publisher.port in head


async def test_a_document_may_come_in_pieces() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    async with publishing(says=b"HTTP/1.1 103 Early Hints\r\n\r\n" + chunked) as publisher:
        assert await fetch(publisher.url, ca=None, within=PATIENCE) == b"abcde"


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (answer({}, "404 Not Found"), "status 404"),
        (answer({}, "302 Found"), "status 302"),
        (answer(b"x" * (LARGEST + 1)), "more than"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort", "HTTP"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "HTTP"),
        (b" ", "HTTP"),
    ],
)
async def test_a_bad_answer_is_none(says: bytes, why: str) -> None:
    async with publishing(says=says) as publisher:
        with pytest.raises(Unfetched, match=why):
            await fetch(publisher.url, ca=None, within=PATIENCE)


async def test_who_never_answers_is_left() -> None:
    async with publishing(says=None) as publisher:
        with pytest.raises(Unfetched, match=r"within 0\.2 s"):
            await fetch(publisher.url, ca=None, within=0.2)


async def test_where_nobody_listens_there_is_nothing() -> None:
    async with publishing() as publisher:
        url = publisher.url
    with pytest.raises(Unfetched, match="localhost"):
        await fetch(url, ca=None, within=PATIENCE)


async def test_over_tls_the_server_must_be_vouched_for(tmp_path: Path) -> None:
    pair = ensure(tmp_path, names=(), valid=86_400.0 * 30, renew_before=86_400.0, now=time.time())
    context = server_context(pair.certificate, pair.key)
    async with publishing(context=context) as publisher:
        assert await fetch(publisher.url, ca=pair.certificate, within=PATIENCE) == b'{"keys": []}'
        with pytest.raises(Unfetched, match="certificate verify failed"):
            await fetch(publisher.url, ca=None, within=PATIENCE)
        other = publisher.url.replace("localhost", "127.0.0.2")
        with pytest.raises(Unfetched):
            await fetch(other, ca=pair.certificate, within=PATIENCE)
        with pytest.raises(Unfetched, match="No such file"):
            await fetch(publisher.url, ca=tmp_path / "nowhere.pem", within=PATIENCE)


async def test_a_cancelled_fetch_leaves_no_connection() -> None:
    async with publishing(says=None) as publisher:
        with trio.move_on_after(0.1) as scope:
            await fetch(publisher.url, ca=None, within=PATIENCE)
        assert scope.cancelled_caught
