"""A secret from a file that a `…_file` key names.

Must not know which settings are secret. No message here quotes what a file holds.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import attrs

from appliance.settings.fields import Secret

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST = 65_536


@attrs.frozen
class SecretFile:
    """What a file holds, and what should be said about the file."""

    secret: Secret
    warning: str | None


def read_secret(path: Path) -> SecretFile:
    """The text of a file without the line break at its end; ValueError says why there is none."""
    text, warning = read_text(path)
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise ValueError(f"{path} is empty; write the secret into it")
    return SecretFile(Secret(secret), warning)


def read_text(path: Path) -> tuple[str, str | None]:
    """All of a small file, and a warning when everyone may read it; ValueError says why there is none."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LARGEST + 1)
            mode = path.stat().st_mode
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ValueError(f"{path} is not a text file in UTF-8") from None
    if len(text) > _LARGEST:
        raise ValueError(f"{path} is larger than any secret; name the right file")
    everyone = f"{path} can be read by everyone; take that away with `chmod o-r {path}`"
    return text, everyone if mode & stat.S_IROTH else None
