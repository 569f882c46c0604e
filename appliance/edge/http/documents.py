"""`GET /api/v1/openapi.json` and `/api/v1/asyncapi.json`: what is served here, for whoever asks.

They are written when they are asked for, and kept for the next who may know as much.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.responses import Response

from appliance.edge.description.operation import JSON, Audience
from appliance.edge.http import bodies, told

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from starlette.requests import Request

    from appliance.access.principals import Principal
    from appliance.edge.description.operation import Endpoint, Operation
    from appliance.edge.policy import Policy
    from appliance.edge.surroundings import Surroundings
    from appliance.runtime.sight import Sight
    from appliance.settings.tree import Settings

    Admit = Callable[[Request], Principal | None]
    Describe = Callable[[Audience], Iterable[Endpoint]]
    Reply = Callable[[Request], Awaitable[Response]]

OPENAPI: Final = "/api/v1/openapi.json"
ASYNCAPI: Final = "/api/v1/asyncapi.json"
_MOST_KEPT = 16
_MOST_TOPICS = 20
_HOST = re.compile(r"([A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
_HEADERS = {"cache-control": "no-store"}


def describe_openapi(_: Audience) -> Operation:
    return told.document("openapi", "what is served over HTTP")


def describe_asyncapi(_: Audience) -> Operation:
    return told.document("asyncapi", "the sockets")


def write_openapi(describe: Describe, audience: Audience) -> dict[str, Any]:
    from appliance.edge.description import openapi  # noqa: PLC0415 - most never ask

    return openapi.document(describe(audience), audience, problem=bodies.Problem)


def write_asyncapi(audience: Audience, *, host: str, secure: bool) -> dict[str, Any]:
    from appliance.edge.description import asyncapi  # noqa: PLC0415 - as above
    from appliance.edge.ways import Ways  # noqa: PLC0415 - as above

    settings = audience.settings
    ways = Ways(settings.paths, trading=settings.trading.enabled)
    return asyncapi.document(asyncapi.spoken(ways.spoken), audience, host=host, secure=secure)


class Documents:
    """`admit` gives who may know more than anybody; `describe`, what is served."""

    def __init__(self, around: Surroundings, admit: Admit, describe: Describe) -> None:
        self._around = around
        self._admit = admit
        self._describe = describe
        self._settings: Settings | None = None
        self._kept: dict[tuple[object, ...], dict[str, Any]] = {}

    async def openapi(self, request: Request) -> Response:
        audience = self._audience(request)
        return _answer(self._written("openapi", audience, lambda: write_openapi(self._describe, audience)))

    async def asyncapi(self, request: Request) -> Response:
        audience, secure = self._audience(request), request.scope["scheme"] == "https"
        scheme = "wss" if secure else "ws"
        document = self._written(
            scheme, audience, lambda: write_asyncapi(audience, host="localhost", secure=secure)
        )
        shown = request.headers.get("host", "")
        if not _HOST.fullmatch(shown):
            return _answer(document)
        # Whoever names many hosts has none of them written anew.
        listener = {**document["servers"]["listener"], "host": shown}
        return _answer({**document, "servers": {"listener": listener}})

    def _written(self, what: str, audience: Audience, write: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if audience.settings is not self._settings or len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
            self._settings = audience.settings
        key = (what, audience.auth, audience.certificates, audience.topics)
        if key not in self._kept:
            self._kept[key] = write()
        return self._kept[key]

    def _audience(self, request: Request) -> Audience:
        policy: Policy = request.scope["state"]["policy"]
        principal = self._admit(request)
        return Audience(
            settings=self._around.settings(),
            auth=policy.auth,
            certificates=policy.client_certificates != "off",
            topics=()
            if principal is None
            else tuple(islice(_samples(self._around.sight(principal)), _MOST_TOPICS)),
        )


def _answer(document: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(document), media_type=JSON, headers=_HEADERS)


def _samples(sight: Sight) -> Iterator[str]:
    """Name a topic of each channel."""
    for channel in sorted(sight.hub.channels):
        topic = next(sight.matching(f"{channel}:*"), None)
        if topic is not None:
            yield topic.name
