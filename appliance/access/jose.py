"""A signed token (JWS, compact) taken apart, strictly. Nothing that it says is believed yet.

Must not know keys, issuers or claims.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any, Final

import attrs

from appliance.access.principals import CredentialError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_NOT_UNDERSTOOD: Final = ("crit", "b64", "zip", "enc", "epk")
"""Header parameters that change what a token means. Those that name or hold keys are just not looked at."""
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
_MOST_KEY_ID: Final = 500


@attrs.frozen
class Token:
    """The whole text, and what it says of itself."""

    text: str = attrs.field(repr=False)
    algorithm: str
    key_id: str | None
    claims: Mapping[str, Any] = attrs.field(repr=False)


def is_token(text: str) -> bool:
    """Whether a credential has the form of a signed token: three parts, the first an object of JSON."""
    return text.startswith("eyJ") and _FORM.fullmatch(text) is not None


def take_apart(text: str) -> Token:
    """Raise CredentialError for what is no token, or one that asks for what is not understood here."""
    if not is_token(text):
        raise CredentialError("no token")
    header, claims = (_object(part) for part in text.split(".")[:2])
    odd = [name for name in _NOT_UNDERSTOOD if name in header]
    if odd:
        raise CredentialError(f"the token's header has {odd[0]}, which is not understood here")
    algorithm, key_id = header.get("alg"), header.get("kid")
    kind, content = header.get("typ", "JWT"), header.get("cty")
    if not isinstance(algorithm, str):
        raise CredentialError("the token's header names no algorithm")
    if key_id is not None and not (isinstance(key_id, str) and 0 < len(key_id) <= _MOST_KEY_ID):
        raise CredentialError("the token's header names its key by what is no text")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise CredentialError("the token is of another type, for something else")
    if content is not None:
        raise CredentialError("the token holds another")
    return Token(text, algorithm, key_id, claims)


def _object(part: str) -> dict[str, Any]:
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        # Two texts that mean one token would be two tokens to who compares texts.
        if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
            raise CredentialError("a part of the token is spelled oddly")
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_number)
    except (binascii.Error, ValueError, RecursionError):
        raise CredentialError("a part of the token is no JSON in base64url, or has a name twice") from None
    if not isinstance(found, dict):
        raise CredentialError("a part of the token is no object")
    return found


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_number(text: str) -> float:
    raise ValueError(text)
