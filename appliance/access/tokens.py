"""The authenticator of signed tokens (JWT). Whoever signs them is an issuer of the configuration.

Must not know how keys are fetched: it takes those that are there. What is checked is told in `claims`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from appliance.access import claims, jose, signatures
from appliance.access.key_sets import Address
from appliance.access.principals import CredentialError
from appliance.access.signatures import SharedSecret
from appliance.core.errors import ErrorCode, Mistake, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping

    from appliance.access.jose import Token
    from appliance.access.key_sets import KeySets
    from appliance.access.principals import Credential, Principal
    from appliance.access.signatures import Key
    from appliance.settings.access import TokenSettings


@attrs.frozen
class _Claimed:
    """What a token is known by once it is verified: whose keys that took, and what it says."""

    issuer: str
    trust: Hashable
    claims: Mapping[str, Any] = attrs.field(repr=False)


@attrs.frozen
class _Issuer:
    """`trust` differs where its keys are others, or come from elsewhere."""

    settings: TokenSettings
    find: Callable[[Token], list[Key]]
    trust: Hashable = attrs.field(repr=False)

    def may_have_signed(self, token: Token) -> bool:
        issuer = self.settings.issuer
        return token.algorithm in self.settings.algorithms and issuer in (None, token.claims.get("iss"))

    def recognise(self, token: Token, now: float) -> Principal:
        """Raise CredentialError when the token is none of this issuer's, or not good now."""
        if not any(signatures.verify(token.text, token.algorithm, key) for key in self.find(token)):
            raise CredentialError(f"no key of {self.settings.name!r} has signed the token")
        return self.believe(token.claims, now)

    def believe(self, claimed: Mapping[str, Any], now: float) -> Principal:
        """Give whom verified claims make of who shows them, or raise CredentialError."""
        claims.check(claimed, self.settings, now)
        found = claims.principal(claimed, self.settings)
        # It is let in for as long as clocks may differ, and so stays for as long.
        expires = None if found.expires is None else found.expires + self.settings.leeway
        proof = _Claimed(self.settings.name, self.trust, claimed)
        return attrs.evolve(found, expires=expires, proof=proof)


class Tokens:
    """Asks each issuer that may have signed a token."""

    def __init__(self, settings: Iterable[TokenSettings], key_sets: KeySets) -> None:
        """Raise SettingsError with all mistakes: a key that cannot be read, or does not fit an algorithm."""
        issuers: list[_Issuer] = []
        mistakes: list[Mistake] = []
        for index, entry in enumerate(settings):
            path = f"auth.tokens[{index}]"
            try:
                issuers.append(_issuer(entry, path, key_sets))
            except SettingsError as error:
                mistakes += error.mistakes
        if mistakes:
            raise SettingsError(mistakes)
        self._issuers = tuple(issuers)

    def authenticate(self, credential: Credential, now: float) -> Principal:
        token = jose.take_apart(credential.text)
        reasons = []
        for issuer in self._issuers:
            if not issuer.may_have_signed(token):
                continue
            try:
                return issuer.recognise(token, now)
            except CredentialError as error:
                if error.code is not ErrorCode.INVALID_TOKEN:
                    raise
                reasons.append(error.why)
        raise CredentialError("; ".join(reasons) or "no issuer signs such tokens")

    def review(self, principal: Principal, now: float) -> Principal | None:
        proof = principal.proof
        if not isinstance(proof, _Claimed):
            return None
        for issuer in self._issuers:
            if (issuer.settings.name, issuer.trust) == (proof.issuer, proof.trust):
                try:
                    return issuer.believe(proof.claims, now)
                except CredentialError as error:
                    if error.code is ErrorCode.EXPIRED_TOKEN:
                        raise
                    raise CredentialError(error.why, code=ErrorCode.REVOKED_TOKEN) from None
        why = f"the keys of the issuer {proof.issuer!r} are not those any more"
        raise CredentialError(why, code=ErrorCode.REVOKED_TOKEN)


def addresses(settings: Iterable[TokenSettings]) -> Iterator[Address]:
    """Say which sets of keys the issuers publish."""
    for entry in settings:
        if entry.jwks_url is not None:
            yield _address(entry, entry.jwks_url)


def _address(entry: TokenSettings, url: str) -> Address:
    return Address(url=url, ca=entry.jwks_ca, every=entry.jwks_every, within=entry.jwks_timeout)


def _issuer(entry: TokenSettings, path: str, key_sets: KeySets) -> _Issuer:
    if entry.jwks_url is not None:
        shared = [each for each in entry.algorithms if signatures.is_shared(each)]
        if shared:
            problem = f"{shared[0]} signs with a shared secret, and no secret is published: leave it out"
            raise SettingsError([Mistake(f"{path}.algorithms", problem)])
        address = _address(entry, entry.jwks_url)
        return _Issuer(entry, partial(_published, key_sets, address), ("published at", address.url))
    key: Key
    if entry.secret is not None:
        place, key = f"{path}.secret", SharedSecret(entry.secret.encode())
    else:
        place = f"{path}.public_key_file"
        try:
            key = signatures.public_key(Path(entry.public_key_file or ""))
        except ValueError as error:
            raise SettingsError([Mistake(place, str(error))]) from None
    misfits = [misfit for each in entry.algorithms if (misfit := signatures.misfit(key, each))]
    if misfits:
        raise SettingsError([Mistake(place, misfit) for misfit in misfits])
    return _Issuer(entry, lambda _: [key], signatures.fingerprint(key))


def _published(key_sets: KeySets, address: Address, token: Token) -> list[Key]:
    found = signatures.choose(key_sets.keys(address), token.key_id, token.algorithm)
    if not found:
        key_sets.missed(address)
    return found
