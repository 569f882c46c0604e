"""How the appliance ends: in order, within its deadline, and with all that was published before."""

from __future__ import annotations

import http.client
import json
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from tests.bench.load_frames import Opcode
from tests.e2e.honest import HonestClient, Witnesses, roomy
from tests.e2e.running import ANY_PORT, PATIENCE
from tests.e2e.wire import Wire, dial, dial_tls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.conftest import Start
    from tests.e2e.running import Running

pytestmark = pytest.mark.launched

LONG = ("limits.handshake=10m", "limits.keep_alive=10m", "limits.stalled=10m", "auth.timeout=10m")
"""Times within which no peer is let go for its own sake."""

COUNTER = """
from pathlib import Path
from appliance.api import Channel, Mode, hookimpl

LAST = Path(__file__).with_name("last")

async def produce(feed, settings):
    number = 0
    async for _ in feed.every(0.001):
        number += 1
        # Noted first: when `publish` is cancelled, the event is on its way already.
        LAST.write_text(str(number))
        await feed.publish({"number": number, "pad": "x" * 200}, key="all")

@hookimpl
def register_channels():
    return (Channel(name="counter", mode=Mode.LOG, message="count", produce=produce, topics=("all",)),)
"""


def settings(*values: str) -> Iterator[str]:
    for value in values:
        yield from ("--set", value)


def counting(folder: Path) -> tuple[str, ...]:
    """Arguments for an appliance with a channel that notes what it has published."""
    (folder / "counter.py").write_text(COUNTER)
    return ("--listen", ANY_PORT, *settings(f'plugins_dir=["{folder}"]'))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_that_was_published_arrives_before_the_end(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    running = start(*counting(tmp_path), *settings("stop.retry=100s"))
    with Witnesses(tuple(HonestClient(roomy(running), ["counter:all"]) for _ in range(5))) as witnesses:
        witnesses.go_on(40)

        assert running.stop(number) == 0

        endings = [client.wait_for_end() or "" for client in witnesses.clients]
        witnesses.missed_nothing()
        last = int((tmp_path / "last").read_text())
        assert {client.due["counter:all"] - 1 for client in witnesses.clients} == {last}
    assert running.log[-1]["event"] == "stopped"
    assert running.wait_for("stopping")["signal"] == number.name
    retries = [float(ending.removeprefix("1012 SERVER_RESTART retry_after=")) for ending in endings]
    assert all(0 <= retry <= 100 for retry in retries)
    assert len(set(retries)) > 1


def deaf(running: Running) -> Wire:
    """A client that subscribes to all and reads nothing, until its socket is full."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", running.port))
    wire = Wire(running.ssl_context().wrap_socket(sock, server_hostname="127.0.0.1"))
    wire.upgrade(running.key)
    wire.say({"type": "subscribe", "channels": ["counter:all"]})
    return wire


def test_a_client_that_does_not_read_does_not_hold_the_stop_beyond_its_deadline(
    start: Start, tmp_path: Path
) -> None:
    running = start(*counting(tmp_path), *settings(*LONG, "stop.deadline=1s"))
    with deaf(running), Witnesses((HonestClient(roomy(running), ["counter:all"]),)) as witnesses:
        witnesses.go_on(600)

        assert running.stop() == 0

        (client,) = witnesses.clients
        assert (client.wait_for_end() or "").startswith("1012 SERVER_RESTART")
        witnesses.missed_nothing()
        assert client.due["counter:all"] - 1 == int((tmp_path / "last").read_text())


def test_a_second_signal_stops_at_once(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "appliance.sock"
    running = start(*counting(tmp_path), "--listen", f"unix:{path}", *settings(*LONG, "stop.deadline=10m"))
    with deaf(running), Witnesses((HonestClient(roomy(running), ["counter:all"]),)) as witnesses:
        witnesses.go_on(600)
        running.tell(signal.SIGTERM)
        running.wait_for("stopping")
        assert running.process.poll() is None

        assert running.stop() == 1

    assert running.logged("stopping at once")
    assert not path.exists()


def test_who_asks_for_nothing_does_not_hold_the_stop(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "appliance.sock"
    running = start(
        *("--listen", ANY_PORT, "--listen", "tcp://127.0.0.1:0", "--listen", f"unix:{path}"),
        *settings(*LONG, "stop.deadline=10m"),
    )
    with (
        dial(running),
        dial_tls(running),
        dial(running, listener=1),
        dial(running, listener=1) as amid_its_head,
        dial(running, listener=1) as between_two_requests,
    ):
        amid_its_head.send(b"GET /ws HTTP/1.1\r\n")
        between_two_requests.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while b"healthy" not in between_two_requests.sock.recv(4096):
            pass

        assert running.stop() == 0

    assert not path.exists()


def test_who_has_not_shown_a_key_yet_is_told_of_the_stop(start: Start) -> None:
    running = start(*settings(*LONG, "stop.deadline=10m"))
    with dial_tls(running) as wire:
        wire.upgrade("")

        running.tell(signal.SIGTERM)
        assert wire.close_code() == 1012
        wire.frame(Opcode.CLOSE, (1012).to_bytes(2, "big"))
    assert running.ended() == 0


def test_an_event_stream_ends_with_a_hint_when_to_come_back(start: Start) -> None:
    running = start(*settings(*LONG, "stop.deadline=10m", "stop.retry=100s"))
    client = http.client.HTTPSConnection(
        "127.0.0.1", running.port, timeout=PATIENCE, context=running.ssl_context()
    )
    client.request("GET", "/sse?channels=price:*", headers={"Authorization": f"Bearer {running.key}"})
    answer = client.getresponse()
    while "price_update" not in answer.readline().decode():
        pass

    assert running.stop() == 0

    *_, hint = [line for line in answer.read().decode().splitlines() if line]
    assert hint.startswith("retry: ")
    assert 0 <= int(hint.removeprefix("retry: ")) <= 100_000
    client.close()


def test_a_stop_that_nobody_waits_for_says_so(start: Start) -> None:
    running = start()

    assert running.stop() == 0
    assert [line["event"] for line in running.log] == ["serving", "stopping", "stopped"]
    assert json.dumps(running.log).count("SIGTERM") == 1
