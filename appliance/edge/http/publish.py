"""`POST /api/v1/publish`: events from applications, one or many, all or none.

Must not know what makes an event good: it is the intake that reads them.
"""

from __future__ import annotations

import contextlib
import math
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import trio
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from appliance.access import credentials
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.idempotency import KeyReusedError
from appliance.runtime.submission import Flaw, Kind, RefusedError, Submission

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request

    from appliance.access.principals import Authenticator, Principal
    from appliance.edge.admission import Admission
    from appliance.edge.policy import Policy
    from appliance.runtime.intake import Intake
    from appliance.runtime.status import Traffic
    from appliance.settings.tree import PublishSettings

PATH = "/api/v1/publish"
_HEADER = "Idempotency-Key"
_FIELD = "idempotency_key"
_MOST_KEY = 255
_CHALLENGE = {"www-authenticate": 'Bearer realm="appliance"'}


class _Refusal(Exception):  # noqa: N818 - an answer
    """A request that gets this answer instead of a receipt; `code` is what it is counted as."""

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        code: ErrorCode = ErrorCode.INVALID_MESSAGE,
        *,
        flaws: Sequence[Flaw] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.flaws = flaws
        self.headers = headers

    @classmethod
    def of(cls, status: HTTPStatus, *flaws: Flaw) -> _Refusal:
        first, *others = flaws
        more = f" (and {len(others)} more, in `errors`)" if others else ""
        return cls(status, f"{first}{more}", flaws=flaws)


@attrs.frozen(kw_only=True)
class Publishing:
    """The endpoint. The callables give what the settings say at the moment."""

    intake: Intake
    settings: Callable[[], PublishSettings]
    authenticator: Callable[[], Authenticator]
    traffic: Traffic
    admission: Admission

    async def answer(self, request: Request) -> Response:
        try:
            principal = self._authenticate(request)
            self._count(request, ("principal", principal.name))
            submission = _submission(_decoded(await self._body(request)), request.headers.getlist(_HEADER))
            receipt = await self.intake.take(submission, principal)
        except ClientDisconnect:
            return _refused(_Refusal(HTTPStatus.BAD_REQUEST, "the request broke off"))  # read by nobody
        except RefusedError as error:
            refusal = _Refusal.of(_status(submission, error.flaws), *error.flaws)
        except KeyReusedError as error:
            refusal = _Refusal.of(HTTPStatus.CONFLICT, Flaw(_HEADER, str(error)))
        except _Refusal as error:
            refusal = error
        else:
            return _envelope(HTTPStatus.OK, {"success": True, "data": receipt.content(), "error": None})
        self.traffic.errors[refusal.code] += 1
        return _refused(refusal)

    def _authenticate(self, request: Request) -> Principal:
        """Whoever publishes shows a key, also where reading needs none. Who guesses keys does it at the same rate."""
        address = request.client.host if request.client is not None else "unix"
        code, problem = ErrorCode.UNAUTHORIZED, "show an API key as `Authorization: Bearer KEY`"
        try:
            shown = credentials.find(request.headers.raw, request.scope["query_string"].decode("latin-1"))
            if shown is not None:
                return self.authenticator().authenticate(shown, time.time())
        except RequestError as error:
            code, problem = error.code, error.message
        self._count(request, ("address", address))
        raise _Refusal(HTTPStatus.UNAUTHORIZED, f"Unauthorized: {problem}", code, headers=_CHALLENGE)

    def _count(self, request: Request, who: tuple[str, str]) -> None:
        refusal = self.admission.ask(_policy(request), who, trio.current_time())
        if refusal is not None:
            raise _Refusal(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{refusal.message}; one request may have many events",
                refusal.code,
                headers={"retry-after": str(max(1, math.ceil(refusal.retry_after)))},
            )

    async def _body(self, request: Request) -> bytes:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" or request.headers.get("content-encoding", "identity") != "identity":
            problem = "send JSON, not compressed, as `Content-Type: application/json`"
            raise _Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, problem)
        most, deadline = self.settings().body_bytes, _policy(request).limits.handshake
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > most:
            raise _too_large(most)
        body = bytearray()
        try:
            with trio.fail_after(deadline):
                async with contextlib.aclosing(request.stream()) as chunks:
                    async for chunk in chunks:
                        body += chunk
                        if len(body) > most:
                            raise _too_large(most)
        except trio.TooSlowError:
            problem = f"the body was not there within {deadline:g} s (limits.handshake)"
            raise _Refusal(HTTPStatus.REQUEST_TIMEOUT, problem) from None
        return bytes(body)


