"""A token made here: what it says, and the key that signs it.

Must not know options of the command line, nor where the token goes.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from appliance.access import claims, jose, signatures
from appliance.access.principals import LONGEST, CredentialError
from appliance.access.signatures import SharedSecret
from appliance.settings.access import ClaimSettings
from appliance.settings.secrets import read_secret

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    from appliance.access.principals import Principal
    from appliance.access.signatures import PrivateKey
    from appliance.access.views import KeptView
    from appliance.settings.access import TokenSettings


@attrs.frozen(kw_only=True)
class Order:
    """What a token is to say; what is not said, its issuer's entry says."""

    subject: str
    expires: dt.datetime
    read: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    sessions: int | None = None
    subscriptions: int | None = None
    addresses: tuple[str, ...] = ()
    monitor: bool | None = None
    views: tuple[KeptView, ...] = ()
    issuer: str | None = None
    audience: tuple[str, ...] = ()
    not_before: dt.datetime | None = None


def signing_key(
    secret_file: Path | None, key_file: Path | None, settings: TokenSettings | None
) -> SharedSecret | PrivateKey:
    """Give the key that signs: a file's, or the shared secret of an issuer's entry; ValueError where there is none."""
    if secret_file is not None:
        return SharedSecret(read_secret(secret_file).secret.encode())
    if key_file is not None:
        return signatures.private_key(key_file)
    if settings is not None and settings.secret is not None:
        return SharedSecret(settings.secret.encode())
    raise ValueError(
        "there is no key to sign with: name --secret-file or --key-file, or an issuer with a secret"
    )


def choose(key: SharedSecret | PrivateKey, algorithm: str | None, settings: TokenSettings | None) -> str:
    """Give the algorithm that is named, or else one of the issuer's that fits the key."""
    if algorithm is not None:
        return algorithm
    known = key if isinstance(key, SharedSecret) else key.public_key()
    offered = () if settings is None else settings.algorithms
    return next((each for each in offered if signatures.fits(known, each)), signatures.usual(key))


def mint(
    order: Order,
    key: SharedSecret | PrivateKey,
    *,
    algorithm: str,
    key_id: str | None,
    settings: TokenSettings | None,
    now: float,
) -> tuple[str, Principal | None]:
    """Make a token, and say who its owner is for the issuer; ValueError where that would not take it."""
    token = signatures.sign(_claims(order, settings, int(now)), algorithm, key, key_id)
    if len(token) > LONGEST:
        raise ValueError(
            f"the token would have {len(token)} characters, and {LONGEST} is the most: grant by patterns"
        )
    if settings is None:
        return token, None
    if algorithm not in settings.algorithms:
        raise ValueError(f"the appliance would refuse it: {settings.name!r} does not use {algorithm}")
    try:
        found = jose.take_apart(token).claims
        claims.check(found, settings, now if order.not_before is None else order.not_before.timestamp())
        return token, claims.principal(found, settings)
    except CredentialError as error:
        raise ValueError(f"the appliance would refuse it: {error.why}") from None


def _claims(order: Order, settings: TokenSettings | None, now: int) -> dict[str, Any]:
    names = ClaimSettings() if settings is None else settings.claims
    issuer, audience = order.issuer, order.audience
    if settings is not None:
        issuer, audience = issuer or settings.issuer, audience or settings.audience[:1]
    said = {
        "iss": issuer,
        "aud": audience[0] if len(audience) == 1 else list(audience),
        "iat": now,
        "nbf": None if order.not_before is None else int(order.not_before.timestamp()),
        "exp": int(order.expires.timestamp()),
        "jti": secrets.token_urlsafe(12),
        names.principal: order.subject,
        names.read: list(order.read),
        names.publish: list(order.publish),
        names.sessions: order.sessions,
        names.subscriptions: order.subscriptions,
        names.addresses: list(order.addresses),
        names.monitor: order.monitor,
        names.views: msgspec.to_builtins(order.views),
    }
    return {name: value for name, value in said.items() if value is not None and value not in ([], ())}
