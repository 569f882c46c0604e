"""Cross-origin requests: lets the pages of a listener's origins read what this server answers.

Must not know which answers there are. No cookies are in play: who may ask is a matter of the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from appliance.edge.policy import Policy

_METHODS = b"GET, HEAD, POST, OPTIONS"
_HEADERS = b"authorization, content-type, idempotency-key, last-event-id, x-api-key"
_EXPOSED = b"retry-after"
_REMEMBERED = b"600"


class Cors:
    """Answers what browsers ask beforehand, and marks the answers that pages may read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        policy: Policy = scope["state"]["policy"]
        allowed = policy.allows_origin(origin, headers.get(b"host"))
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            await _answer(send, allowed)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_marks(allowed)]
            await send(message)

        await self._app(scope, receive, send if origin is None else marked)


def _marks(allowed: bytes | None) -> list[tuple[bytes, bytes]]:
    if allowed is None:
        return [(b"vary", b"origin")]
    marks = [(b"access-control-allow-origin", allowed), (b"access-control-expose-headers", _EXPOSED)]
    return marks if allowed == b"*" else [*marks, (b"vary", b"origin")]


async def _answer(send: Send, allowed: bytes | None) -> None:
    headers = _marks(allowed)
    if allowed is not None:
        headers += [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _HEADERS),
            (b"access-control-max-age", _REMEMBERED),
        ]
    await send({"type": "http.response.start", "status": 403 if allowed is None else 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
