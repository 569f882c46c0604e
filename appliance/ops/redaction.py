"""What may stand in a log line: plain values, bounded, and without secrets.

Must not know how a line is rendered or where it goes.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

SECRETS: Final = frozenset({"token", "key", "secret", "password", "authorization"})
"""Last words of the names of fields that are never shown: `key`, `api_key`, `X-API-Key`."""

REDACTED: Final = "[redacted]"
LONGEST: Final = 16_384
"""Characters of the longest text."""
LARGEST: Final = 65_536
"""Characters and values of a whole line."""
DEEPEST: Final = 32

_NAMED: Final = re.compile(
    r"""(?ix) (?<![a-z0-9])(token|key|secret|password)  # `api_key` too
        (= | \\*["']\s*[:=]\s*)                         # in a query or a repr, or in JSON
        ("(?:[^"\\]|\\+[^\\]){0,512}" | '(?:[^'\\]|\\+[^\\]){0,512}' | \\*["']?[^\s&"'\\\#]+)"""
)
_BARE: Final = re.compile(
    r"(?i)\bsk_[a-z0-9_-]{43,}"
    r"|\b(?-i:eyJ)[a-z0-9_-]+\.[a-z0-9_-]+\.[a-z0-9_-]*"  # a signed token: nothing else begins so
    r"|(?<=bearer[ .])[^\s,'\"]{16,}"
)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return the event with values that JSON has. Secrets go by the names of fields, and inside any text.

    As a processor of structlog it never raises, whatever the values are.
    """
    order = {name: event[name] for name in ("timestamp", "level", "event") if name in event}
    return dict(_Budget().fields({**order, **event}, 0))


class _Budget:
    """What one line may still hold."""

    def __init__(self) -> None:
        self._left = LARGEST

    def fields(self, values: MutableMapping[Any, Any], depth: int) -> Iterator[tuple[str, object]]:
        for key, value in list(values.items()):  # another thread may add some
            if self._left <= 0:
                return
            name = self._text(_shown(key))
            last = re.split(r"[_-]", name.lower())[-1]
            yield name, REDACTED if last in SECRETS else self._plain(value, depth)

    def _plain(self, value: object, depth: int) -> object:
        self._left -= 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        if isinstance(value, int) and value.bit_length() < 64:  # noqa: PLR2004 - what other languages read
            return value
        if isinstance(value, dict):
            return dict(self.fields(value, depth + 1)) if depth < DEEPEST else "…"
        if isinstance(value, list | tuple | set | frozenset):
            return list(self._items(value, depth + 1)) if depth < DEEPEST else "…"
        return self._text(_shown(value))

    def _items(
        self, values: list[Any] | tuple[Any, ...] | set[Any] | frozenset[Any], depth: int
    ) -> Iterator[object]:
        for value in values:
            if self._left <= 0:
                yield "…"
                return
            yield self._plain(value, depth)

    def _text(self, text: str) -> str:
        longest = max(min(LONGEST, self._left), 0)
        if len(text) > longest:
            text = f"{text[:longest]}… of {len(text)} characters"
        self._left -= len(text)
        return _BARE.sub(REDACTED, _NAMED.sub(rf"\1\2{REDACTED}", text))


def _shown(value: object) -> str:
    try:
        # An exception's own text lacks its type, and that of bytes is a warning.
        shown = repr(value) if isinstance(value, BaseException | bytes | bytearray) else str(value)
        return str.__str__(shown)
    except Exception as error:  # noqa: BLE001 - a log entry never harms who made it
        return f"<a {type(value).__name__} whose text raises {type(error).__name__}>"