def _policy(request: Request) -> Policy:
    policy: Policy = request.scope["state"]["policy"]
    return policy


def _too_large(most: int) -> _Refusal:
    return _Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is over {most} bytes (publish.body_bytes)"
    )


def _decoded(body: bytes) -> Any:  # noqa: ANN401 - anything that is JSON
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise _Refusal(HTTPStatus.BAD_REQUEST, "the body is nested too deeply") from None
    except ValueError as error:
        raise _Refusal(HTTPStatus.BAD_REQUEST, f"the body is no JSON: {error}") from None


def _submission(content: Any, shown: Sequence[str]) -> Submission:  # noqa: ANN401 - anything that is JSON
    """Read one event, a list of events, or an object with such a list."""
    match content:
        case list():
            return Submission(events=content, within="", key=_key(shown, None))
        case {"events": list(events)} if content.keys() <= {"events", _FIELD}:
            return Submission(events=events, within="events", key=_key(shown, content.get(_FIELD)))
        case dict() if "events" not in content:
            event = {name: value for name, value in content.items() if name != _FIELD}
            return Submission(events=[event], key=_key(shown, content.get(_FIELD)))
        case _:
            raise _Refusal(
                HTTPStatus.BAD_REQUEST,
                'send an event, {"channel": …, "key": …, "data": {…}}, a list of them, or {"events": [ … ]}',
            )


def _key(shown: Sequence[str], written: object) -> str | None:
    """Give the idempotency key of the header or of the body."""
    places: list[tuple[str, object]] = [(_HEADER, key) for key in shown]
    if written is not None:
        places.append((_FIELD, written))
    for path, key in places:
        if not _is_key(key):
            problem = f"is 1 to {_MOST_KEY} visible ASCII characters"
            raise _Refusal.of(HTTPStatus.BAD_REQUEST, Flaw(path, problem))
    keys = {key for _, key in places}
    if len(keys) > 1:
        problem = f"there are {len(keys)} of them, which differ: a request has one"
        raise _Refusal.of(HTTPStatus.BAD_REQUEST, Flaw(_HEADER, problem))
    return str(keys.pop()) if keys else None


def _is_key(key: object) -> bool:
    return isinstance(key, str) and 0 < len(key) <= _MOST_KEY and all("!" <= letter <= "~" for letter in key)


def _status(submission: Submission, flaws: Sequence[Flaw]) -> HTTPStatus:
    kinds = {flaw.kind for flaw in flaws}
    if kinds == {Kind.FORBIDDEN}:
        return HTTPStatus.FORBIDDEN
    if kinds == {Kind.UNKNOWN} and submission.within is None:
        return HTTPStatus.NOT_FOUND
    return HTTPStatus.UNPROCESSABLE_ENTITY


def _refused(refusal: _Refusal) -> Response:
    errors = [{"path": flaw.path, "problem": flaw.problem} for flaw in refusal.flaws]
    content = {"success": False, "data": None, "error": refusal.message, "errors": errors}
    return _envelope(refusal.status, content, refusal.headers)


def _envelope(
    status: HTTPStatus, content: dict[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    text = msgspec.json.encode(content)
    return Response(text, status_code=status, headers=headers, media_type="application/json")
