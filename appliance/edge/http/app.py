"""The HTTP side: a Starlette application with what is no stream — health, statistics, metrics, the page."""

from __future__ import annotations

import time
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Mount, Route

from appliance.core.errors import ErrorCode, RequestError
from appliance.core.instants import timestamp
from appliance.core.topics import join
from appliance.dialects import data_ws
from appliance.edge.description.operation import Endpoint, Operation
from appliance.edge.dialogues.data_ws import CHANNEL, newest, usual
from appliance.edge.http import denial, documents, extra, polling, publish, rows, sse, told
from appliance.edge.http.cors import Cors
from appliance.edge.http.documents import Documents
from appliance.edge.http.extra import Extra
from appliance.edge.http.headers import Headers
from appliance.edge.http.rated import Rated
from appliance.runtime.report import Part

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from appliance.access.principals import Principal
    from appliance.edge.description.operation import Audience
    from appliance.edge.http.publish import Publishing
    from appliance.edge.policy import Policy
    from appliance.edge.surroundings import Ongoing, Surroundings
    from appliance.runtime.readiness import Readiness
    from appliance.runtime.turns import Turnstile

    Reply = Callable[[Request], Awaitable[Response]]
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
    statistics: Callable[[Part | None], dict[str, Any]]
    socket_status: Callable[[Part | None], dict[str, Any]]
    readiness: Callable[[], Readiness]
    metrics: Callable[[str], Awaitable[tuple[str, bytes]]]
    """Gives the media type and the text that fit an `Accept` header."""
    publishing: Publishing
    assets: Mapping[str, Asset]


