"""`POST /api/v1/publish`: events from applications, one or many, all or none.

Must not know what makes an event good: it is the intake that reads them.
"""

from __future__ import annotations

import contextlib
import math
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import msgspec
import trio
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from appliance.access import credentials
from appliance.core.errors import ErrorCode, RequestError, StoreError
from appliance.core.idempotency import KeyReusedError
from appliance.core.rates import Budgets
from appliance.edge.description import operation
from appliance.edge.description.operation import Audience, Given, Operation
from appliance.edge.http import bodies
from appliance.runtime.submission import Flaw, Kind, RefusedError, Submission

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request

    from appliance.access.gate import Gate, Peer
    from appliance.access.principals import Principal
    from appliance.edge.admission import Admission
    from appliance.edge.policy import Policy
    from appliance.runtime.intake import Intake
    from appliance.runtime.status import Traffic
    from appliance.settings.tree import PublishSettings

PATH = "/api/v1/publish"
_HEADER = "Idempotency-Key"
_FIELD = "idempotency_key"
_LATER = {"retry-after": "1"}
_CHALLENGE = {"www-authenticate": 'Bearer realm="appliance"'}


_EXAMPLE = {
    "channel": "predictions",
    "key": "AAPL",
    "data": {"predicted_price": 150.25, "confidence": 0.85},
    "at": "2026-01-31T12:00:00Z",
}


def describe(audience: Audience) -> Operation:
    settings = audience.settings.publish
    many = Annotated[list[bodies.Event], msgspec.Meta(min_length=1, max_length=settings.events)]
    key = {"type": "string", "pattern": bodies.IDEMPOTENCY}
    return Operation(
        name="publish",
        summary="Publish events, all or none",
        about=f"An event, a list of at most {settings.events}, or an object with such a list, in a body of at most"
        f" {settings.body_bytes} bytes. With an idempotency key, the same request can be sent again.",
        tag="publishing",
        key="everybody",
        given=(Given(name=_HEADER, where="header", about="Stands for this request", schema=key),),
        body=(bodies.LoneEvent, many, bodies.Batch),
        examples={"one": _EXAMPLE, "many": [_EXAMPLE, _EXAMPLE], "batch": {"events": [_EXAMPLE]}},
        answers=operation.answered("They are published, now or before", bodies.ReceiptAnswer),
        refusals={
            HTTPStatus.BAD_REQUEST: "no JSON, neither an event nor a list of them, or an odd idempotency key",
            HTTPStatus.FORBIDDEN: "the key may not publish there, or the channel takes nothing from applications",
            HTTPStatus.NOT_FOUND: "there is no such channel",
            HTTPStatus.REQUEST_TIMEOUT: "the body did not come in time (`limits.handshake`)",
            HTTPStatus.CONFLICT: "the idempotency key stands for another request",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the body is too large (`publish.body_bytes`)",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "not `Content-Type: application/json`, or compressed",
            HTTPStatus.UNPROCESSABLE_ENTITY: "events that do not fit; none was published",
            HTTPStatus.TOO_MANY_REQUESTS: operation.TOO_MANY,
            HTTPStatus.SERVICE_UNAVAILABLE: "what is to be kept cannot be kept, so that nothing was published",
        },
        refused=bodies.Refusal,
    )


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
        limit: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.flaws = flaws
        self.headers = headers
        self.limit = limit

    @classmethod
    def early(cls, message: str, wait: float, limit: str | None) -> _Refusal:
        """Say that it is too early, and when it will not be."""
        headers = {"retry-after": str(max(1, math.ceil(wait)))}
        status, code = HTTPStatus.TOO_MANY_REQUESTS, ErrorCode.RATE_LIMITED
        return cls(status, message, code, headers=headers, limit=limit)

    @classmethod
    def of(cls, status: HTTPStatus, *flaws: Flaw) -> _Refusal:
        first, *others = flaws
        more = f" (and {len(others)} more, in `errors`)" if others else ""
        limit = next((flaw.limit for flaw in flaws if flaw.limit is not None), None)
        return cls(status, f"{first}{more}", flaws=flaws, limit=limit)


