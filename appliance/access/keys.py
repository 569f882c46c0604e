"""API keys of the configuration: held as digests, and compared in constant time.

Must not know where the keys are written down, nor how a client sends one.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

import attrs

from appliance.access.grants import granted
from appliance.access.principals import LONGEST, CredentialError, Principal, acceptable
from appliance.access.secret_text import digest, identify
from appliance.core.errors import ErrorCode, Mistake, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.access.principals import Credential
    from appliance.settings.access import KeySettings


@attrs.frozen
class _Digest:
    """What a key of the configuration is known by."""

    of: bytes = attrs.field(repr=False)


@attrs.frozen
class _Known:
    digest: bytes = attrs.field(repr=False)
    principal: Principal


class Keys:
    """The authenticator of these keys. It holds their SHA-256 digests alone.

    What an operator chose himself is only as good as it is long.
    """

    def __init__(self, settings: Iterable[KeySettings]) -> None:
        """Raise SettingsError with all mistakes: a key that is missing, unshowable or given twice."""
        entries = tuple(settings)
        mistakes = [*_mistakes(entries)]
        if mistakes:
            raise SettingsError(mistakes)
        self._known = tuple(_known(entry) for entry in entries)

    def authenticate(self, credential: Credential, now: float) -> Principal:
        shown = digest(credential.text)
        found: _Known | None = None
        for known in self._known:  # to the end, so that the time taken does not tell which key matched
            if hmac.compare_digest(known.digest, shown):
                found = known
        if found is None:
            raise CredentialError("no API key of the configuration")
        return _unexpired(found.principal, now)

    def review(self, principal: Principal, now: float) -> Principal | None:
        if not isinstance(principal.proof, _Digest):
            return None
        found = [known.principal for known in self._known if known.principal.proof == principal.proof]
        if not found:
            raise CredentialError(
                f"the API key of {principal.name!r} is gone from the configuration",
                code=ErrorCode.REVOKED_TOKEN,
            )
        return _unexpired(found[0], now)


def _unexpired(principal: Principal, now: float) -> Principal:
    if principal.expires is not None and now >= principal.expires:
        raise CredentialError(f"the API key of {principal.name!r} has expired", code=ErrorCode.EXPIRED_TOKEN)
    return principal


def _known(entry: KeySettings) -> _Known:
    key = entry.key or ""
    principal = Principal(
        entry.name,
        granted(entry),
        credential=identify(key),
        expires=entry.expires.timestamp() if entry.expires is not None else None,
        proof=_Digest(digest(key)),
    )
    return _Known(digest(key), principal)


def _mistakes(entries: tuple[KeySettings, ...]) -> Iterable[Mistake]:
    owners: dict[str, str] = {}
    for index, entry in enumerate(entries):
        path = f"auth.keys[{index}]"
        if entry.key is None:
            yield Mistake(path, f"{entry.name!r} has no key: set `key` or `key_file`")
        elif not acceptable(entry.key):
            yield Mistake(
                f"{path}.key",
                f"no client can show it: 1 to {LONGEST} characters of plain ASCII without spaces",
            )
        elif entry.key in owners:
            yield Mistake(f"{path}.key", f"the same key as that of {owners[entry.key]!r}: each needs its own")
        else:
            owners[entry.key] = entry.name
