"""What a delivered message says of its topic's log, and whether a client's positions still add up.

Must not know sockets or frames. Unless told otherwise, deliveries come as texts of the appliance's own protocol.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.load_digests import Digest

_CACHED = 4096
_TRACKED = 10_000
"""How many offsets of one hole are remembered, to tell a late event from a double."""


@attrs.frozen
class Said:
    """What a message says: `type`, and for events and gaps where they stand in which topic.

    An event stands at `offset`; a gap covers `offset` to `until`, both missing. `start` holds the
    positions that an answer to `subscribe` gives: the next event of a topic follows its position. A `digest` tells of
    several events at once. `reply` is what an honest client answers. What is `foreign` is told to another family's
    clients, and to one that has not shown yet whose it is.
    """

    type: str
    topic: str | None = None
    offset: int = 0
    until: int = 0
    sent_ns: int = 0
    start: tuple[tuple[str, int], ...] = ()
    digest: Digest | None = None
    reply: str = ""
    foreign: bool = False


def own(payload: bytes) -> Said:
    """Read a text of the appliance's own protocol."""
    message = json.loads(payload)
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ValueError("not an object with a type")  # noqa: TRY004 - the text is wrong, not its type
    kind, topic, offset = message["type"], message.get("channel"), message.get("offset")
    if kind == "gap":
        return Said(kind, str(topic), offset=int(message["from"]), until=int(message["to"]))
    if kind == "error":
        return Said(f"error {_code(message)}")
    if kind == "subscribed":
        return Said(kind, start=tuple(_positions(message)))
    if isinstance(topic, str) and isinstance(offset, int):
        return Said(kind, topic, offset=offset, sent_ns=_sent(message.get("data")))
    return Said(kind)


class Reading:
    """Reads messages. A broadcast brings the same bytes to every client, so what they say is kept."""

    def __init__(self, parse: Callable[[bytes], Said] = own) -> None:
        self._parse = parse
        self._known: dict[bytes, Said] = {}

    def read(self, payload: bytes) -> Said:
        """Raise ValueError for a text that is no message."""
        said = self._known.get(payload)
        if said is None:
            if len(self._known) >= _CACHED:
                self._known.clear()
            try:
                said = self._parse(payload)
            except (AttributeError, KeyError, TypeError) as error:
                raise ValueError(f"{type(error).__name__} {error}") from error
            self._known[payload] = said
        return said


def _code(message: dict[str, Any]) -> str:
    error = message.get("error")
    return str(error.get("code")) if isinstance(error, dict) else "without code"


def _sent(data: object) -> int:
    sent = data.get("sent_ns") if isinstance(data, dict) else None
    return sent if isinstance(sent, int) else 0


def _positions(message: dict[str, Any]) -> list[tuple[str, int]]:
    """Give what a client has seen once it reads the answer: a state topic's newest event still follows."""
    return [
        (at["channel"], max(0, at["offset"] - 1) if at["mode"] == "state" else at["offset"])
        for at in message["channels"]
    ]


@attrs.define
class Findings:
    """What was wrong, and what the server owned up to, summed over clients and topics."""

    gaps: int = 0
    """Offsets that never came and that no notice declared."""
    doubles: int = 0
    reorderings: int = 0
    declared: int = 0
    """Offsets that a gap notice declared missing."""
    misfits: int = 0
    """Digests that did not say just what had changed."""
    offbeat: int = 0
    """Digests that came at another time than an interval after the one before."""

    @property
    def clean(self) -> bool:
        return not (self.gaps or self.doubles or self.reorderings or self.misfits or self.offbeat)


class Positions:
    """Where one client stands in each topic: `due` holds the offset that must come next."""

    __slots__ = ("_missing", "due", "first")

    def __init__(self) -> None:
        self.due: dict[str, int] = {}
        self.first: dict[str, int] = {}
        self._missing: dict[str, set[int]] | None = None

    def start(self, topic: str, position: int) -> None:
        self.first.setdefault(topic, position + 1)
        self.due[topic] = position + 1

    def event(self, topic: str, offset: int, findings: Findings) -> None:
        due = self.due.get(topic)
        self.first.setdefault(topic, offset)
        if due is None or due == offset:
            self.due[topic] = offset + 1
        elif offset > due:
            findings.gaps += offset - due
            self._miss(topic).update(range(max(due, offset - _TRACKED), offset))
            self.due[topic] = offset + 1
        elif offset in self._miss(topic):
            self._miss(topic).discard(offset)
            findings.gaps -= 1
            findings.reorderings += 1
        else:
            findings.doubles += 1

    def gap(self, topic: str, first: int, last: int, findings: Findings) -> None:
        """Take a notice. It must begin where the client stands; what it leaves out stays a gap."""
        due = self.due.get(topic, first)
        if first > due:
            findings.gaps += first - due
            self._miss(topic).update(range(max(due, first - _TRACKED), first))
        findings.declared += max(0, last + 1 - max(first, due))
        self.due[topic] = max(due, last + 1)

    def _miss(self, topic: str) -> set[int]:
        if self._missing is None:
            self._missing = {}
        return self._missing.setdefault(topic, set())
