"""Who a client is, what it shows to prove it, and who can tell.

Must not know how a credential travelled here, nor which kinds of credential there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol

import attrs

from appliance.core.entitlements import EVERYTHING, Entitlements
from appliance.core.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST: Final = 4096
"""Characters of the longest credential that is looked at; signed tokens stay well below."""

Way = Literal["header", "query", "message", "subprotocol", "handshake"]
Kind = Literal["key", "token", "certificate", "plugin", "anonymous"]


class CredentialError(RequestError):
    """A credential that lets nobody in, or no longer. The client is told the code and no more; `why` is for the log."""

    def __init__(self, why: str, *, code: ErrorCode = ErrorCode.INVALID_TOKEN) -> None:
        super().__init__(code, _TOLD.get(code, "the credential is not known"))
        self.why = why


_TOLD: Final = {
    ErrorCode.EXPIRED_TOKEN: "the credential has expired",
    ErrorCode.REVOKED_TOKEN: "the credential has been taken back",
}


def acceptable(text: str) -> bool:
    """Whether a client can show this text in every way that a credential travels: no spaces, plain ASCII."""
    return 0 < len(text) <= LONGEST and text.isascii() and text.isprintable() and " " not in text


def _check(_credential: Credential, _field: attrs.Attribute[str], text: str) -> None:
    # The text stays out of the message: it may be a good key with one bad character.
    if not acceptable(text):
        raise RequestError(
            ErrorCode.INVALID_TOKEN,
            f"a credential is 1 to {LONGEST} characters of plain ASCII without spaces",
        )


@attrs.frozen
class Credential:
    """What a client showed. Text that no credential can have is refused here, once for all ways."""

    text: str = attrs.field(repr=False, validator=_check)
    way: Way


@attrs.frozen
class Principal:
    """Who a client is, and what it may do.

    `credential` is the id of what it showed, which is no secret: by it, it is told of in the log. `issued` and
    `expires` are in seconds since 1970, where they are known; once it `expires`, it is let in no more. `proof` is what
    its authenticator knows it by later, when there is nothing shown to look at.
    """

    name: str
    entitlements: Entitlements = EVERYTHING
    kind: Kind = attrs.field(default="key", kw_only=True)
    credential: str | None = attrs.field(default=None, kw_only=True)
    issued: float | None = attrs.field(default=None, kw_only=True)
    expires: float | None = attrs.field(default=None, kw_only=True)
    proof: object = attrs.field(default=None, kw_only=True, repr=False, eq=False)

    @property
    def told(self) -> dict[str, str]:
        """How the log tells of it."""
        shown = {} if self.credential is None else {"credential": self.credential}
        return {"principal": self.name, "kind": self.kind, **shown}

    def may_publish(self, channel: str) -> bool:
        return self.entitlements.may_publish(channel)


class Authenticator(Protocol):
    """Knows one kind of credential."""

    def authenticate(self, credential: Credential, now: float) -> Principal:
        """Raise CredentialError: EXPIRED_TOKEN for a credential that was good once, else INVALID_TOKEN."""

    def review(self, principal: Principal, now: float) -> Principal | None:
        """Give what has become of who was let in here before, or by one that this took the place of; None: somebody
        else has let it in. Raise CredentialError, mostly with REVOKED_TOKEN, for who would be let in no more.
        """


class Chain:
    """Authenticators asked in order. The first that knows the credential decides, also by refusing it as expired."""

    def __init__(self, authenticators: Iterable[Authenticator]) -> None:
        self._authenticators = tuple(authenticators)

    def authenticate(self, credential: Credential, now: float) -> Principal:
        reasons = []
        for authenticator in self._authenticators:
            try:
                return authenticator.authenticate(credential, now)
            except CredentialError as error:
                if error.code is not ErrorCode.INVALID_TOKEN:
                    raise
                reasons.append(error.why)
        raise CredentialError("; ".join(reasons) or "nothing lets anybody in")

    def review(self, principal: Principal, now: float) -> Principal | None:
        found = (authenticator.review(principal, now) for authenticator in self._authenticators)
        return next((reviewed for reviewed in found if reviewed is not None), None)
