"""The whole appliance in this process, as those see it who watch it: from before its listeners serve to its stop."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import attrs
import trio
from prometheus_client.parser import text_string_to_metric_families

from appliance.api import Channel, Feed, Mode
from appliance.app import Appliance
from appliance.edge.certificates import ensure
from appliance.edge.tls import Contexts
from appliance.runtime.readiness import Readiness
from appliance.settings.limits import ListenLimits
from appliance.settings.tree import ListenSettings
from tests.bench.load_frames import Opcode, client_frame
from tests.edge.stage import PATIENCE, UPGRADE, rest
from tests.test_app import SETTINGS, bound, channel, running

if TYPE_CHECKING:
    from pathlib import Path

STOPPING = {"ready": False, "reasons": ["the appliance is stopping"]}
READY = b"GET /ready HTTP/1.1\r\nHost: test\r\n\r\n"


async def answer(stream: trio.SocketStream) -> tuple[int, dict[str, Any]]:
    """Read one answer, on a connection that stays."""
    data = b""
    with trio.fail_after(PATIENCE):
        while not data.endswith(b"}"):
            data += bytes(await stream.receive_some())
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


async def metrics(port: int) -> dict[tuple[str, ...], float]:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        _, _, text = (await rest(stream)).partition(b"\r\n\r\n")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in text_string_to_metric_families(text.decode())
        for sample in metric.samples
    }


def test_before_its_listeners_serve_it_is_not_ready() -> None:
    sockets = [bound(listen.url) for listen in SETTINGS.listen]
    try:
        appliance = Appliance(SETTINGS, (), keys=(), sockets=sockets, contexts=None)
        told = Readiness(able=False, reasons=("the listeners do not serve yet",))
        assert appliance.readiness() == told
    finally:
        for each in sockets:
            each.sock.close()


async def test_from_the_first_moment_of_its_stop_it_is_not_ready() -> None:
    """Said also to who is connected while clients are still handed what they are owed."""
    go, behind = trio.Event(), trio.Event()

    async def burst(feed: Feed, _settings: object) -> None:
        feed.ready()
        await go.wait()
        while not behind.is_set():  # how much the sockets hold is the machine's affair
            await feed.publish({"filler": "x" * 50_000}, key="all")
            await trio.sleep(0.001)
        await trio.sleep_forever()

    log = Channel(name="burst", mode=Mode.LOG, message="burst", produce=burst, topics=("all",))
    async with running(log) as started:
        assert started.appliance.readiness() == Readiness(able=True)
        sock = trio.socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        await sock.connect(("127.0.0.1", started.ports[0]))
        async with trio.SocketStream(sock) as slow:
            await slow.send_all(UPGRADE + b"\r\n")
            assert b" 101 " in await slow.receive_some()
            subscribe = json.dumps({"type": "subscribe", "channels": ["burst:all"]}).encode()
            await slow.send_all(client_frame(Opcode.TEXT, subscribe))
            heard = b""
            while b'"subscribed"' not in heard:
                heard += bytes(await slow.receive_some())
            go.set()
            while not (await metrics(started.ports[0]))["appliance_sessions_behind",]:
                await trio.lowlevel.checkpoint()
            behind.set()
            async with await trio.open_tcp_stream("127.0.0.1", started.ports[0]) as balancer:
                await balancer.send_all(READY)
                assert await answer(balancer) == (200, {"ready": True, "reasons": []})
                started.appliance.stop()
                assert not started.appliance.readiness().able
                await balancer.send_all(READY)
                assert await answer(balancer) == (503, STOPPING)


async def test_a_stop_that_is_asked_for_during_the_start_counts() -> None:
    async with running(channel("beats")) as started:
        started.appliance.stop()
    assert started.appliance.readiness().reasons == ("the appliance is stopping",)


async def test_each_listener_is_measured_with_its_limits() -> None:
    narrow = ListenSettings(url="tcp://127.0.0.1:0", auth="none", limits=ListenLimits(sessions=3))
    settings = attrs.evolve(SETTINGS, listen=(*SETTINGS.listen, narrow))
    async with running(channel("beats"), settings=settings) as started, started.client() as client:
        await client.say(type="ping")
        await client.hear_of("pong")
        first, _, last = (f"tcp://127.0.0.1:{port}" for port in started.ports)
        found = await metrics(started.ports[2])
        for name, values in {
            "appliance_listener_sessions": (1, 0),
            "appliance_listener_connections": (1, 1),
            "appliance_listener_sessions_limit": (settings.limits.sessions, 3),
        }.items():
            assert (found[name, first], found[name, last]) == values
        assert found["appliance_connections",] == 2


async def test_a_reload_changes_the_limits_that_are_told() -> None:
    async with running(channel("beats")) as started:
        limits = attrs.evolve(SETTINGS.limits, sessions=77)
        started.appliance.reload(attrs.evolve(SETTINGS, limits=limits), ())
        assert (await metrics(started.ports[0]))["appliance_sessions_limit",] == 77


async def test_the_end_of_the_certificate_is_told(tmp_path: Path) -> None:
    made = ensure(tmp_path, names=(), valid=30 * 86_400.0, renew_before=86_400.0, now=1.7e9)
    contexts = Contexts(made.certificate, made.key)
    async with running(channel("beats"), contexts=contexts) as started:
        name = "appliance_certificate_expiry_timestamp_seconds"
        assert (await metrics(started.ports[0]))[name,] == 1.7e9 + 30 * 86_400
