"""The text of an API key: `sk_<id>_<secret>`. The id tells which key it is, in lists and logs; the rest opens.

Must not know whose a key is, nor where it is kept.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

import attrs

PREFIX: Final = "sk_"
"""Makes a leaked key easy to find, for people and for scanners."""

_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Of an id: none that is taken for another when it is read out."""
_ID: Final = 10
_FORM: Final = re.compile(rf"{PREFIX}([{_LETTERS}]{{{_ID}}})_[A-Za-z0-9_-]{{43}}")


@attrs.frozen
class Made:
    """A key as it is made: the one moment at which its text is known."""

    id: str
    text: str = attrs.field(repr=False)


def make() -> Made:
    chosen = "".join(secrets.choice(_LETTERS) for _ in range(_ID))
    return Made(chosen, f"{PREFIX}{chosen}_{secrets.token_urlsafe(32)}")


def make_key() -> str:
    return make().text


def identify(text: str) -> str | None:
    """Give the id that a text has, if it has the form of a key."""
    found = _FORM.fullmatch(text)
    return None if found is None else found[1]


def digest(text: str) -> bytes:
    """What is kept in a key's place. One of 256 random bits needs no slow hash."""
    return hashlib.sha256(text.encode("ascii")).digest()
