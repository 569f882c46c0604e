"""What one session has subscribed to: topics and patterns, each on its terms.

Must not know which topics exist, nor how they are delivered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from appliance.core.events import Mode
from appliance.core.topics import is_pattern, matches

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from appliance.core.history import Resumption, Topic


@attrs.frozen
class Terms:
    """How a client wants to be told: in which form, under which label (none: the topic's), how often at most."""

    form: Hashable
    label: str | None = None
    limit: float | None = None


@attrs.frozen(kw_only=True)
class Joined:
    """A topic that a client now reads: under which label, from where, and how what it missed is served.

    `offset` is the topic's last one. The stream goes on behind `after`: what is kept beyond it is sent first.
    """

    topic: Topic
    label: str
    offset: int
    after: int
    pattern: str | None = None
    limit: float | None = None
    resumption: Resumption | None = None


class Subscriptions:
    """By name. A topic that is named itself goes by those terms, else by the first pattern that covers it.

    Of a log every event counts: it never goes by terms with a limit.
    """

    def __init__(self) -> None:
        self._terms: dict[str, Terms] = {}

    def __len__(self) -> int:
        return len(self._terms)

    def __contains__(self, name: str) -> bool:
        return name in self._terms

    def __iter__(self) -> Iterator[str]:
        return iter(self._terms)

    def add(self, name: str, terms: Terms) -> None:
        self._terms[name] = terms

    def remove(self, name: str) -> Terms | None:
        return self._terms.pop(name, None)

    def items(self) -> list[tuple[str, Terms]]:
        return list(self._terms.items())

    def patterns(self) -> list[str]:
        return [name for name in self._terms if is_pattern(name)]

    def labelled(self, label: str) -> tuple[str, ...]:
        return tuple(name for name, terms in self._terms.items() if terms.label == label)

    def find(self, topic: Topic) -> tuple[str, Terms] | None:
        """Give the name that a topic is delivered under, and its terms."""
        terms = self._terms.get(topic.name)
        if terms is not None:
            return topic.name, terms
        for name, terms in self._terms.items():
            fits = topic.mode is Mode.STATE or terms.limit is None
            if fits and is_pattern(name) and matches(name, topic.name):
                return name, terms
        return None
