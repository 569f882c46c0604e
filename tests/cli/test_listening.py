from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from appliance.cli import listening
from appliance.cli.listening import Events, Lost, Refused, Target, Told, listen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HEAD = b"HTTP/1.1 200 OK\r\nDate: Thu, 31 Jan 2030 12:00:00 GMT\r\nContent-Type: text/event-stream\r\n\r\n"


@pytest.mark.parametrize(
    ("url", "shown", "path"),
    [
        ("https://example.com", "https://example.com:443", "/sse"),
        ("https://example.com:8443/", "https://example.com:8443", "/sse"),
        ("https://example.com/market/", "https://example.com:443", "/market/sse"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080", "/sse"),
        ("ws://[::1]:8080/ws", "http://[::1]:8080", "/sse"),
        ("wss://example.com/market/ws", "https://example.com:443", "/market/sse"),
    ],
)
def test_an_address_is_that_of_the_appliance(url: str, shown: str, path: str) -> None:
    target = Target.at(url)
    assert str(target) == shown
    assert target.request(["price:*", "signals:all"], None).target == (
        f"{path}?channels=price%3A%2A%2Csignals%3Aall&times=true".encode()
    )


@pytest.mark.parametrize(
    "url", ["example.com:8443", "ftp://example.com", "https://", "https://me:secret@host", "https://host?a=b"]
)
def test_what_is_no_address_is_told_of(url: str) -> None:
    with pytest.raises(ValueError, match="no address of an appliance: write https://HOST:PORT"):
        Target.at(url)


def test_a_certificate_that_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no certificate can be read there"):
        Target.at("https://example.com", certificate=tmp_path / "gone.pem")


def test_a_key_is_shown_to_the_appliance_alone() -> None:
    target = Target.at("http://example.com", key="sk_secret")
    assert "sk_secret" not in repr(target)
    headers = dict(target.request(["price:*"], "e-5").headers)
    assert (headers[b"authorization"], headers[b"last-event-id"]) == (b"Bearer sk_secret", b"e-5")
    assert b"authorization" not in dict(Target.at("http://example.com").request(["price:*"], None).headers)


STREAM = (
    b': hello\nretry: 1500\n\nid: e-1\ndata: {"n":1}\n\ndata: one\r\ndata: two\r\n\r\nid: e-2\n\nevent: x\n'
)
FOUND = [Told(b'{"n":1}', "e-1"), Told(b"one\ntwo", None)]


@pytest.mark.parametrize("size", [1, 2, 7, len(STREAM)])
def test_a_stream_is_taken_apart_however_it_comes(size: int) -> None:
    events, found = Events(), []
    for begin in range(0, len(STREAM), size):
        found += events.feed(STREAM[begin : begin + size])
    assert (found, events.retry) == (FOUND, 1.5)


@attrs.define
class Peer:
    """Answers each connection with the next of what it is to say, and keeps what it was asked."""

    answers: list[bytes]
    stay: bool = False
    asked: list[bytes] = attrs.field(factory=list)

    async def answer(self, stream: trio.SocketStream) -> None:
        self.asked.append(bytes(await stream.receive_some(65_536)))
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(self.answers.pop(0))
        if self.stay:
            await trio.sleep_forever()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Target]:
        async with trio.open_nursery() as nursery:  # ends with the test
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, self.answer, [listener])
            yield Target.at(f"http://127.0.0.1:{listener.socket.getsockname()[1]}")
            nursery.cancel_scope.cancel()


async def test_what_is_told_comes_until_the_stream_ends() -> None:
    peer = Peer([HEAD + STREAM])
    async with peer.open() as target, listen(target, ["price:*"], "e-0") as heard:
        assert heard.since == 1_896_091_200
        assert await heard.next() == FOUND
        with pytest.raises(Lost, match="ended the stream") as caught:
            await heard.next()
    assert caught.value.retry_after == 1.5
    assert b"Last-Event-ID: e-0\r\n" in peer.asked[0]


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (
            b'HTTP/1.1 401 x\r\nContent-Length: 20\r\n\r\n{"error":"show it!"}',
            Refused,
            "answered 401: show it!$",
        ),
        (b'HTTP/1.1 403 x\r\n\r\n{"error":"not for you"}', Refused, "answered 403: not for you$"),
        (b"HTTP/1.1 400 x\r\n\r\nwrong", Refused, "answered 400: wrong$"),
        (b"HTTP/1.1 503 x\r\nRetry-After: 7\r\n\r\n", Lost, "answered 503: nothing more$"),
        (b"SSH-2.0-OpenSSH\r\n", Lost, "speaks no HTTP"),
        (b"", Lost, "closed the connection before it answered|broke off"),
    ],
)
async def test_another_answer_is_told(answer: bytes, error: type[Exception], words: str) -> None:
    async with Peer([answer]).open() as target:
        with pytest.raises(error, match=words):
            async with listen(target, ["price:*"], None):
                pass


@pytest.mark.parametrize(("status", "unknown"), [(404, True), (403, False)])
async def test_a_topic_that_is_not_known_may_come(status: int, unknown: bool) -> None:  # noqa: FBT001 - a parameter of the test
    async with Peer([b"HTTP/1.1 %d x\r\n\r\n" % status]).open() as target:
        with pytest.raises(Refused) as caught:
            async with listen(target, ["price:*"], None):
                pass
    assert caught.value.unknown is unknown


async def test_it_comes_back_when_the_appliance_would_have_it() -> None:
    async with Peer([b"HTTP/1.1 429 x\r\nRetry-After: 7\r\n\r\n"]).open() as target:
        with pytest.raises(Lost) as caught:
            async with listen(target, ["price:*"], None):
                pass
    assert caught.value.retry_after == 7


async def test_silence_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_SILENCE", 0.2)
    async with Peer([HEAD], stay=True).open() as target, listen(target, ["price:*"], None) as heard:
        with pytest.raises(Lost, match=re.escape(f"{target} was silent for too long")):
            await heard.next()


async def test_who_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_CONNECT", 0.2)
    async with Peer([b""], stay=True).open() as target:
        with pytest.raises(Lost, match="silent for too long"):
            async with listen(target, ["price:*"], None):
                pass


async def test_an_appliance_that_is_not_there_is_named() -> None:
    async with Peer([]).open() as target:
        pass
    with pytest.raises(Lost, match=re.escape(f"{target} cannot be reached (")):
        async with listen(target, ["price:*"], None):
            pass
