"""The authenticator of what plugins know. Must not know which plugins there are, nor how they know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from appliance.access.grants import entitlements
from appliance.access.principals import CredentialError, Principal
from appliance.access.views import KeptView  # noqa: TC001 - msgspec resolves annotations when it runs
from appliance.core.errors import ErrorCode
from appliance.settings.access import check_publish
from appliance.settings.views import check_topics

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.access.principals import Credential
    from appliance.api import Grant


class Plugged:
    """`ask` gives what a plugin grants to who shows a credential; None when no plugin knows it."""

    def __init__(self, ask: Callable[[str], Grant | None]) -> None:
        self._ask = ask

    def authenticate(self, credential: Credential, now: float) -> Principal:
        grant = self._ask(credential.text)
        if grant is None:
            raise CredentialError("no plugin knows it")
        try:
            principal = _principal(grant)
        except ValueError as error:
            raise CredentialError(f"a plugin grants {grant.name!r} what is nothing: {error}") from None
        if principal.expires is not None and principal.expires <= now:
            raise CredentialError(
                f"what a plugin grants {grant.name!r} has expired", code=ErrorCode.EXPIRED_TOKEN
            )
        return principal

    def review(self, principal: Principal, now: float) -> Principal | None:  # noqa: ARG002 - of all authenticators
        """Leave them as they are: what they have shown is not kept, and so cannot be shown to a plugin again."""
        return principal if principal.kind == "plugin" else None


class _Granted(msgspec.Struct):
    """A grant, of the types that it must have: a plugin's author may have written anything."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    read: tuple[str, ...]
    publish: tuple[str, ...]
    views: tuple[KeptView, ...]
    sessions: Annotated[int, msgspec.Meta(ge=1)] | None
    subscriptions: Annotated[int, msgspec.Meta(ge=1)] | None
    addresses: tuple[str, ...]
    monitor: bool | None
    expires: float | None


def _principal(grant: Grant) -> Principal:
    """Raise ValueError for what settings could not say either."""
    granted = msgspec.convert(grant, _Granted, from_attributes=True)
    check_topics(granted.read)
    check_publish(granted.publish)
    for view in granted.views:
        view.check()
    return Principal(
        granted.name, entitlements(granted, publish=granted.publish), kind="plugin", expires=granted.expires
    )
