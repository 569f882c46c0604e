"""Names of topics and patterns, and the other names that a configuration gives them.

Must not know which topics exist.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from appliance.core.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ANY = "*"
"""Stands at the end of a pattern for any ending."""

_CHANNEL = re.compile(r"[a-z][a-z0-9_]*")
_KEY = re.compile(r"[^\x00- *\x7f-\xa0\ud800-\udfff]+")
"""All but what cannot be seen, and `*`: a set of what can be takes milliseconds to be compiled."""
MOST_CHARACTERS = 200


def join(channel: str, key: str) -> str:
    return f"{channel}:{key}"


def is_channel(name: str) -> bool:
    return _CHANNEL.fullmatch(name) is not None


def is_key(key: str) -> bool:
    return len(key) <= MOST_CHARACTERS and _KEY.fullmatch(key) is not None


def is_pattern(name: str) -> bool:
    return name.endswith(ANY)


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern, or the name of a single topic, covers the topic `name`."""
    return name.startswith(pattern[:-1]) if pattern.endswith(ANY) else name == pattern


def covered(patterns: Iterable[str], name: str) -> bool:
    return any(matches(pattern, name) for pattern in patterns)


def overlap(*patterns: str) -> bool:
    """Whether there can be a topic that all of the patterns cover."""
    longest = max(patterns, key=lambda pattern: (not is_pattern(pattern), len(pattern)))
    stem = longest.removesuffix(ANY)
    return all(matches(pattern, stem) for pattern in patterns if pattern != longest)


def check(name: str) -> str:
    """Return the name of a topic or pattern when it is well formed."""
    channel, colon, key = name.partition(":")
    stem = key.removesuffix(ANY)
    if is_pattern(name) and not colon and (channel == ANY or is_channel(channel.removesuffix(ANY))):
        return name
    if is_channel(channel) and colon and (is_key(stem) or (is_pattern(name) and not stem)):
        return name
    shown = name if len(name) <= MOST_CHARACTERS else name[:MOST_CHARACTERS] + "…"
    raise RequestError(
        ErrorCode.INVALID_CHANNEL,
        f"{shown!r} is no channel: write `channel:key`, or `channel:beginning*` with one `*` at its end",
    )


class Aliases:
    """Other names of keys, a table per channel: `{"price": {"bitcoin": "BTC"}}`."""

    def __init__(self, table: Mapping[str, Mapping[str, str]]) -> None:
        self._canonical = {
            join(channel, alias): join(channel, key)
            for channel, keys in table.items()
            for alias, key in keys.items()
        }

    def canonical(self, name: str) -> str:
        return self._canonical.get(name, name)
