"""What holds for the connections of one listener: authentication, origins and limits, as the settings now say."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

from appliance.access import credentials
from appliance.access.principals import ANONYMOUS
from appliance.core.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.access.principals import Authenticator, Principal
    from appliance.settings.tree import Auth, LimitSettings, ListenLimits, ListenSettings


@attrs.frozen
class Bounds:
    """The limits that a listener can set for itself, settled."""

    connections: int
    sessions: int
    connections_per_minute: int
    messages_per_minute: int
    subscriptions: int
    message_bytes: int


def settle(own: ListenLimits, general: LimitSettings) -> Bounds:
    """Take what a listener says, and what is said for all where it says nothing."""
    names = [field.name for field in attrs.fields(Bounds)]
    values = {name: getattr(own, name) for name in names}
    return Bounds(
        **{name: getattr(general, name) if values[name] is None else values[name] for name in names}
    )


class Policy:
    """Of one listener. `listen` and `limits` give the settings of the moment: a reload changes what they give."""

    def __init__(self, listen: Callable[[], ListenSettings], limits: Callable[[], LimitSettings]) -> None:
        self._listen = listen
        self._limits = limits
        self._settled = (listen(), limits())
        self._bounds = settle(self._settled[0].limits, self._settled[1])

    @property
    def url(self) -> str:
        return self._listen().url

    @property
    def auth(self) -> Auth:
        return self._listen().auth

    @property
    def limits(self) -> LimitSettings:
        return self._limits()

    @property
    def bounds(self) -> Bounds:
        listen, limits = self._listen(), self._limits()
        if listen is not self._settled[0] or limits is not self._settled[1]:
            self._settled = listen, limits
            self._bounds = settle(listen.limits, limits)
        return self._bounds

    def admit(
        self, headers: Iterable[tuple[bytes, bytes]], query: str, authenticator: Authenticator
    ) -> Principal:
        """Give the principal of a request; RequestError, where one that the listener asks for is not shown or wrong."""
        if self.auth == "none":
            return ANONYMOUS
        credential = credentials.find(headers, query)
        if credential is not None:
            return authenticator.authenticate(credential, time.time())
        if self.auth == "optional":
            return ANONYMOUS
        raise RequestError(
            ErrorCode.UNAUTHORIZED, "show an API key: `Authorization: Bearer KEY`, or `?token=KEY`"
        )

    def allows_origin(self, origin: bytes | None, host: bytes | None) -> bytes | None:
        """Give the origin whose pages may read an answer: `*` for all, this one, or none."""
        if "*" in self._listen().origins:
            return b"*"
        return origin if self.admits_origin(origin, host) else None

    def admits_origin(self, origin: bytes | None, host: bytes | None) -> bool:
        """Whether a page of this origin may connect; who sends no origin is no page."""
        allowed = self._listen().origins
        if origin is None or "*" in allowed:
            return True
        shown = origin.decode("latin-1").lower()
        own = (host or b"").decode("latin-1").lower()
        if shown in {each.lower() for each in allowed}:
            return True
        return "self" in allowed and bool(own) and shown.partition("://")[2] == own
