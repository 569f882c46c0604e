"""The part of the tree that says who may connect and what each may do: keys, tokens, certificates, anybody.

Must not know how a credential is shown, nor how one is checked.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - the reader resolves these annotations when it runs
import re
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import attrs
from attrs.validators import ge, gt, min_len

from appliance.core import topics
from appliance.core.entitlements import network
from appliance.settings.fields import Seconds, Secret, setting
from appliance.settings.views import ViewSettings, check_topics

if TYPE_CHECKING:
    from collections.abc import Iterable

Algorithm = Literal[
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
]
_PARTS = ("CN", "L", "ST", "O", "OU", "C", "STREET", "DC", "UID")
_OBJECT_ID = re.compile(r"\d+(\.\d+)+")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def check_publish(grants: Iterable[str]) -> None:
    """Raise ValueError for what is no channel and no pattern of channels."""
    for grant in grants:
        if grant != topics.ANY and not topics.is_channel(grant.removesuffix(topics.ANY)):
            raise ValueError(
                f"{grant!r} is no channel: write its name, the beginning of names with `*`, or `*` for all"
            )


def check_networks(networks: Iterable[str]) -> None:
    """Raise ValueError for what is no network and no address."""
    for each in networks:
        network(each)


def _read(_: object, __: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    check_topics(value)


def _publish(_: object, __: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    check_publish(value)


def _addresses(_: object, __: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    check_networks(value)


def _with_offset(_: object, __: attrs.Attribute[dt.datetime], moment: dt.datetime) -> None:
    if moment.utcoffset() is None:
        raise ValueError("needs its offset from UTC, as in 2030-01-31T12:00:00Z or 2030-01-31T12:00:00+01:00")


def _safe_url(_: object, __: attrs.Attribute[str], url: str) -> None:
    parts = urlsplit(url)
    plain = parts.scheme == "http" and parts.hostname in LOOPBACK
    if (parts.scheme != "https" and not plain) or not parts.hostname or parts.username is not None:
        raise ValueError("is not https://HOST/PATH (http:// only on this machine's loopback)")


def _names(_: object, __: attrs.Attribute[tuple[str, ...]], names: tuple[str, ...]) -> None:
    for name in names:
        kind, colon, pattern = name.partition(":")
        if kind not in ("dns", "uri", "email", "ip") or not colon or not pattern:
            raise ValueError(f"{name!r} is no name: write dns:NAME, uri:URI, email:ADDRESS or ip:ADDRESS")
        _check_stars(pattern)


def _subject(_: object, __: attrs.Attribute[dict[str, str]], subject: dict[str, str]) -> None:
    for part, pattern in subject.items():
        if part not in _PARTS and not _OBJECT_ID.fullmatch(part):
            raise ValueError(
                f"{part!r} is no part of a subject: {', '.join(_PARTS)}, or a number such as 2.5.4.5"
            )
        _check_stars(pattern)


def _check_stars(pattern: str) -> None:
    if "*" in pattern[1:-1] or pattern.count("*") > 1:
        raise ValueError(f"{pattern!r} has a `*` elsewhere than at its beginning or its end, or several")


@attrs.frozen(kw_only=True)
class ReaderSettings:
    """What anybody can be allowed."""

    read: tuple[str, ...] = setting(
        ("*",), 'Topics and patterns that may be read: `["price:*"]`, or `["*"]` for all', _read, reloads=True
    )
    sessions: int | None = setting(None, "Most open sessions at once; none: no limit", ge(1), reloads=True)
    subscriptions: int | None = setting(
        None, "Most subscriptions of one session, where the listener allows more", ge(1), reloads=True
    )
    addresses: tuple[str, ...] = setting(
        (), 'Networks that may be come from: `["10.0.0.0/8"]`; none: any', _addresses, reloads=True
    )
    monitor: bool | None = setting(
        None,
        "Whether metrics and the statistics of everything are told; none: to who may read everything whole",
        reloads=True,
    )
    views: tuple[ViewSettings, ...] = setting((), "What is shown of what may be read", reloads=True)


@attrs.frozen(kw_only=True)
class GrantSettings(ReaderSettings):
    """What somebody who is known can be allowed."""

    publish: tuple[str, ...] = setting(
        (), 'Channels that may be published into: `["alerts"]`, or `["*"]` for all', _publish, reloads=True
    )


@attrs.frozen(kw_only=True, slots=False)  # classes with slots cannot be joined
class _Named:
    name: str = setting(attrs.NOTHING, "Name, shown in logs", min_len(1))


@attrs.frozen(kw_only=True)
class KeySettings(GrantSettings, _Named):
    """One API key: whose it is, and the key or the file that holds it."""

    key: Secret | None = setting(None, "The key itself", min_len(1), reloads=True)
    key_file: str | None = setting(None, "File that holds the key", reloads=True)
    expires: dt.datetime | None = setting(
        None, "When the key stops working, with the offset from UTC", _with_offset, reloads=True
    )


@attrs.frozen(kw_only=True)
class ClaimSettings:
    """How an issuer calls what the appliance reads in its tokens."""

    principal: str = setting("sub", "Claim with the name of the principal", min_len(1))
    read: str = setting("appliance:read", "Claim with what may be read: a list, or text with spaces")
    publish: str = setting("appliance:publish", "Claim with what may be published into, likewise")
    sessions: str = setting("appliance:sessions", "Claim with the most open sessions")
    subscriptions: str = setting(
        "appliance:subscriptions", "Claim with the most subscriptions of one session"
    )
    addresses: str = setting("appliance:addresses", "Claim with the networks that may be come from, likewise")
    monitor: str = setting(
        "appliance:monitor", "Claim that says whether metrics and the statistics of everything are told"
    )
    views: str = setting(
        "appliance:views", "Claim with what is shown of what may be read: a list of objects as in `views`"
    )
    scope: str | None = setting(
        None,
        "Claim in which `read:PATTERN` and `publish:CHANNEL` stand among other words; none: no such",
        min_len(1),
    )


@attrs.frozen(kw_only=True)
class TokenSettings(GrantSettings, _Named):
    """Who issues tokens (JWT), how they are checked, and the most that any of them may do."""

    algorithms: tuple[Algorithm, ...] = setting(
        attrs.NOTHING, "Algorithms that its tokens may be signed with", min_len(1)
    )
    secret: Secret | None = setting(None, "The shared secret of HS256, HS384 and HS512", min_len(1))
    secret_file: str | None = setting(None, "File that holds the shared secret")
    public_key_file: str | None = setting(
        None, "PEM file with the issuer's public key, or a certificate of it"
    )
    jwks_url: str | None = setting(None, "Where the issuer's public keys are (JWKS)", _safe_url)
    jwks_ca: str | None = setting(
        None, "PEM file of the authorities that may vouch for that server; none: the system's"
    )
    jwks_every: Seconds = setting(300.0, "How often the keys at `jwks_url` are fetched", ge(10))
    jwks_timeout: Seconds = setting(5.0, "How long fetching them may take", gt(0))
    issuer: str | None = setting(
        None, "The `iss` that its tokens must have; needed with `jwks_url`", min_len(1)
    )
    audience: tuple[str, ...] = setting(
        (), "The `aud` of which its tokens must name one; needed with `jwks_url`"
    )
    leeway: Seconds = setting(30.0, "How far its clock may differ from this machine's", ge(0))
    lifetime: Seconds | None = setting(
        None, "Longest time from `iat` to `exp`, both of which tokens must then have; none: no limit", gt(0)
    )
    require: tuple[str, ...] = setting(("exp",), "Claims that its tokens must have")
    claims: ClaimSettings = setting(ClaimSettings, "What its claims are called")


@attrs.frozen(kw_only=True)
class CertificateSettings(GrantSettings, _Named):
    """Who shows a client certificate with this subject or name. It is trusted because `tls.client_ca` is."""

    subject: dict[str, str] = setting(
        dict, 'Parts of its subject, as in `{ CN = "feed-*", O = "Acme" }`; each must be there', _subject
    )
    names: tuple[str, ...] = setting(
        (), 'Other names of which it must have one: `["dns:*.feeds.example", "uri:spiffe://acme/*"]`', _names
    )


@attrs.frozen(kw_only=True)
class AuthSettings:
    timeout: Seconds = setting(
        10.0, "How long a connection may stay without showing a credential", gt(0), reloads=True
    )
    expiry_warning: Seconds = setting(
        60.0,
        "How long before its credential runs out a session is warned; a tenth of the credential's life where that is"
        " shorter",
        ge(0),
        reloads=True,
    )
    keys_file: str | None = setting(
        None, "File of the keys that `appliance keys` makes; none: `keys.json` in the state folder"
    )
    anonymous: ReaderSettings = setting(
        ReaderSettings, "What who shows nothing may do, on listeners that let them in", reloads=True
    )
    keys: tuple[KeySettings, ...] = setting(
        (), "API keys; none, nor other credentials: one is made at the first start", reloads=True
    )
    tokens: tuple[TokenSettings, ...] = setting((), "Issuers of tokens", reloads=True)
    certificates: tuple[CertificateSettings, ...] = setting(
        (), "Client certificates, the first that fits", reloads=True
    )
