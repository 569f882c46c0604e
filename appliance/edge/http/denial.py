"""A request for a stream or a page that is not served: as the HTTP error that says why, and counted."""

from __future__ import annotations

import contextlib
import math
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from appliance.core.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from appliance.edge.admission import Refusal
    from appliance.runtime.status import Traffic

_STATUS = {
    ErrorCode.INVALID_CHANNEL: HTTPStatus.NOT_FOUND,
    ErrorCode.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.CONNECTION_FULL: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.SERVER_RESTART: HTTPStatus.SERVICE_UNAVAILABLE,
}
_UNKNOWN = (
    ErrorCode.INVALID_TOKEN,
    ErrorCode.EXPIRED_TOKEN,
    ErrorCode.REVOKED_TOKEN,
    ErrorCode.UNAUTHORIZED,
)
CHALLENGE = {"www-authenticate": 'Bearer realm="appliance"'}
"""How a client is asked for a credential."""


def address(request: Request) -> str:
    """Give where a request comes from; all of a Unix socket come from one place."""
    return request.client.host if request.client is not None else "unix"


def check(traffic: Traffic, refusal: Refusal | None) -> None:
    """Raise the HTTP error for who is not let in, with when to come back."""
    if refusal is not None:
        traffic.refused(refusal.code, refusal.limit)
        raise HTTPException(_STATUS[refusal.code], refusal.message, _retry(refusal.retry_after))


def answer(traffic: Traffic, refusal: Refusal) -> Response:
    """Give the same as an answer, where nobody is there yet to make one of an error."""
    traffic.refused(refusal.code, refusal.limit)
    body = msgspec.json.encode({"success": False, "data": None, "error": refusal.message})
    return Response(body, _STATUS[refusal.code], _retry(refusal.retry_after), "application/json")


def check_rate(error: RequestError) -> None:
    """Raise the HTTP error for what may be asked again in a while, and is counted."""
    if error.retry_after is not None:
        status, retry = _STATUS.get(error.code, HTTPStatus.BAD_REQUEST), _retry(error.retry_after)
        raise HTTPException(status, error.message, retry) from None


def _retry(seconds: float) -> dict[str, str]:
    return {"retry-after": f"{max(1, math.ceil(seconds))}"}


@contextlib.contextmanager
def telling(traffic: Traffic) -> Iterator[None]:
    """Turn a `RequestError` into the HTTP error for it."""
    try:
        yield
    except RequestError as error:
        traffic.refused(error.code, error.limit)
        check_rate(error)
        if error.code in _UNKNOWN:
            text = f"Unauthorized: {error.message}"
            raise HTTPException(HTTPStatus.UNAUTHORIZED, text, CHALLENGE) from None
        raise HTTPException(_STATUS.get(error.code, HTTPStatus.BAD_REQUEST), error.message) from None
