"""The gate: who shows what, from where, and whether that lets them in, and later on, whether they may stay.

Must not know how a listener is set up, nor which kinds of credential there are. What it refuses is in the log, with the
reason.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NoReturn

import attrs

from appliance.access.principals import CredentialError, Principal
from appliance.access.refusals import Refusals
from appliance.access.visits import Visits
from appliance.core.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.access.certificates import Certificates, ClientCertificate
    from appliance.access.failures import Failures
    from appliance.access.principals import Authenticator, Credential, Way
    from appliance.access.revocations import Revocation
    from appliance.core.entitlements import Entitlements


@attrs.frozen
class Peer:
    """Where a client is, and the certificate that it has shown to the handshake."""

    address: str
    certificate: ClientCertificate | None = None


def _nothing(_: Principal) -> None:
    return None


class Gate:
    """Whichever way a client comes in, it is known here. `taken_back` gives what has revoked somebody's credential."""

    def __init__(
        self,
        authenticator: Authenticator,
        certificates: Certificates,
        anonymous: Entitlements,
        *,
        taken_back: Callable[[Principal], Revocation | None] = _nothing,
        refusals: Refusals | None = None,
        visits: Visits | None = None,
        failures: Failures | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._certificates = certificates
        self._anonymous = Principal("anonymous", anonymous, kind="anonymous")
        self._taken_back = taken_back
        self._refusals = refusals or Refusals()
        self._visits = visits or Visits()
        self._failures = failures

    def admit(self, credential: Credential, peer: Peer, now: float) -> Principal:
        """Let in who shows this credential, or raise CredentialError; RATE_LIMITED for who has failed too often."""
        try:
            return self._admitted(credential, peer, now)
        except CredentialError as error:
            if self._failures is not None:
                error = self._failures.answer(error, peer.address, credential.text)
            raise error from None

    def _admitted(self, credential: Credential, peer: Peer, now: float) -> Principal:
        try:
            principal = self._authenticator.authenticate(credential, now)
        except CredentialError as error:
            self._refuse(error, peer, credential.way)
        return self._checked(principal, peer, credential.way)

    def recognise(self, peer: Peer) -> Principal | None:
        """Let in whose certificate it is; one that is nobody's is as good as none."""
        principal = None if peer.certificate is None else self._certificates.recognise(peer.certificate)
        if principal is None:
            return None
        if _has_expired(principal, time.time()):  # since the handshake
            self._refuse(_expired(principal), peer, "handshake")
        return self._checked(principal, peer, "handshake")

    def welcome(self, peer: Peer) -> Principal:
        """Let in who shows nothing."""
        if not self._anonymous.entitlements.may_come_from(peer.address):
            raise RequestError(ErrorCode.UNAUTHORIZED, "show a credential")
        return self._anonymous

    def review(self, principal: Principal, peer: Peer, now: float) -> Principal:
        """Give who somebody is by now that was let in before; CredentialError for who would be let in no more."""
        found = self._reviewed(principal, now)
        if found is None or (found.kind, found.name) != (principal.kind, principal.name):
            raise CredentialError(
                f"nothing lets {principal.name!r} in any more", code=ErrorCode.REVOKED_TOKEN
            )
        if _has_expired(found, now):
            raise _expired(found)
        if taken := self._taken_back(found):
            raise CredentialError(f"{taken.told} was taken back", code=ErrorCode.REVOKED_TOKEN)
        if not found.entitlements.may_come_from(peer.address):
            raise CredentialError(
                f"{principal.name!r} may not come from there any more", code=ErrorCode.REVOKED_TOKEN
            )
        return found

    def _reviewed(self, principal: Principal, now: float) -> Principal | None:
        match principal.kind:
            case "anonymous":
                return self._anonymous
            case "certificate":
                return self._certificates.review(principal)
            case _:
                return self._authenticator.review(principal, now)

    def _checked(self, principal: Principal, peer: Peer, way: Way) -> Principal:
        # In the words of one that is not known: who has stolen it need not learn that it is, or was, good.
        if taken := self._taken_back(principal):
            self._refuse(CredentialError(f"{taken.told} was taken back"), peer, way)
        if not principal.entitlements.may_come_from(peer.address):
            self._refuse(CredentialError(f"{principal.name!r} may not come from there"), peer, way)
        self._visits.note(principal, peer.address, way, time.monotonic())
        return principal

    def _refuse(self, error: CredentialError, peer: Peer, way: Way) -> NoReturn:
        self._refusals.note(peer.address, time.monotonic(), way=way, code=error.code, why=error.why)
        raise error


def _has_expired(principal: Principal, now: float) -> bool:
    return principal.expires is not None and principal.expires <= now


def _expired(principal: Principal) -> CredentialError:
    return CredentialError(f"what {principal.name!r} has shown has expired", code=ErrorCode.EXPIRED_TOKEN)
