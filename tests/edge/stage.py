"""What the tests of this row share: pairs of real sockets, and a server of this row's parts with a hub behind it."""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import ssl
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import httpx
import trio
import trio_websocket

from appliance.access.entrance import Entrance
from appliance.api import Channel, Event, Mode
from appliance.core.history import Retention
from appliance.core.topics import Aliases
from appliance.edge import listener
from appliance.edge.admission import Admission
from appliance.edge.certificates import ensure
from appliance.edge.connection import Arrival, Reception
from appliance.edge.connection import serve as serve_connection
from appliance.edge.http import app as http_app
from appliance.edge.http.proxied import Proxied
from appliance.edge.http.publish import Publishing
from appliance.edge.http.server import Server
from appliance.edge.policy import Policy
from appliance.edge.pulse import Pulse
from appliance.edge.stream import Stream
from appliance.edge.surroundings import Surroundings
from appliance.edge.tls import server_context
from appliance.edge.ways import Ways
from appliance.loading.configured import Configured
from appliance.runtime.answers import Answers
from appliance.runtime.digest import Digests
from appliance.runtime.flusher import Flusher
from appliance.runtime.heartbeat import Heartbeat
from appliance.runtime.hooks import Hooks
from appliance.runtime.hub import Hub
from appliance.runtime.intake import Intake
from appliance.runtime.journal import Journal
from appliance.runtime.pages import Pages
from appliance.runtime.readiness import Readiness
from appliance.runtime.status import Health, Traffic
from appliance.runtime.timers import Timers
from appliance.settings.access import AuthSettings, KeySettings
from appliance.settings.address import Address
from appliance.settings.fields import Seconds, Secret
from appliance.settings.limits import LimitSettings
from appliance.settings.tree import HeartbeatSettings, ListenSettings, Settings, TradingSettings
from tests.edge import promised

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from pathlib import Path

    from appliance.edge.description.asyncapi import Dialect
    from appliance.runtime.report import Part

KEY = "sk_good-key-of-alice"
EXPIRED = "sk_expired-key-of-bob"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
"""The head of a good upgrade, but for its end."""

PATIENCE = 30.0
"""Seconds that a busy machine may take for what should take a moment."""

UNTRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""What a client of plain HTTP has for TLS: to read all authorities of the world takes longer than most tests."""


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Give a TLS context of the server, and one of a client that trusts it."""
    server, certificate = _server_context(folder)
    return server, ssl.create_default_context(cafile=str(certificate))


