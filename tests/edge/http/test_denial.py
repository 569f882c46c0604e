from __future__ import annotations

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from appliance.core.errors import ErrorCode, RequestError
from appliance.edge.admission import Refusal
from appliance.edge.http import denial
from appliance.runtime.status import Traffic


@pytest.mark.parametrize(("client", "address"), [(("192.0.2.1", 5), "192.0.2.1"), (None, "unix")])
def test_where_a_request_comes_from(client: tuple[str, int] | None, address: str) -> None:
    assert denial.address(Request({"type": "http", "client": client})) == address


@pytest.mark.parametrize(
    ("code", "status", "after", "shown"),
    [
        (ErrorCode.RATE_LIMITED, 429, 0.01, "1"),
        (ErrorCode.RATE_LIMITED, 429, 2.4, "3"),
        (ErrorCode.CONNECTION_FULL, 503, 5.0, "5"),
        (ErrorCode.SERVER_RESTART, 503, 3.2, "4"),
    ],
)
def test_who_is_not_let_in_is_told_when_to_come_back(
    code: ErrorCode, status: int, after: float, shown: str
) -> None:
    traffic = Traffic()
    with pytest.raises(HTTPException) as caught:
        denial.check(traffic, Refusal(code, "too many", after))
    assert (caught.value.status_code, caught.value.detail) == (status, "too many")
    assert caught.value.headers == {"retry-after": shown}
    assert traffic.errors == {code: 1}


def test_who_is_let_in_is_not_counted() -> None:
    traffic = Traffic()
    denial.check(traffic, None)
    with denial.telling(traffic):
        pass  # nothing is wrong
    assert traffic.errors == {}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ErrorCode.INVALID_CHANNEL, 404),
        (ErrorCode.RATE_LIMITED, 429),
        (ErrorCode.INVALID_MESSAGE, 400),
    ],
)
def test_what_cannot_be_served_is_told_and_counted(code: ErrorCode, status: int) -> None:
    traffic = Traffic()
    with pytest.raises(HTTPException) as caught, denial.telling(traffic):
        raise RequestError(code, "not so")
    assert (caught.value.status_code, caught.value.detail) == (status, "not so")
    assert traffic.errors == {code: 1}