@attrs.frozen(kw_only=True)
class Publishing:
    """The endpoint. The callables give what the settings say at the moment."""

    intake: Intake
    settings: Callable[[], PublishSettings]
    gate: Callable[[], Gate]
    traffic: Traffic
    admission: Admission
    budgets: Budgets = attrs.field(factory=Budgets)

    async def answer(self, request: Request) -> Response:
        try:
            principal = self._authenticate(request)
            self._count(request, ("principal", principal.name))
            self._check_budget(principal)
            body = await self._body(request)
            submission = _submission(_decoded(body), request.headers.getlist(_HEADER))
            self._spend(principal, len(submission.events), len(body))
            receipt = await self.intake.take(submission, principal)
        except ClientDisconnect:
            return _refused(_Refusal(HTTPStatus.BAD_REQUEST, "the request broke off"))  # read by nobody
        except RefusedError as error:
            refusal = _Refusal.of(_status(submission, error.flaws), *error.flaws)
        except KeyReusedError as error:
            refusal = _Refusal.of(HTTPStatus.CONFLICT, Flaw(_HEADER, str(error)))
        except StoreError as error:
            problem = f"nothing was published, for it cannot be kept: {error}"
            refusal = _Refusal(HTTPStatus.SERVICE_UNAVAILABLE, problem, ErrorCode.UNAVAILABLE, headers=_LATER)
        except _Refusal as error:
            refusal = error
        else:
            content = receipt.content(principal.entitlements.scope.counts)
            return _envelope(HTTPStatus.OK, {"success": True, "data": content, "error": None})
        self.traffic.refused(refusal.code, refusal.limit)
        return _refused(refusal)

    def _authenticate(self, request: Request) -> Principal:
        """Whoever publishes shows a key, also where reading needs none. Who guesses keys does it at the same rate."""
        peer: Peer = request.scope["state"]["peer"]
        code, problem = ErrorCode.UNAUTHORIZED, "show an API key as `Authorization: Bearer KEY`"
        try:
            shown = credentials.find(request.headers.raw, request.scope["query_string"].decode("latin-1"))
            if shown is not None:
                return self.gate().admit(shown, peer, time.time())
            if (principal := self.gate().recognise(peer)) is not None:
                return principal
        except RequestError as error:
            code, problem = error.code, error.message
            if error.retry_after is not None:
                raise _Refusal.early(error.message, error.retry_after, error.limit) from None
        self._count(request, ("address", peer.address))
        raise _Refusal(HTTPStatus.UNAUTHORIZED, f"Unauthorized: {problem}", code, headers=_CHALLENGE)

    def _count(self, request: Request, who: tuple[str, str]) -> None:
        refusal = self.admission.ask(_policy(request), who, trio.current_time())
        if refusal is not None:
            problem = f"{refusal.message}; one request may have many events"
            raise _Refusal.early(problem, refusal.retry_after, refusal.limit)

    def _check_budget(self, principal: Principal) -> None:
        """See before the body is read that there is something left of what a principal may publish."""
        who, now = (principal.kind, principal.name), trio.current_time()
        self._check_wait(self.budgets.lacking(who, self._rates, self.settings().burst, now))

    def _spend(self, principal: Principal, events: int, size: int) -> None:
        who, now = (principal.kind, principal.name), trio.current_time()
        burst = self.settings().burst
        self._check_wait(self.budgets.spend(who, self._rates, burst, costs=(events, size), now=now))

    @property
    def _rates(self) -> tuple[float, float]:
        return self.settings().events_per_second, self.settings().bytes_per_second

    def _check_wait(self, wait: float) -> None:
        if wait:
            events, size = self._rates
            problem = (
                f"At most {events:g} events (publish.events_per_second) and {size:.0f} bytes"
                " (publish.bytes_per_second) a second"
            )
            raise _Refusal.early(problem, wait, "publish.events_per_second")

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
            raise _Refusal(HTTPStatus.REQUEST_TIMEOUT, problem, limit="handshake") from None
        return bytes(body)


def _policy(request: Request) -> Policy:
    policy: Policy = request.scope["state"]["policy"]
    return policy


def _too_large(most: int) -> _Refusal:
    return _Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is over {most} bytes (publish.body_bytes)",
        limit="publish.body_bytes",
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
            problem = f"is 1 to {bodies.LONGEST_KEY} visible ASCII characters"
            raise _Refusal.of(HTTPStatus.BAD_REQUEST, Flaw(path, problem))
    keys = {key for _, key in places}
    if len(keys) > 1:
        problem = f"there are {len(keys)} of them, which differ: a request has one"
        raise _Refusal.of(HTTPStatus.BAD_REQUEST, Flaw(_HEADER, problem))
    return str(keys.pop()) if keys else None


def _is_key(key: object) -> bool:
    return (
        isinstance(key, str)
        and 0 < len(key) <= bodies.LONGEST_KEY
        and all("!" <= letter <= "~" for letter in key)
    )


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
