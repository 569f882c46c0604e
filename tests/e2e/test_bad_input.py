"""What attackers and broken clients send: each meets a clear answer or a clean close, and is counted.

Honest clients are connected throughout; after each test they have missed nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import select
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from tests.bench.load_frames import Opcode, client_frame
from tests.e2e.honest import Witnesses
from tests.e2e.running import PATIENCE, SECRET, Running
from tests.e2e.wire import Wire, dial, dial_tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.conftest import Start

KEY = f"good-{SECRET}"
EXPIRED = f"expired-{SECRET}"
TLS, PLAIN, NARROW, PICKY, LONE = range(5)
"""The listeners, in the order of the file."""

CONFIGURATION = f"""
[[listen]]
url = "tls://127.0.0.1:0"

[[listen]]
url = "tcp://127.0.0.1:0"

[[listen]]
url = "tcp://127.0.0.1:0"
limits = {{ messages_per_minute = 20, sessions = 1 }}

[[listen]]
url = "tcp://127.0.0.1:0"
origins = ["https://app.example"]
limits = {{ connections_per_minute = 1 }}

[[listen]]
url = "tcp://127.0.0.1:0"
limits = {{ connections = 1 }}

[limits]
handshake = "1s"
keep_alive = "1s"
connections_per_minute = 100000

[auth]
timeout = "1s"

[[auth.keys]]
name = "good"
key = "{KEY}"

[[auth.keys]]
name = "late"
key = "{EXPIRED}"
expires = 2020-01-01T00:00:00Z

[sources.simulated]
symbols = ["BTC", "ETH", "AAPL"]
interval = "50ms"

