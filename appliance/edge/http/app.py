"""The HTTP side: a Starlette application with what is no stream — health, statistics, the page."""

from __future__ import annotations

import time
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Mount, Route

from appliance.core.errors import RequestError
from appliance.core.instants import timestamp
from appliance.core.topics import join
from appliance.dialects import data_ws
from appliance.edge.dialogues.data_ws import CHANNEL, newest, usual
from appliance.edge.http import extra, polling, publish, sse
from appliance.edge.http.cors import Cors
from appliance.edge.http.extra import Extra

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from appliance.access.principals import Principal
    from appliance.edge.http.publish import Publishing
    from appliance.edge.policy import Policy
    from appliance.edge.surroundings import Surroundings

    Endpoint = Callable[[Request], Awaitable[Response]]
    Poll = Callable[[Surroundings, Policy, Principal, Request], Awaitable[Response]]


@attrs.frozen
class Asset:
    """A file of the page."""

    content: bytes
    kind: str


@attrs.frozen(kw_only=True)
class Desk:
    """What the endpoints answer from."""

    around: Surroundings
    statistics: Callable[[], dict[str, Any]]
    socket_status: Callable[[], dict[str, Any]]
    publishing: Publishing
    assets: Mapping[str, Asset]


class Answer(Response):
    """JSON, made by msgspec as all else here."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:  # noqa: ANN401 - anything that is JSON
        return msgspec.json.encode(content)


_PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def make(desk: Desk) -> ASGIApp:
    routes = [
        Route("/health", _health, methods=["GET"]),
        Route("/ws/stats", _statistics(desk), methods=["GET"]),
        Route("/sse", _events(desk), methods=["GET"]),
        Route("/websocket/status", _socket_status(desk), methods=["GET"]),
        Route("/api/v1/predictions/latest", _latest_prediction(desk), methods=["GET"]),
        Route(polling.EVENTS, _poll(desk, polling.events), methods=["GET"]),
        Route(polling.LATEST, _poll(desk, polling.latest), methods=["GET"]),
        Route(publish.PATH, desk.publishing.answer, methods=["POST"]),
        Mount(extra.PREFIX, Extra(lambda: desk.around.hooks.plugins, partial(_authenticate, desk))),
        *(Route(path, _asset(asset), methods=["GET"]) for path, asset in desk.assets.items()),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refuse})
    return _NoSockets(Cors(app))


class _NoSockets:
    """Refuses sockets that come this way: on a connection that has carried a request before."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send(
                {"type": "websocket.close", "code": 1002, "reason": "open a connection for the socket"}
            )
        else:
            await self._app(scope, receive, send)


async def _health(_request: Request) -> Response:
    # Of the replaced systems data-ws alone has this page, and what watches it may look for its name.
    return Response(data_ws.health(timestamp(time.time())), media_type=Answer.media_type)


def _statistics(desk: Desk) -> Endpoint:
    async def answer(request: Request) -> Response:
        _authenticate(desk, request)
        return Answer(desk.statistics())

    return answer


def _events(desk: Desk) -> Endpoint:
    async def answer(request: Request) -> Response:
        principal = _authenticate(desk, request)
        return sse.answer(desk.around, request.scope["state"]["policy"], principal, request)

    return answer


def _poll(desk: Desk, poll: Poll) -> Endpoint:
    async def answer(request: Request) -> Response:
        principal = _authenticate(desk, request)
        return await poll(desk.around, request.scope["state"]["policy"], principal, request)

    return answer


def _socket_status(desk: Desk) -> Endpoint:
    async def answer(request: Request) -> Response:
        _authenticate(desk, request)
        return Answer(desk.socket_status())

    return answer


def _latest_prediction(desk: Desk) -> Endpoint:
    async def answer(request: Request) -> Response:
        principal = _authenticate(desk, request, unauthorized=data_ws.UNAUTHORIZED)
        around, may_read = desk.around, principal.may_read
        if asked := request.query_params.get("symbol"):
            topic = around.hub.known(join(CHANNEL, asked.upper()))
        else:
            topic = usual(around, may_read) or newest(around.hub, may_read)
        if topic is None or topic.latest is None or not may_read(topic.name):
            body = data_ws.failure(data_ws.NO_PREDICTIONS)
        else:
            body = data_ws.success(data_ws.row(topic.latest))
        return Response(body, media_type=Answer.media_type)

    return answer


def _asset(asset: Asset) -> Endpoint:
    async def answer(_request: Request) -> Response:
        return Response(asset.content, media_type=asset.kind, headers=_PAGE_HEADERS)

    return answer


def _authenticate(desk: Desk, request: Request, *, unauthorized: str | None = None) -> Principal:
    policy: Policy = request.scope["state"]["policy"]
    query = request.scope["query_string"].decode("latin-1")
    try:
        return policy.admit(request.headers.raw, query, desk.around.authenticator())
    except RequestError as error:
        desk.around.traffic.errors[error.code] += 1
        text = unauthorized or f"Unauthorized: {error}"
        raise HTTPException(HTTPStatus.UNAUTHORIZED, text, _CHALLENGE) from None


_CHALLENGE = {"www-authenticate": 'Bearer realm="appliance"'}


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    body = {"success": False, "data": None, "error": error.detail}
    return Answer(body, status_code=error.status_code, headers=error.headers)
