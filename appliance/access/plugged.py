"""The authenticator of what plugins know. Must not know which plugins there are, nor how they know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.access.principals import Principal
from appliance.core.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.access.principals import Credential
    from appliance.api import Grant


class Plugged:
    """`ask` gives what a plugin grants to who shows a credential; None when no plugin knows it."""

    def __init__(self, ask: Callable[[str], Grant | None]) -> None:
        self._ask = ask

    def authenticate(self, credential: Credential, now: float) -> Principal:  # noqa: ARG002 - of all authenticators
        grant = self._ask(credential.text)
        if grant is None:
            raise RequestError(ErrorCode.INVALID_TOKEN, "the credential is not known")
        return Principal(grant.name, grant.read, grant.publish)
