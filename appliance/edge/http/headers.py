"""What browsers are told with every answer: not to guess, not to keep, not to frame, and to come by TLS.

Must not know which answers there are. One that says something else itself is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Headers:
    """Adds to the headers of all answers. `remembered` gives the seconds for which a browser comes by TLS only."""

    def __init__(self, app: ASGIApp, *, remembered: Callable[[], float]) -> None:
        self._app = app
        self._remembered = remembered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ())]
                said = {name.lower() for name, _ in headers}
                headers += [(name, value) for name, value in ALWAYS if name not in said]
                if scope["scheme"] == "https" and (seconds := round(self._remembered())):
                    headers.append((b"strict-transport-security", b"max-age=%d" % seconds))
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, marked if scope["type"] == "http" else send)
