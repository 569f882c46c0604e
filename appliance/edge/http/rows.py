"""`GET /api/v1/predictions` and `/api/v1/channels/{channel}/rows`: old rows, from where a channel has them.

Must not know where that is.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import attrs
import msgspec
import trio
from starlette.responses import Response

from appliance.api import PageQuery
from appliance.core import topics
from appliance.core.errors import ErrorCode, RequestError
from appliance.dialects import data_ws, parameters
from appliance.dialects.parameters import Parameter
from appliance.edge.description import operation
from appliance.edge.description.operation import Audience, Given, Operation
from appliance.edge.dialogues.data_ws import CHANNEL
from appliance.edge.http import bodies, denial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from appliance.access.principals import Principal
    from appliance.access.seals import Seal
    from appliance.core.events import Entry
    from appliance.edge.policy import Policy
    from appliance.edge.surroundings import Surroundings

PREDICTIONS: Final = "/api/v1/predictions"
ROWS: Final = "/api/v1/channels/{channel}/rows"
_KIND = "application/json"
_HEADERS = {"cache-control": "no-store"}
_USUAL = 100


def _in_utc(text: str) -> str | None:
    with contextlib.suppress(ValueError, OverflowError):
        moment = dt.datetime.fromisoformat(text)
        if moment.utcoffset() is not None:
            return moment.astimezone(dt.UTC).isoformat()
    return None


def _moment(name: str, about: str) -> Parameter[str]:
    seconds = parameters.moment(name, about)
    return Parameter(name=name, about=about, right=seconds.right, take=_in_utc, schema=seconds.schema)


_SYMBOL = parameters.text("symbol", "Rows of this symbol alone", spelled=str.upper)
_KEY = parameters.text("key", "Rows of this key alone")
_SINCE = _moment("since", "Rows of this time or later")
_UNTIL = _moment("until", "Rows from before this time")
_CURSOR = parameters.text("cursor", "Rows behind this: `next` of the answer before")


def _limit(most: int) -> Parameter[int]:
    return parameters.count("limit", of="rows", most=most, usual=_USUAL)


def _describe(audience: Audience, name: str, key: Parameter[str], *path: Given, kind: type) -> Operation:
    parts = (key, _SINCE, _UNTIL, _CURSOR, _limit(audience.settings.limits.page))
    return Operation(
        name=name,
        summary="Page through old rows, from where a channel has them",
        tag="rows",
        given=(*path, *operation.asked(parts)),
        answers=operation.answered("A page of rows", kind),
        refusals={
            HTTPStatus.BAD_REQUEST: "a parameter is not right",
            HTTPStatus.NOT_FOUND: "the channel has no old rows, or there is no such channel",
            HTTPStatus.TOO_MANY_REQUESTS: operation.TOO_MANY,
            HTTPStatus.SERVICE_UNAVAILABLE: "the source cannot be asked at the moment",
        },
    )


def describe_predictions(audience: Audience) -> Operation:
    return _describe(audience, "oldPredictions", _SYMBOL, kind=bodies.PredictionsAnswer)


def describe_rows(audience: Audience) -> Operation:
    about = "The name of a channel"
    channel = Given(name="channel", where="path", about=about, required=True, examples=audience.channels)
    return _describe(audience, "oldRows", _KEY, channel, kind=bodies.RowsAnswer)


def is_asked_for(request: Request) -> bool:
    """Whether a request is for the rows of a channel, where the parameter `key` is that of a topic."""
    return "channel" in request.path_params


def without_key(query: str) -> str:
    """Give a query without `key`, which elsewhere may be a credential."""
    return "&".join(pair for pair in query.split("&") if not pair.startswith("key="))


async def predictions(
    around: Surroundings, policy: Policy, principal: Principal, request: Request
) -> Response:
    """Answer with rows as data-ws has them."""
    with denial.telling(around.traffic):
        asked = _asked(request.query_params, _SYMBOL, policy.limits.page)
    return await _answer(around, policy, principal, request, asked, CHANNEL, data_ws.row)


async def rows(around: Surroundings, policy: Policy, principal: Principal, request: Request) -> Response:
    """Answer with the data of what were, or would have been, a channel's events."""
    with denial.telling(around.traffic):
        asked = _asked(request.query_params, _KEY, policy.limits.page)
    return await _answer(
        around, policy, principal, request, asked, request.path_params["channel"], lambda entry: entry.body
    )


async def _answer(
    around: Surroundings,
    policy: Policy,
    principal: Principal,
    request: Request,
    asked: PageQuery,
    channel: str,
    told: Callable[[Entry], bytes],
) -> Response:
    # As a session has its own rate: one key may serve many.
    who = (principal.name, denial.address(request))
    denial.check(around.traffic, around.admission.ask(policy, who, trio.current_time()))
    if asked.key is not None:
        name = around.aliases.canonical(topics.join(channel, asked.key))
        asked = attrs.evolve(asked, key=name.partition(":")[2])
    sealed = not principal.entitlements.scope.is_everything
    with denial.telling(around.traffic):
        if sealed and asked.cursor is not None:
            asked = attrs.evolve(asked, cursor=_opened(around.seal, asked.cursor))
        found = await around.pages.page(channel, asked, around.sight(principal))
    data = [msgspec.Raw(told(entry)) for entry in found.entries]
    # A source's own cursor names the row that it stands behind, which may not be for this reader.
    following = around.seal.close(found.next) if sealed and found.next is not None else found.next
    content = {"success": True, "data": data, "next": following, "error": None}
    body = msgspec.json.encode(content)
    around.traffic.sent_bytes += len(body)
    return Response(body, media_type=_KIND, headers=_HEADERS)


def _opened(seal: Seal, cursor: str) -> str:
    if not seal.is_closed(cursor):
        raise RequestError(ErrorCode.INVALID_MESSAGE, "`cursor` is not what a page has given as its `next`")
    return seal.open(cursor)


def _asked(query: Mapping[str, str], key: Parameter[str], most: int) -> PageQuery:
    return PageQuery(
        key=key.read(query),
        since=_SINCE.read(query),
        until=_UNTIL.read(query),
        cursor=_CURSOR.read(query),
        limit=_limit(most).read(query) or min(_USUAL, most),
    )
