"""API keys: made, kept as digests, and compared in constant time.

Must not know where the keys are written down, nor how a client sends one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final

import attrs

from appliance.access.principals import LONGEST, Principal, acceptable
from appliance.core.errors import ErrorCode, Mistake, RequestError, SettingsError
from appliance.core.topics import ANY, is_channel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.access.principals import Credential
    from appliance.settings.tree import KeySettings

PREFIX: Final = "sk_"
"""Makes a leaked key easy to find, for people and for scanners."""


def make_key() -> str:
    return PREFIX + secrets.token_urlsafe(32)


@attrs.frozen
class _Known:
    digest: bytes = attrs.field(repr=False)
    principal: Principal
    expires: float | None


class Keys:
    """The authenticator of API keys. It holds their SHA-256 digests alone.

    A key of 256 random bits needs no slow hash; what an operator chose is only as good as it is long.
    """

    def __init__(self, settings: Iterable[KeySettings]) -> None:
        """Raise SettingsError with all mistakes: a key that is missing, unshowable or given twice, an odd grant."""
        entries = tuple(settings)
        mistakes = [*_mistakes(entries)]
        if mistakes:
            raise SettingsError(mistakes)
        self._known = tuple(
            _Known(
                _digest(entry.key or ""),
                Principal(entry.name, publish=entry.publish),
                entry.expires.timestamp() if entry.expires is not None else None,
            )
            for entry in entries
        )

    def authenticate(self, credential: Credential, now: float) -> Principal:
        shown = _digest(credential.text)
        found: _Known | None = None
        for known in self._known:  # to the end, so that the time taken does not tell which key matched
            if hmac.compare_digest(known.digest, shown):
                found = known
        if found is None:
            raise RequestError(ErrorCode.INVALID_TOKEN, "the API key is not known")
        if found.expires is not None and now >= found.expires:
            raise RequestError(ErrorCode.EXPIRED_TOKEN, "the API key has expired")
        return found.principal


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("ascii")).digest()


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
        for place, grant in enumerate(entry.publish):
            if grant != ANY and not is_channel(grant.removesuffix(ANY)):
                yield Mistake(
                    f"{path}.publish[{place}]",
                    f"{grant!r} is no channel: write its name, the beginning of names with `*`, or `*` for all",
                )
