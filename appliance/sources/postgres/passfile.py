"""A file of passwords, `.pgpass`: `host:port:database:user:password` a line, as libpq reads it.

Must not know where the file lies, nor who may read it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from appliance.settings.fields import Secret

if TYPE_CHECKING:
    from collections.abc import Collection

_FIELDS = 5


def find(text: str, *, hosts: Collection[str], port: int, database: str, user: str) -> Secret | None:
    """The password of the first line that fits. A Unix socket has two names: its folder, and `localhost`."""
    wanted = (hosts, {str(port)}, {database}, {user})
    for line in text.split("\n"):
        fields = [] if line.startswith("#") else _split(line.removesuffix("\r"))
        if len(fields) < _FIELDS:
            continue
        *places, password = fields[:_FIELDS]
        fits = (place == "*" or _plain(place) in names for place, names in zip(places, wanted, strict=True))
        if all(fits):
            return Secret(_plain(password)) or None
    return None


def _split(line: str) -> list[str]:
    """The fields, still with their backslashes."""
    fields, field, escaped = [], "", False
    for character in line:
        if character == ":" and not escaped:
            fields.append(field)
            field = ""
            continue
        field += character
        escaped = character == "\\" and not escaped
    return [*fields, field]


def _plain(field: str) -> str:
    return re.sub(r"\\(.)", r"\1", field)