[stop]
deadline = "3s"
"""


@attrs.frozen
class Scene:
    """The appliance under attack, and the honest clients."""

    running: Running
    witnesses: Witnesses

    @contextlib.contextmanager
    def counts(self, kind: str, times: int = 1) -> Iterator[None]:
        """See that what happens inside is counted in `/ws/stats` as errors of this kind."""
        before = self.counted(kind)
        yield
        wait_until(lambda: self.counted(kind) >= before + times, f"{times} more {kind!r}")

    def counted(self, kind: str) -> int:
        """Ask without TLS: it is asked often."""
        client = http.client.HTTPConnection("127.0.0.1", self.running.port_of(PLAIN), timeout=PATIENCE)
        with contextlib.closing(client):
            client.request("GET", "/ws/stats", headers={"Authorization": f"Bearer {KEY}"})
            answer = client.getresponse()
            assert answer.status == http.HTTPStatus.OK
            return int(json.load(answer)["errors"].get(kind, 0))

    def socket(self, *, listener: int = PLAIN, key: str = KEY) -> Wire:
        wire = dial(self.running, listener=listener)
        wire.upgrade(key)
        return wire


def wait_until(condition: Callable[[], bool], wanted: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {wanted}"
        select.select((), (), (), 0.02)


@pytest.fixture(scope="module")
def attacked(start_shared: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    file = tmp_path_factory.mktemp("attacked") / "appliance.toml"
    file.write_text(CONFIGURATION)
    running = start_shared("--config", str(file), key=KEY)
    with Witnesses.of(running) as witnesses:
        yield Scene(running, witnesses)
    assert running.stop() == 0
    assert [line for line in running.log if line["level"] in {"error", "critical", "raw"}] == []


@pytest.fixture
def scene(attacked: Scene) -> Iterator[Scene]:
    yield attacked
    attacked.witnesses.go_on()


def subscribe(*names: Any, **more: Any) -> str:
    return json.dumps({"type": "subscribe", "channels": names, **more})


BAD_MESSAGES = {
    "not JSON": "hello",
    "empty": "",
    "cut": '{"type": "ping"',
    "two at once": '{"type": "ping"}{"type": "ping"}',
    "no object": "[]",
    "null": "null",
    "no type": "{}",
    "a type that is no text": '{"type": 7}',
    "unknown type": '{"type": "shutdown"}',
    "channels as text": '{"type": "subscribe", "channels": "price:BTC"}',
    "channels of numbers": subscribe(1, 2),
    "no channels": '{"type": "subscribe"}',
    "empty channels": subscribe(),
    "an empty channel": subscribe(""),
    "a long channel": subscribe("price:" + "x" * 300),
    "more channels than a message can name": subscribe(*(f"price:{number}" for number in range(1001))),
    "a limit of zero": subscribe("price:BTC", limit=0),
    "a limit beyond numbers": '{"type": "subscribe", "channels": ["price:BTC"], "limit": 1e999}',
    "a limit that is no number": '{"type": "subscribe", "channels": ["price:BTC"], "limit": NaN}',
    "a position before the first": subscribe(
        "price:BTC", recover={"price:BTC": {"epoch": "x", "offset": -1}}
    ),
    "a token that is no text": '{"type": "auth", "token": {}}',
    "half a surrogate": '{"type": "subscribe", "channels": ["price:\\ud800"]}',
    "deep lists": "[" * 60_000,
    "deep and closed": "[" * 30_000 + "]" * 30_000,
    "deep objects": '{"type":' * 7_000,
    "deep in an unknown field": '{"type": "ping", "x": ' + "[" * 30_000 + "]" * 30_000 + "}",
}


def introduce(wire: Wire) -> None:
    """Say what only a client of the own protocol says: until then it is taken for one of trading."""
    wire.say({"type": "auth", "token": KEY})
    assert wire.message("authenticated")


@pytest.mark.parametrize("text", BAD_MESSAGES.values(), ids=BAD_MESSAGES.keys())
def test_a_bad_message_is_answered_and_the_session_goes_on(scene: Scene, text: str) -> None:
    with scene.counts("INVALID_MESSAGE"), scene.socket() as wire:
        introduce(wire)
        wire.say(text)

        assert wire.error() == "INVALID_MESSAGE"
        wire.say({"type": "ping"})
        assert wire.message("pong")


@pytest.mark.parametrize("text", ["{", "[]", '{"type": "dance"}'])
def test_who_has_not_shown_its_dialect_is_told_in_the_words_of_trading(scene: Scene, text: str) -> None:
    with scene.counts("INVALID_MESSAGE"), scene.socket() as wire:
        wire.say(text)

        assert wire.message("error")["error"].startswith("Invalid message format: ")
        wire.say({"type": "ping"})
        assert wire.message("pong")


def test_a_binary_message_is_answered_and_the_session_goes_on(scene: Scene) -> None:
    with scene.counts("INVALID_MESSAGE"), scene.socket() as wire:
        introduce(wire)
        wire.frame(Opcode.BINARY, b'{"type": "ping"}')

        assert wire.error() == "INVALID_MESSAGE"
        wire.say({"type": "ping"})
        assert wire.message("pong")


BAD_CHANNELS = (
    "nothing:here",
    "price:NO_SUCH",
    "price",
    "nothing:*",
    "price:\n",
    "price:\0",
    "price:B*C",
)


@pytest.mark.parametrize("name", BAD_CHANNELS)
def test_an_unknown_channel_is_refused_and_the_others_are_given(scene: Scene, name: str) -> None:
    with scene.counts("INVALID_CHANNEL"), scene.socket() as wire:
        wire.say(subscribe("price:BTC", name))

        error = wire.message("error")["error"]
        assert (error["code"], error["channel"]) == ("INVALID_CHANNEL", name)
        assert [at["channel"] for at in wire.message("subscribed")["channels"]] == ["price:BTC"]


def test_one_channel_too_many_is_refused_and_the_others_are_given(scene: Scene) -> None:
    names = [f"signals:type:kind{number}" for number in range(201)]
    with scene.counts("RATE_LIMITED"), scene.socket() as wire:
        wire.say(subscribe(*names))

        error = wire.message("error")["error"]
        assert (error["code"], error["channel"]) == ("RATE_LIMITED", names[-1])
        assert len(wire.message("subscribed")["channels"]) == 200


def frame(first: int, payload: bytes, *, masked: bool = True) -> bytes:
    """A frame that begins with this byte, whatever it means."""
    whole = bytearray(client_frame(Opcode.TEXT, payload))
    whole[0] = first
    return bytes(whole) if masked else bytes((first, len(payload))) + payload


BAD_FRAMES = {
    "huge message": (client_frame(Opcode.TEXT, b"x" * 65_537), 1009),
    "invalid UTF-8": (client_frame(Opcode.TEXT, b'{"type": "\xff\xfe"}'), 1007),
    "UTF-8 cut at the end": (client_frame(Opcode.TEXT, "é".encode()[:1]), 1007),
    "no mask": (frame(0x81, b'{"type": "ping"}', masked=False), 1002),
    "first reserved bit": (frame(0xC1, b"{}"), 1002),
    "second reserved bit": (frame(0xA1, b"{}"), 1002),
    "third reserved bit": (frame(0x91, b"{}"), 1002),
    "unknown opcode": (frame(0x83, b"{}"), 1002),
    "unknown control opcode": (frame(0x8B, b"{}"), 1002),
    "continuation of nothing": (frame(0x80, b"{}"), 1002),
    "a message inside another": (frame(0x01, b"{") + frame(0x81, b"{}"), 1002),
    "long ping": (client_frame(Opcode.PING, b"x" * 126), 1002),
    "ping in fragments": (frame(0x09, b"x"), 1002),
    "close of one byte": (client_frame(Opcode.CLOSE, b"\x03"), 1002),
    "close with a code of nobody": (client_frame(Opcode.CLOSE, (999).to_bytes(2, "big")), 1002),
    "close with invalid UTF-8": (client_frame(Opcode.CLOSE, b"\x03\xe8\xff"), 1007),
    "fragments without end": (frame(0x01, b"x" * 200) + frame(0x00, b"x" * 200) * 350, 1009),
    "a length beyond all": (b"\x81\xff" + b"\x7f" + b"\xff" * 7 + bytes(4) + b"x" * 65_537, 1009),
}


@pytest.mark.parametrize(("data", "code"), BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
def test_a_bad_frame_closes_its_session(scene: Scene, data: bytes, code: int) -> None:
    with scene.counts("bad_frame"), scene.socket() as wire:
        wire.send(data)

        assert wire.close_code() == code


def test_a_flood_of_messages_is_limited(scene: Scene) -> None:
    with scene.counts("RATE_LIMITED"), scene.socket(listener=NARROW) as wire:
        introduce(wire)
        for _ in range(20):
            wire.say({"type": "ping"})

        error = wire.message("error")["error"]
        assert error["code"] == "RATE_LIMITED"
        assert 0 < error["retry_after"] <= 3


def test_a_flood_of_pings_that_reads_nothing_harms_nobody(scene: Scene) -> None:
    flood = client_frame(Opcode.PING, b"x" * 125) * 1000
    with scene.socket() as wire:
        wire.sock.setblocking(False)  # noqa: FBT003 - the signature of the socket
        with contextlib.suppress(BlockingIOError):
            for _ in range(50):
                wire.sock.send(flood)
        scene.witnesses.go_on(150)


def test_more_sessions_than_the_listener_has_are_told(scene: Scene) -> None:
    with (
        scene.counts("CONNECTION_FULL"),
        scene.socket(listener=NARROW),
        scene.socket(listener=NARROW) as wire,
    ):
        error = wire.message("error")["error"]
        assert error["code"] == "CONNECTION_FULL"
        assert error["retry_after"] > 0
        assert wire.close_code() == 1013


def test_more_connections_a_minute_than_allowed_are_told(scene: Scene) -> None:
    with scene.counts("RATE_LIMITED"):
        for _ in range(2):
            wire = scene.socket(listener=PICKY)
            wire.say({"type": "ping"})
            answer = wire.message()
            wire.sock.close()

    assert answer["error"]["code"] == "RATE_LIMITED"
    assert answer["error"]["retry_after"] > 0


def test_more_connections_than_the_listener_has_are_told_and_closed(scene: Scene) -> None:
    with (
        scene.counts("CONNECTION_FULL"),
        scene.socket(listener=LONE),
        dial(scene.running, listener=LONE) as wire,
    ):
        wire.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = wire.rest()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 5\r\n" in answer
    assert b"limits.connections" in answer


# --- Credentials. ---


@pytest.mark.parametrize(
    ("way", "key", "code"),
    [
        ("header", f"wrong-{SECRET}", "INVALID_TOKEN"),
        ("query", f"wrong-{SECRET}", "INVALID_TOKEN"),
        ("message", f"wrong-{SECRET}", "INVALID_TOKEN"),
        ("header", EXPIRED, "EXPIRED_TOKEN"),
        ("query", EXPIRED, "EXPIRED_TOKEN"),
        ("message", EXPIRED, "EXPIRED_TOKEN"),
        ("header", f"{SECRET}-é", "INVALID_TOKEN"),
        ("query", f"{SECRET}-%C3%A9", "INVALID_TOKEN"),
        ("message", f"{SECRET}-é", "INVALID_TOKEN"),
    ],
)
def test_a_bad_token_is_told_and_closed(scene: Scene, way: str, key: str, code: str) -> None:
    with scene.counts(code), dial(scene.running, listener=PLAIN) as wire:
        if way == "header":
            wire.upgrade("", "/ws", f"X-API-Key: {key}")
        elif way == "query":
            wire.upgrade("", f"/ws?token={key}")
        else:
            wire.upgrade("")
            wire.say({"type": "auth", "token": key})

        assert wire.error() == code
        assert wire.close_code() == 1008


def test_who_shows_no_token_is_told_and_closed_in_time(scene: Scene) -> None:
    with scene.counts("UNAUTHORIZED"), scene.socket(key="") as wire:
        assert wire.error() == "UNAUTHORIZED"
        assert wire.close_code() == 1008


def test_before_the_token_nothing_is_given(scene: Scene) -> None:
    with scene.counts("UNAUTHORIZED"), scene.socket(key="") as wire:
        wire.say(subscribe("price:BTC"))

        assert wire.error() == "UNAUTHORIZED"


@pytest.mark.parametrize("key", [f"wrong-{SECRET}", EXPIRED])
@pytest.mark.parametrize("path", ["/ws/stats", "/sse?channels=price:BTC"])
def test_http_without_a_good_token_is_refused(scene: Scene, path: str, key: str) -> None:
    code = "EXPIRED_TOKEN" if key == EXPIRED else "INVALID_TOKEN"
    with scene.counts(code):
        status, answer = scene.running.get(path, key=key)

    assert status == 401
    assert answer["success"] is False


def test_http_without_any_token_is_refused(scene: Scene) -> None:
    with scene.counts("UNAUTHORIZED"), dial(scene.running, listener=PLAIN) as wire:
        wire.send(b"GET /ws/stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

        assert wire.rest().startswith(b"HTTP/1.1 401 ")


def test_an_event_stream_beyond_the_sessions_of_the_listener_is_refused(scene: Scene) -> None:
    request = (
        f"GET /sse?channels=price:*&token={KEY} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    with (
        scene.counts("CONNECTION_FULL"),
        scene.socket(listener=NARROW),
        dial(scene.running, listener=NARROW) as wire,
    ):
        wire.send(request.encode())

        assert wire.rest().startswith(b"HTTP/1.1 503 ")


# --- Connections that never come to a request. ---


def test_silence_is_closed_at_the_deadline(scene: Scene) -> None:
    with (
        scene.counts("slow_head", 2),
        dial(scene.running) as tls,
        dial(scene.running, listener=PLAIN) as plain,
    ):
        assert tls.rest() == b""
        assert plain.rest().startswith(b"HTTP/1.1 408 ")


def test_half_a_tls_hello_and_silence_is_closed_at_the_deadline(scene: Scene) -> None:
    with scene.counts("slow_head"), dial(scene.running) as wire:
        wire.send(client_hello(scene.running)[:50])

        assert wire.rest() == b""


def test_a_tls_hello_and_silence_is_closed_at_the_deadline(scene: Scene) -> None:
    with scene.counts("slow_head"), dial(scene.running) as wire:
        wire.send(client_hello(scene.running))

        wire.rest()


def test_silence_after_the_tls_handshake_is_told_and_closed_at_the_deadline(scene: Scene) -> None:
    with scene.counts("slow_head"), dial_tls(scene.running) as wire:
        assert wire.rest().startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("listener", [TLS, PLAIN])
def test_a_head_that_comes_byte_by_byte_is_told_and_closed_at_the_deadline(
    scene: Scene, listener: int
) -> None:
    head = itertools.cycle(b"GET /ws HTTP/1.1\r\nHost: " + b"x" * 1000)
    with scene.counts("slow_head"):
        wire = dial_tls(scene.running) if listener == TLS else dial(scene.running, listener=PLAIN)
        with wire:
            while not select.select((wire.sock,), (), (), 0.1)[0]:
                wire.send(bytes((next(head),)))

            assert wire.rest().startswith(b"HTTP/1.1 408 ")


def test_silence_instead_of_http2_is_closed(scene: Scene) -> None:
    context = scene.running.ssl_context()
    context.set_alpn_protocols(["h2"])
    raw = socket.create_connection(("127.0.0.1", scene.running.port), PATIENCE)
    with Wire(context.wrap_socket(raw, server_hostname="127.0.0.1")) as wire:
        wire.rest()


def test_a_second_head_that_never_ends_is_closed(scene: Scene) -> None:
    with dial(scene.running, listener=PLAIN) as wire:
        wire.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health HTTP/1.1\r\n")

        assert wire.rest().count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize(
    "data", [b"\x00" * 100, b"\xff\xfe\xfd", b"hello\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n"]
)
def test_garbage_before_the_tls_hello_is_closed(scene: Scene, data: bytes) -> None:
    with scene.counts("garbage_before_hello"), dial(scene.running) as wire:
        wire.send(data)

        assert wire.rest() == b""


def test_garbage_that_begins_like_a_tls_hello_is_closed(scene: Scene) -> None:
    with scene.counts("bad_handshake"), dial(scene.running) as wire:
        wire.send(b"\x16\x03\x01\x00\x20" + b"\xff" * 32)

        wire.rest()


def test_plain_http_on_the_tls_port_is_told(scene: Scene) -> None:
    with scene.counts("http_on_tls"), dial(scene.running) as wire:
        wire.send(b"GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n")

        answer = wire.rest()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"https://" in answer


def test_tls_on_the_plain_port_is_closed(scene: Scene) -> None:
    with scene.counts("tls_on_plain"), pytest.raises((ssl.SSLError, ConnectionError)):
        dial_tls(scene.running, listener=PLAIN)


def test_what_is_no_http_is_told(scene: Scene) -> None:
    with scene.counts("no_http"), dial(scene.running, listener=PLAIN) as wire:
        wire.send(b"\x00\x01\x02\x03")

        assert wire.rest().startswith(b"HTTP/1.1 400 ")


def test_who_leaves_without_a_word_is_counted(scene: Scene) -> None:
    with scene.counts("left_before_hello"), scene.counts("left_before_head"):
        dial(scene.running).sock.close()
        dial(scene.running, listener=PLAIN).sock.close()


# --- Requests. ---

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
BAD_REQUESTS = {
    "malformed": (b"GET /health\r\n\r\n", 400, "malformed_head"),
    "header without colon": (b"GET /health HTTP/1.1\r\nHost\r\n\r\n", 400, "malformed_head"),
    "huge head": (b"GET /health HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431, "huge_head"),
    "unknown path": (UPGRADE.replace(b"/ws", b"/nowhere") + b"\r\n", 404, "unknown_path"),
    "old version": (UPGRADE.replace(b"13", b"8") + b"\r\n", 426, "bad_upgrade"),
    "no key": (UPGRADE.replace(b"Sec-WebSocket-Key", b"X-Key") + b"\r\n", 426, "bad_upgrade"),
}


@pytest.mark.parametrize(("data", "status", "kind"), BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_a_bad_request_is_told(scene: Scene, data: bytes, status: int, kind: str) -> None:
    with scene.counts(kind), dial(scene.running, listener=PLAIN) as wire:
        wire.send(data)

        head, _, body = wire.rest().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        answer = json.loads(body)
        assert answer["success"] is False
        assert answer["error"]


def test_a_foreign_origin_is_told(scene: Scene) -> None:
    with scene.counts("foreign_origin"), dial(scene.running, listener=PICKY) as wire:
        assert wire.request(KEY, "/ws", "Origin: https://evil.example").startswith(b"HTTP/1.1 403 ")


def test_an_unknown_page_is_told(scene: Scene) -> None:
    status, answer = scene.running.get("/nowhere")

    assert (status, answer["success"]) == (404, False)


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", UPGRADE + b"\r\n", UPGRADE]
)
def test_a_get_and_a_reset_harm_nobody(scene: Scene, request_: bytes) -> None:
    for _ in range(20):
        wire = dial(scene.running, listener=PLAIN)
        wire.send(request_)
        wire.reset()


def test_a_reset_amid_the_stream_harms_nobody(scene: Scene) -> None:
    for _ in range(5):
        wire = scene.socket()
        wire.say(subscribe("price:*"))
        wire.message("price_update")
        wire.reset()


def test_a_thousand_quick_connects_and_resets_harm_nobody(scene: Scene) -> None:
    for number in range(1000):
        dial(scene.running, listener=(TLS, PLAIN)[number % 2]).reset()

    statistics = scene.running.get("/ws/stats")[1]
    wait_until(
        lambda: scene.running.get("/ws/stats")[1]["open_connections"] <= 4,
        f"all closed, of {statistics['open_connections']}",
    )


def client_hello(running: Running) -> bytes:
    """The first bytes of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = running.ssl_context().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


# --- The process's own limits. ---


def test_running_out_of_files_pauses_accepting_and_recovers(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text(CONFIGURATION)
    running = start("--config", str(file), key=KEY, before=("prlimit", "--nofile=80:80"))
    with Witnesses.of(running) as witnesses:
        crowd = [dial(running, listener=PLAIN) for _ in range(120)]
        line = running.wait_for("accepting is paused")
        assert "LimitNOFILE" in line["remedy"]
        witnesses.go_on(150)

        for wire in crowd[:20]:  # each that leaves lets one in, and no more
            wire.sock.close()
        witnesses.go_on(150)
        assert not running.logged("accepting again")

        for wire in crowd[20:]:
            wire.sock.close()

        running.wait_for("accepting again")
        assert running.get("/ws/stats")[0] == 200
        witnesses.go_on()
    assert len(running.logged("accepting is paused")) == 1
    assert len(running.logged("accepting again")) == 1
