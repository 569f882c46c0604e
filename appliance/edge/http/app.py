"""The HTTP side: a Starlette application with what is no stream — health, statistics, the page."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from appliance.access import credentials
from appliance.access.principals import ANONYMOUS
from appliance.core.errors import ErrorCode, RequestError
from appliance.edge.http import sse
from appliance.runtime.report import timestamp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from appliance.access.principals import Principal
    from appliance.edge.policy import Policy
    from appliance.edge.surroundings import Surroundings

    Endpoint = Callable[[Request], Awaitable[Response]]


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
        *(Route(path, _asset(asset), methods=["GET"]) for path, asset in desk.assets.items()),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refuse})
    return _NoSockets(app)


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
    return Answer({"status": "healthy", "service": "appliance", "timestamp": timestamp(time.time())})


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


def _asset(asset: Asset) -> Endpoint:
    async def answer(_request: Request) -> Response:
        return Response(asset.content, media_type=asset.kind, headers=_PAGE_HEADERS)

    return answer


def _authenticate(desk: Desk, request: Request) -> Principal:
    policy: Policy = request.scope["state"]["policy"]
    if policy.auth == "none":
        return ANONYMOUS
    try:
        credential = credentials.find(request.headers.raw, request.scope["query_string"].decode("latin-1"))
        if credential is not None:
            return desk.around.authenticator().authenticate(credential, time.time())
    except RequestError as error:
        desk.around.traffic.errors[error.code] += 1
        raise HTTPException(HTTPStatus.UNAUTHORIZED, f"Unauthorized: {error}", _CHALLENGE) from None
    if policy.auth == "optional":
        return ANONYMOUS
    desk.around.traffic.errors[ErrorCode.UNAUTHORIZED] += 1
    raise HTTPException(
        HTTPStatus.UNAUTHORIZED, "Unauthorized: show an API key as `Authorization: Bearer KEY`", _CHALLENGE
    )


_CHALLENGE = {"www-authenticate": 'Bearer realm="appliance"'}


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    body = {"success": False, "data": None, "error": error.detail}
    return Answer(body, status_code=error.status_code, headers=error.headers)
