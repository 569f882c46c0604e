"""What the claims of a token must be, and who they make of its owner.

Must not know signatures: claims that come here are the issuer's own words. Time comes in as an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from appliance.access.grants import granted
from appliance.access.principals import CredentialError, Principal
from appliance.access.views import claimed, shown
from appliance.core.entitlements import Entitlements, network
from appliance.core.errors import ErrorCode
from appliance.settings.access import check_publish
from appliance.settings.views import check_topics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from appliance.settings.access import ClaimSettings, TokenSettings

_LONGEST: Final = 200
"""Characters of a name or an id."""
_FAR: Final = 1e12
"""No moment is later, in seconds since 1970."""


def check(claims: Mapping[str, Any], settings: TokenSettings, now: float) -> None:
    """Raise CredentialError for claims that are not as the issuer's settings want them; expiry is looked at last."""
    for name in settings.require:
        if claims.get(name) is None:
            raise CredentialError(f"the token has no {name}")
    if settings.issuer is not None and claims.get("iss") != settings.issuer:
        raise CredentialError("the token is from another issuer")
    _check_audience(claims, settings.audience)
    begins, made, ends = (_moment(claims, name) for name in ("nbf", "iat", "exp"))
    if begins is not None and now < begins - settings.leeway:
        raise CredentialError("the token is not valid yet")
    if made is not None and now < made - settings.leeway:
        raise CredentialError("the token was made in the future")
    if settings.lifetime is not None:
        if made is None or ends is None:
            raise CredentialError("the token has no iat or no exp, and so no lifetime")
        if ends - made > settings.lifetime:
            raise CredentialError("the token lives longer than the issuer's tokens may")
    if ends is not None and now >= ends + settings.leeway:
        raise CredentialError("the token has expired", code=ErrorCode.EXPIRED_TOKEN)


def principal(claims: Mapping[str, Any], settings: TokenSettings) -> Principal:
    """Make of claims who the owner is: of that issuer, and allowed no more than that issuer's settings allow."""
    names = settings.claims
    name = claims.get(names.principal)
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST or not name.isprintable():
        raise CredentialError(f"the token's {names.principal} is no name")
    identifier = claims.get("jti")
    if identifier is not None and not (isinstance(identifier, str) and 0 < len(identifier) <= _LONGEST):
        raise CredentialError("the token's jti is no text, or too long")
    return Principal(
        f"{settings.name}/{name}",
        granted(settings).narrowed(_claimed(claims, names)),
        kind="token",
        credential=identifier,
        issued=_moment(claims, "iat"),
        expires=_moment(claims, "exp"),
    )


def _claimed(claims: Mapping[str, Any], names: ClaimSettings) -> Entitlements:
    """What a token says of its owner. What it does not say, the issuer's settings say."""
    scope = None if names.scope is None else [*_words(claims, names.scope)]
    read, publish = (
        _listed(claims, names.read, scope, "read"),
        _listed(claims, names.publish, scope, "publish"),
    )
    networks = _optional_words(claims, names.addresses)
    try:
        check_topics(read)
        check_publish(publish)
        allowed = None if networks is None else [network(each) for each in networks]
        found = shown(claimed(claims[names.views]) if names.views in claims else ())
    except ValueError as error:
        raise CredentialError(f"the token grants what is nothing: {error}") from None
    return Entitlements(
        read=read,
        publish=publish,
        sessions=_count(claims, names.sessions),
        subscriptions=_count(claims, names.subscriptions),
        networks=allowed,
        monitor=_flag(claims, names.monitor),
        masks=found.masks,
        filters=found.filters,
        paces=found.paces,
    )


def _listed(claims: Mapping[str, Any], name: str, scope: list[str] | None, prefix: str) -> list[str]:
    """Give what a claim of its own lists, and what the scope does; where neither is there, all."""
    own = _optional_words(claims, name)
    if own is None and scope is None:
        return ["*"]
    begin = f"{prefix}:"
    return [*(own or ()), *(word.removeprefix(begin) for word in scope or () if word.startswith(begin))]


def _optional_words(claims: Mapping[str, Any], name: str) -> list[str] | None:
    return [*_words(claims, name)] if name in claims else None


def _words(claims: Mapping[str, Any], name: str) -> Iterable[str]:
    match claims.get(name, ""):
        case str(text):
            return text.split()
        case list(items) if all(isinstance(item, str) for item in items):
            return items
        case _:
            raise CredentialError(f"the token's {name} is neither a list of texts nor a text")


def _flag(claims: Mapping[str, Any], name: str) -> bool | None:
    flag = claims.get(name)
    if name in claims and not isinstance(flag, bool):
        raise CredentialError(f"the token's {name} is neither true nor false")
    return flag


def _count(claims: Mapping[str, Any], name: str) -> int | None:
    count = claims.get(name)
    if name not in claims:
        return None
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise CredentialError(f"the token's {name} is no count")
    return count


def _check_audience(claims: Mapping[str, Any], wanted: tuple[str, ...]) -> None:
    shown = claims.get("aud")
    if shown is None and not wanted:
        return
    named = [shown] if isinstance(shown, str) else shown
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        raise CredentialError("the token has no aud" if shown is None else "the token's aud is no text")
    if not set(named) & set(wanted):
        raise CredentialError("the token is for another audience")


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    moment = claims.get(name)
    if name not in claims:
        return None
    if isinstance(moment, bool) or not isinstance(moment, int | float) or not 0 <= moment < _FAR:
        raise CredentialError(f"the token's {name} is no time")
    return float(moment)
