"""A request for a stream or a page that is not served: as the HTTP error that says why, and counted."""

from __future__ import annotations

import contextlib
import math
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

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
}


def address(request: Request) -> str:
    """Give where a request comes from; all of a Unix socket come from one place."""
    return request.client.host if request.client is not None else "unix"


def check(traffic: Traffic, refusal: Refusal | None) -> None:
    """Raise the HTTP error for who is not let in, with when to come back."""
    if refusal is not None:
        traffic.errors[refusal.code] += 1
        retry = {"retry-after": f"{max(1, math.ceil(refusal.retry_after))}"}
        raise HTTPException(_STATUS[refusal.code], refusal.message, retry)


@contextlib.contextmanager
def telling(traffic: Traffic) -> Iterator[None]:
    """Turn a `RequestError` into the HTTP error for it."""
    try:
        yield
    except RequestError as error:
        traffic.errors[error.code] += 1
        raise HTTPException(_STATUS.get(error.code, HTTPStatus.BAD_REQUEST), error.message) from None
