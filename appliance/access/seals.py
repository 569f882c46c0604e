"""Seals: texts that a client gets to show them again, and that say nothing to it.

Must not know what they say.
"""

from __future__ import annotations

import base64
import secrets
from functools import cached_property
from typing import TYPE_CHECKING, Final

from appliance.core.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

_MARK: Final = "~"
"""What a sealed text begins with, and no place and no position does."""
_KEY_BYTES: Final = 32


def new_key() -> str:
    return secrets.token_hex(_KEY_BYTES)


def read_key(text: str) -> bytes:
    """Raise ValueError for what is no key."""
    if len(text) != 2 * _KEY_BYTES:
        raise ValueError(f"a key of a seal has {2 * _KEY_BYTES} hexadecimal digits")
    return bytes.fromhex(text)


class Seal:
    """The same text is sealed alike, so that many can share it. Without `use`, no other process knows it again."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(_KEY_BYTES)

    def use(self, key: bytes) -> None:
        """Seal with this key, before anything is sealed."""
        self._key = key

    @cached_property
    def _cipher(self) -> AESSIV:
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 - few have need of it

        return AESSIV(self._key)

    def close(self, text: str) -> str:
        sealed = self._cipher.encrypt(text.encode(), None)
        return _MARK + base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def is_closed(self, text: str) -> bool:
        return text.startswith(_MARK)

    def open(self, text: str) -> str:
        """Give what was sealed, and a text that was not as it is; RequestError for what somebody has made up."""
        if not self.is_closed(text):
            return text
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as above

        sealed = text.removeprefix(_MARK)
        try:
            read = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
            return self._cipher.decrypt(read, None).decode()
        except (ValueError, InvalidTag):
            raise RequestError(
                ErrorCode.INVALID_MESSAGE, "what begins with `~` was not given here, or to another appliance"
            ) from None