class Answer(Response):
    """JSON, made by msgspec as all else here."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:  # noqa: ANN401 - anything that is JSON
        return msgspec.json.encode(content)


_NOT_TO_BE_KEPT = {"cache-control": "no-store"}
_PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "cross-origin",  # other pages may use the client for browsers
    "cache-control": "no-cache",
}


@attrs.frozen
class _Served:
    """An endpoint: how it answers from a desk, and what it says of itself to somebody."""

    method: str
    path: str
    reply: Callable[[Desk], Reply]
    describe: Callable[[Audience], Operation]


def make(desk: Desk) -> ASGIApp:
    routes = [
        *(Route(each.path, each.reply(desk), methods=[each.method]) for each in _SERVED),
        Mount(extra.PREFIX, Extra(lambda: desk.around.hooks.plugins, partial(_authenticate, desk))),
        *(Route(path, _asset(asset), methods=["GET"]) for path, asset in desk.assets.items()),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refuse})
    app.router.redirect_slashes = False  # it would lead where the request says that we are
    around = desk.around
    orderly = _Orderly(_NoSockets(Cors(app)), around.turnstile)
    rated = Rated(orderly, admission=around.admission, traffic=around.traffic)
    return Headers(rated, remembered=lambda: around.settings().tls.hsts)


def described(audience: Audience, assets: Mapping[str, Asset]) -> Iterator[Endpoint]:
    """Give all that is served, as somebody may know it."""
    for each in _SERVED:
        yield Endpoint(each.method, each.path, each.describe(audience))
    yield Endpoint("GET", extra.ROUTES, extra.describe(audience))
    for path, asset in assets.items():
        yield Endpoint("GET", path, told.file(path, asset.kind))


class _Orderly:
    """Has requests wait for their turn to end when their client has left: those of a connection leave together."""

    def __init__(self, app: ASGIApp, turnstile: Turnstile) -> None:
        self._app = app
        self._turnstile = turnstile

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def received() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                await self._turnstile.enter()
            return message

        await self._app(scope, received, send)


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


def _ready(desk: Desk) -> Reply:
    async def answer(request: Request) -> Response:
        readiness = desk.readiness()
        shown: dict[str, Any] = {"ready": readiness.able}
        principal = _let_in(desk, request)
        if principal is not None and principal.entitlements.may_monitor:
            shown["reasons"] = readiness.reasons
        status = HTTPStatus.OK if readiness.able else HTTPStatus.SERVICE_UNAVAILABLE
        return Answer(shown, status_code=status, headers=_NOT_TO_BE_KEPT)

    return answer


def _let_in(desk: Desk, request: Request) -> Principal | None:
    """Give who may be told more than anybody; who shows no key does not want to be."""
    try:
        return _admit(desk, request)
    except RequestError as error:
        if error.code is not ErrorCode.UNAUTHORIZED:
            desk.around.traffic.refused(error.code, error.limit)
        return None


def _metrics(desk: Desk) -> Reply:
    async def answer(request: Request) -> Response:
        if not _authenticate(desk, request).entitlements.may_monitor:
            raise HTTPException(HTTPStatus.FORBIDDEN, "Forbidden: metrics need `monitor = true`")
        kind, text = await desk.metrics(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": kind, **_NOT_TO_BE_KEPT})

    return answer


def _statistics(desk: Desk) -> Reply:
    async def answer(request: Request) -> Response:
        return Answer(desk.statistics(_part(_authenticate(desk, request))))

    return answer


def _events(desk: Desk) -> Reply:
    async def answer(request: Request) -> Response:
        principal = _authenticate(desk, request)
        return sse.answer(desk.around, request.scope["state"]["policy"], principal, request)

    return answer


def _polled(poll: Poll) -> Callable[[Desk], Reply]:
    def reply(desk: Desk) -> Reply:
        async def answer(request: Request) -> Response:
            principal = _authenticate(desk, request)
            return await poll(desk.around, request.scope["state"]["policy"], principal, request)

        return answer

    return reply


def _documents(desk: Desk) -> Documents:
    return Documents(desk.around, partial(_let_in, desk), partial(described, assets=desk.assets))


def _socket_status(desk: Desk) -> Reply:
    async def answer(request: Request) -> Response:
        return Answer(desk.socket_status(_part(_authenticate(desk, request))))

    return answer


def _part(principal: Principal) -> Part | None:
    """Say of what somebody is told; None: of everything."""
    if principal.entitlements.may_monitor:
        return None
    who = principal.kind, principal.name

    def is_own(session: Ongoing) -> bool:
        return session.principal is not None and (session.principal.kind, session.principal.name) == who

    return Part(principal.entitlements.scope, is_own)


def _latest_prediction(desk: Desk) -> Reply:
    async def answer(request: Request) -> Response:
        principal = _authenticate(desk, request, unauthorized=data_ws.UNAUTHORIZED)
        around, sight = desk.around, desk.around.sight(principal)
        if symbol := told.SYMBOL.read(request.query_params):
            topic = sight.known(join(CHANNEL, symbol))
        else:
            topic = usual(around, sight) or newest(sight)
        if topic is None or topic.latest is None:
            body = data_ws.failure(data_ws.NO_PREDICTIONS)
        else:
            body = data_ws.success(data_ws.row(topic.latest))
        return Response(body, media_type=Answer.media_type)

    return answer


def _asset(asset: Asset) -> Reply:
    async def answer(_request: Request) -> Response:
        return Response(asset.content, media_type=asset.kind, headers=_PAGE_HEADERS)

    return answer


def _admit(desk: Desk, request: Request) -> Principal:
    policy: Policy = request.scope["state"]["policy"]
    query = request.scope["query_string"].decode("latin-1")
    if rows.is_asked_for(request):
        query = rows.without_key(query)
    return policy.admit(request.headers.raw, query, desk.around.gate(), request.scope["state"]["peer"])


def _authenticate(desk: Desk, request: Request, *, unauthorized: str | None = None) -> Principal:
    try:
        return _admit(desk, request)
    except RequestError as error:
        desk.around.traffic.refused(error.code, error.limit)
        denial.check_rate(error)
        text = unauthorized or f"Unauthorized: {error}"
        raise HTTPException(HTTPStatus.UNAUTHORIZED, text, _CHALLENGE) from None


_CHALLENGE = {"www-authenticate": 'Bearer realm="appliance"'}


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    body = {"success": False, "data": None, "error": error.detail}
    return Answer(body, status_code=error.status_code, headers=error.headers)


_SERVED: Final = (
    _Served("GET", "/health", lambda _: _health, told.health),
    _Served("GET", "/ready", _ready, told.ready),
    _Served("GET", "/metrics", _metrics, told.metrics),
    _Served("GET", "/ws/stats", _statistics, told.statistics),
    _Served("GET", sse.PATH, _events, sse.describe),
    _Served("GET", "/websocket/status", _socket_status, told.socket_status),
    _Served("GET", "/api/v1/predictions/latest", _latest_prediction, told.latest_prediction),
    _Served("GET", rows.PREDICTIONS, _polled(rows.predictions), rows.describe_predictions),
    _Served("GET", rows.ROWS, _polled(rows.rows), rows.describe_rows),
    _Served("GET", polling.EVENTS, _polled(polling.events), polling.describe_events),
    _Served("GET", polling.LATEST, _polled(polling.latest), polling.describe_latest),
    _Served("POST", publish.PATH, lambda desk: desk.publishing.answer, publish.describe),
    _Served("GET", documents.OPENAPI, lambda desk: _documents(desk).openapi, documents.describe_openapi),
    _Served("GET", documents.ASYNCAPI, lambda desk: _documents(desk).asyncapi, documents.describe_asyncapi),
)
