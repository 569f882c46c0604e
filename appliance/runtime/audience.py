"""An audience: all sessions that read one topic in the same words, for whom each entry is rendered once.

Must not know how an entry is told, nor what an outlet does with a frame.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from appliance.core import passages

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from appliance.core.events import Entry
    from appliance.core.history import Topic
    from appliance.core.passages import Passage, Shelf


class Outlet(Protocol):
    """Where a session's events go: its outbox, or a throttle in front of it."""

    def offer(self, topic: Topic, offset: int, frame: bytes) -> None: ...


class Form(Protocol):
    """The words that a session is told in; sessions with equal forms share each rendered frame."""

    def __hash__(self) -> int: ...

    def update(self, topic: Topic, label: str) -> Callable[[Entry], bytes]: ...

    def gap(self, topic: Topic, label: str) -> Callable[[int, int], bytes]: ...


class Audience:
    """All sessions that read one topic in the same words: each entry is rendered once for them.

    `shelf` holds what was rendered for those who catch up.
    """

    __slots__ = (
        "_conflated",
        "_form",
        "_frame",
        "_gap",
        "_label",
        "_newest",
        "_rendered",
        "_shelf",
        "outlets",
        "topic",
    )

    def __init__(self, topic: Topic, form: Form, label: str, *, conflated: bool, shelf: Shelf) -> None:
        self.topic = topic
        self.outlets: dict[Hashable, Outlet] = {}
        self._form = form
        self._label = label
        self._conflated = conflated
        self._shelf = shelf
        self._rendered = b""
        self.renew()

    def renew(self) -> None:
        """Find the words anew: the topic is another channel's now."""
        self._frame = self._form.update(self.topic, self._label)
        self._gap = None if self._conflated else self._form.gap(self.topic, self._label)
        self._newest: Entry | None = None

    def frame(self, entry: Entry) -> bytes:
        if entry is not self._newest:
            self._rendered = self._frame(entry)
            self._newest = entry
        return self._rendered

    def passage(self, first: int) -> Passage:
        """Give the entries from an offset on, as far as they are told in one piece."""
        words, topic = self._frame, self.topic
        name = words, first, passages.end(topic, first)
        return self._shelf.take(name, partial(passages.read, topic, first, words))

    def gap(self, first: int, last: int) -> bytes:
        """Give a notice of what was left out; who asked for a limit knows that things are."""
        return b"" if self._gap is None else self._gap(first, last)
