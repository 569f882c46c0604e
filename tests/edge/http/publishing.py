"""The part of an appliance that applications publish to: the endpoint and the statistics, on a port of their own."""

from __future__ import annotations

import contextlib
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import trio
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from appliance.access.certificates import Certificates
from appliance.access.gate import Gate, Peer
from appliance.access.keys import Keys
from appliance.core.entitlements import EVERYTHING
from appliance.edge import listener
from appliance.edge.admission import Admission
from appliance.edge.http.publish import PATH, Publishing
from appliance.edge.http.server import Server
from appliance.edge.policy import Policy
from appliance.edge.pulse import Pulse
from appliance.edge.stream import Stream
from appliance.runtime.status import Traffic
from appliance.settings.access import KeySettings
from appliance.settings.address import Address
from appliance.settings.fields import Secret
from appliance.settings.limits import LimitSettings
from appliance.settings.tree import ListenSettings
from tests.edge.stage import PATIENCE, plain_http
from tests.runtime.intaking import Scene

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterator

    import httpx
    from starlette.requests import Request
    from starlette.responses import Response

KEY = "sk_application"
READER = "sk_reader"
COUNTS = {"total": 3, "channels": {"predictions": 1, "market-data": 0, "alerts": 2}}


@attrs.define(eq=False)
class Office:
    """The server. `settings` of publishing are those of its scene."""

    scene: Scene = attrs.field(factory=Scene)
    listen: ListenSettings = attrs.field(factory=lambda: ListenSettings(url="tcp://127.0.0.1:0"))
    limits: LimitSettings = attrs.field(factory=LimitSettings)
    tls: ssl.SSLContext | None = None
    traffic: Traffic = attrs.field(factory=Traffic)
    port: int = 0
    connections: int = 0
    left: int = 0
    requests: int = 0
    entries: tuple[KeySettings, ...] = (
        KeySettings(name="app", key=Secret(KEY), publish=("price", "pre*", "alerts", "closed", "wea*")),
        KeySettings(name="reader", key=Secret(READER)),
    )
    keys: Keys = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.keys = Keys(self.entries)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://localhost:{self.port}"

    async def post(
        self, content: Any = None, *, text: bytes | None = None, key: str | None = KEY, **headers: str
    ) -> httpx.Response:
        """Send JSON, or `text` as it is; underscores in the names of headers are hyphens."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        sent.setdefault("content-type", "application/json")
        async with plain_http(self.port) as http:
            if text is not None:
                return await http.post(PATH, content=text, headers=sent)
            return await http.post(PATH, json=content, headers=sent)

    async def dial(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)


@contextlib.asynccontextmanager
async def opened(office: Office) -> AsyncIterator[Office]:
    """Serve on a free port of the loopback until the block ends."""
    publishing = Publishing(
        intake=office.scene.intake,
        settings=lambda: office.scene.settings,
        gate=lambda: Gate(office.keys, Certificates(()), EVERYTHING),
        traffic=office.traffic,
        admission=Admission(),
    )

    async def publish(request: Request) -> Response:
        office.requests += 1
        return await publishing.answer(request)

    async def statistics(request: Request) -> Response:
        office.requests += 1
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        if shown in {entry.key for entry in office.entries}:
            return JSONResponse({"connections": COUNTS})
        body = {"success": False, "data": None, "error": "Unauthorized: show an API key"}
        return JSONResponse(body, status_code=401)

    app = Starlette(
        routes=[
            Route(PATH, publish, methods=["POST"]),
            Route("/ws/stats", statistics, methods=["GET"]),
        ]
    )
    server = Server(
        app,
        keep_alive=office.limits.keep_alive,
        head_bytes=office.limits.head_bytes,
        refused=office.traffic.refused,
    )
    policy = Policy(lambda: office.listen, lambda: office.limits)

    async def serve(sock: socket.socket, address: str) -> None:
        office.connections += 1
        stream = Stream(sock)
        with contextlib.suppress(trio.BrokenResourceError):
            try:
                if office.tls is not None:
                    stream = stream.secured(office.tls)
                    await stream.handshake()
                await server.serve(stream, policy, Peer(address))
            finally:
                stream.abort()
                office.left += 1

    address = Address.parse(f"tcp://127.0.0.1:{office.port}")
    door = listener.bind(address)
    office.port = door.getsockname()[1]
    async with trio.open_nursery() as connections, trio.open_nursery() as doors:  # end with the block
        await doors.start(partial(listener.listen, door, serve, connections=connections, pulse=Pulse()))
        try:
            yield office
        finally:
            doors.cancel_scope.cancel()
            connections.cancel_scope.cancel()
            listener.unbind(door, address)


@contextlib.contextmanager
def elsewhere(office: Office) -> Iterator[Office]:
    """Serve in a thread of its own until the block ends, for clients that block."""
    ready = threading.Event()
    stop: list[Callable[[], object]] = []

    async def run() -> None:
        async with opened(office):
            ended = trio.Event()
            stop.append(
                partial(trio.from_thread.run_sync, ended.set, trio_token=trio.lowlevel.current_trio_token())
            )
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=trio.run, args=(run,))
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield office
    finally:
        stop[0]()
        thread.join()