@functools.cache
def _server_context(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """One for all tests, none of which changes it, as they do what their clients ask for."""
    pair = ensure(folder, names=(), valid=30 * 86_400.0, renew_before=86_400.0, now=time.time())
    return server_context(pair.certificate, pair.key), pair.certificate


def connected() -> tuple[socket.socket, socket.socket]:
    """Give two ends of a TCP connection on the loopback: the server's and the client's."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        client = socket.create_connection(door.getsockname())
        server, _ = door.accept()
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server, client


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what other tasks are about to bring about."""
    with trio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nothing in what is looked at sets an event
            await trio.sleep(0.005)


@attrs.define(eq=False)
class Client:
    """A client of the own protocol: a real WebSocket, and the messages that it has got.

    Each of them is held against what is described of the dialects that are spoken here.
    """

    socket: trio_websocket.WebSocketConnection
    spoken: tuple[Dialect, ...] = ()

    async def say(self, **message: Any) -> None:
        await self.socket.send_message(json.dumps(message))

    async def hear(self) -> dict[str, Any]:
        with trio.fail_after(PATIENCE):
            message: dict[str, Any] = json.loads(await self.socket.get_message())
        promised.keep(self.spoken, message)
        return message

    async def hear_of(self, kind: str) -> dict[str, Any]:
        """Give the next message of a kind, passing over others."""
        while (message := await self.hear())["type"] != kind:
            pass
        return message

    async def close_frame(self) -> tuple[int, str]:
        """Read to the end and give what the close frame says."""
        with contextlib.suppress(trio_websocket.ConnectionClosed):
            while True:
                await self.hear()
        reason = self.socket.closed
        assert reason is not None
        return int(reason.code), reason.reason or ""


PRICE = Channel(name="price", mode=Mode.STATE, message="price_update", topics=("BTC", "ETH", "*"))
TRADES = Channel(name="trades", mode=Mode.LOG, message="trade", open=True)
SYSTEM = Channel(name="system", mode=Mode.STATE, message="system_status", topics=("status",))
SIGNALS = Channel(name="signals", mode=Mode.LOG, message="signal_alert", topics=("all",))
PREDICTIONS = Channel(name="predictions", mode=Mode.STATE, message="prediction_update", topics=("BTC", "ETH"))
ALERTS = Channel(name="alerts", mode=Mode.LOG, message="alert", topics=("all",))
PORTFOLIO = Channel(name="portfolio", mode=Mode.STATE, message="portfolio_update", topics=("paper",))
CHANNELS = (PRICE, TRADES, SYSTEM, SIGNALS, PREDICTIONS, ALERTS, PORTFOLIO)


@attrs.define(eq=False)
class Held:
    """The settings of the moment, which may change while the server runs, as by a reload."""

    settings: Settings


@attrs.define(eq=False)
class Stage:
    """A server in this process."""

    held: Held
    around: Surroundings
    flusher: Flusher
    server: Server
    reception: Reception
    policy: Policy
    nursery: trio.Nursery
    connections: trio.Nursery
    port: int
    client_context: ssl.SSLContext | None = None

    @property
    def hub(self) -> Hub:
        return self.around.hub

    @property
    def errors(self) -> dict[str, int]:
        return dict(self.around.traffic.errors)

    @property
    def traffic(self) -> Traffic:
        return self.around.traffic

    def change(self, **limits: Any) -> None:
        """Go on with other limits."""
        settings = self.held.settings
        self.held.settings = attrs.evolve(settings, limits=attrs.evolve(settings.limits, **limits))

    def publish(self, channel: str, key: str, **data: Any) -> None:
        self.hub.publish(Event(channel, key, data, time.time()), time.time())

    def connect(self) -> socket.socket:
        """Open a plain connection."""
        return socket.create_connection(("127.0.0.1", self.port))

    async def dial(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def dial_tls(self, *alpn: str) -> trio.SSLStream[trio.SocketStream]:
        assert self.client_context is not None
        self.client_context.set_alpn_protocols(alpn or ("http/1.1",))
        stream = trio.SSLStream(
            await self.dial(), self.client_context, server_hostname="localhost", https_compatible=True
        )
        await stream.do_handshake()
        return stream

    async def ask(self, data: bytes) -> bytes:
        """Send bytes on a connection of their own and read all that comes back."""
        stream: trio.abc.Stream = await (self.dial_tls() if self.client_context else self.dial())
        async with stream:
            await stream.send_all(data)
            return await rest(stream)

    @contextlib.asynccontextmanager
    async def client(
        self, key: str | None = KEY, *, target: str = "/ws", subprotocols: Iterable[str] = ()
    ) -> AsyncIterator[Client]:
        headers = [] if key is None else [(b"authorization", b"Bearer " + key.encode())]
        stream = await (self.dial_tls() if self.client_context else self.dial())
        async with stream, trio.open_nursery() as nursery:  # ends with the client
            opened = await trio_websocket.wrap_client_stream(
                nursery,
                stream,
                "localhost",
                target,
                subprotocols=list(subprotocols),
                extra_headers=headers,
                message_queue_size=10_000,
            )
            yield Client(opened, promised.dialects(self.held.settings, target))
            await opened.aclose()
            nursery.cancel_scope.cancel()


def plain_http(port: int, path: str = "", **options: Any) -> httpx.AsyncClient:
    """Make a client whose requests go below a path of a server of the loopback."""
    options = {"timeout": PATIENCE, "verify": UNTRUSTING, **options}
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}{path}", **options)


async def rest(stream: trio.abc.Stream) -> bytes:
    """Read to the end, be it orderly or a reset."""
    data = b""
    with trio.fail_after(PATIENCE), contextlib.suppress(trio.BrokenResourceError):
        while chunk := await stream.receive_some(65_536):
            data += bytes(chunk)
    return data


def configuration(*, heartbeat: HeartbeatSettings | None = None, **listen: Any) -> Settings:
    """Make settings with two keys; `limits` and `auth_timeout` are those of all, the rest is of the listener."""
    limits = LimitSettings(**listen.pop("limits", {}))
    timeout = listen.pop("auth_timeout", 10.0)
    expires: dt.datetime | None = listen.pop("expires", None)
    return Settings(
        listen=(ListenSettings(url="tcp://127.0.0.1:0", **listen),),
        limits=limits,
        auth=AuthSettings(
            keys=(
                KeySettings(name="alice", key=Secret(KEY)),
                KeySettings(name="bob", key=Secret(EXPIRED), expires=expires),
            ),
            timeout=timeout,
        ),
        heartbeat=heartbeat or HeartbeatSettings(),
        paths={"/ws": "cryptointel", "/shared": "shared", "/trading": "trading"},
        trading=TradingSettings(price_interval=Seconds(0.1), portfolio_interval=Seconds(0.1)),
    )


async def nothing_measured(_accept: str) -> tuple[str, bytes]:
    return "text/plain", b""


@contextlib.asynccontextmanager
async def playing(
    settings: Settings | None = None,
    *,
    tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
    assets: dict[str, http_app.Asset] | None = None,
    statistics: Callable[[Part | None], dict[str, Any]] = lambda _part: {},
    socket_status: Callable[[Part | None], dict[str, Any]] = lambda _part: {},
    readiness: Callable[[], Readiness] = lambda: Readiness(able=True),
    metrics: Callable[[str], Awaitable[tuple[str, bytes]]] = nothing_measured,
    without: tuple[str, ...] = (),
    entrance: Entrance | None = None,
) -> AsyncIterator[Stage]:
    """Serve on a free port of the loopback until the block ends; `without` names channels that there are not.

    `entrance` lets in who comes, in place of what the settings say of keys.
    """
    settings = settings or configuration()
    channels = [channel for channel in CHANNELS if channel.name not in without]
    held = Held(settings)
    policy = Policy(lambda: held.settings.listen[0], lambda: held.settings.limits)
    timers, hooks = Timers(), Hooks()
    hub = Hub(
        epoch="epoch-0",
        most_topics=100,
        most_bytes=100_000,
        most_views=settings.limits.views,
        later=timers.call_in,
    )
    retention = Retention(count=100, age=None, size=10_000_000)
    configured = [
        Configured(channel, None, retention, None, publishable=channel is not SYSTEM) for channel in channels
    ]
    health = {channel.name: Health() for channel in channels}
    for channel in channels:
        hub.open(channel, None, retention)
    flusher = Flusher(stalled=lambda: held.settings.limits.stalled)
    known = entrance or Entrance(
        settings.auth, settings.auth.keys, hooks.authenticate, lambda: held.settings.limits
    )
    around = Surroundings(
        hub=hub,
        flusher=flusher,
        timers=timers,
        heartbeat=Heartbeat(interval=settings.heartbeat.interval, timeout=settings.heartbeat.timeout),
        traffic=Traffic(),
        aliases=Aliases({"price": {"bitcoin": "BTC"}}),
        admission=Admission(),
        digests=Digests(hub, clock=trio.current_time, call_at=timers.call_at, now=time.time),
        answers=Answers(hub, within=lambda: held.settings.limits.answer),
        pages=Pages(hub, transform=hooks.transform, within=lambda: held.settings.limits.answer),
        gate=lambda: known.gate,
        settings=lambda: held.settings,
        hooks=hooks,
    )
    aliases = around.aliases
    intake = Intake(
        {each.channel.name: each for each in configured},
        hub=hub,
        journal=Journal(hub),
        health=health,
        aliases=aliases,
        transform=hooks.transform,
        settings=lambda: held.settings.publish,
    )
    publishing = Publishing(
        intake=intake,
        settings=lambda: held.settings.publish,
        gate=lambda: known.gate,
        traffic=around.traffic,
        admission=around.admission,
    )
    desk = http_app.Desk(
        around=around,
        statistics=statistics,
        socket_status=socket_status,
        readiness=readiness,
        metrics=metrics,
        publishing=publishing,
        assets=assets or {},
    )
    app = Proxied(http_app.make(desk), admission=around.admission, traffic=around.traffic)
    server = Server(
        app,
        keep_alive=settings.limits.keep_alive,
        head_bytes=settings.limits.head_bytes,
        refused=around.traffic.refused,
    )
    address = Address.parse(settings.listen[0].url)
    door = listener.bind(address)
    try:
        async with trio.open_nursery() as nursery, trio.open_nursery() as connections:  # end with the block
            stage = Stage(
                held=held,
                around=around,
                flusher=flusher,
                server=server,
                reception=Reception(
                    around=around, http=server, ways=Ways(settings.paths, trading=settings.trading.enabled)
                ),
                policy=policy,
                nursery=nursery,
                connections=connections,
                port=door.getsockname()[1],
                client_context=tls[1] if tls else None,
            )

            async def serve(sock: socket.socket, address: str) -> None:
                context = (lambda _hello: tls[0]) if tls else None
                arrival = Arrival(sock=sock, address=address, policy=policy, context=context)
                await serve_connection(arrival, stage.reception)

            known.tell(around.tenures.review)
            for run in (flusher.run, around.timers.run, around.heartbeat.run, around.tenures.run):
                await nursery.start(run)
            await nursery.start(partial(listener.listen, door, serve, connections=connections, pulse=Pulse()))
            try:
                yield stage
            finally:
                connections.cancel_scope.cancel()
                nursery.cancel_scope.cancel()
    finally:
        listener.unbind(door, address)


async def secured(
    ours: socket.socket, context: ssl.SSLContext, theirs: socket.socket, client: ssl.SSLContext
) -> tuple[Stream, trio.SSLStream[trio.SocketStream]]:
    """Agree on TLS over two connected sockets."""
    stream = Stream(ours).secured(context)
    peer = trio.SSLStream(
        trio.SocketStream(trio.socket.from_stdlib_socket(theirs)), client, server_hostname="localhost"
    )
    async with trio.open_nursery() as nursery:  # ends with the handshake
        nursery.start_soon(stream.handshake)
        nursery.start_soon(peer.do_handshake)
    return stream, peer
