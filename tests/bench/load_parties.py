"""Clients of one kind, and the account that is kept of all that they are sent.

Must not know the loop that reads them.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs

from tests.bench.load_client import READ, Client, Stage, Target
from tests.bench.load_digests import Follower, Stream
from tests.bench.load_frames import TEXT, Opcode
from tests.bench.load_offsets import Findings, Positions, Reading, own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tests.bench.load_digests import Digest
    from tests.bench.load_offsets import Said

_PRECISION = 6
"""Latencies are kept to this many bits: within two in a hundred."""


@attrs.frozen(kw_only=True)
class Plan:
    """So many clients of a kind. `targets` are dealt out to them in turn."""

    targets: tuple[Target, ...]
    clients: int
    name: str = ""
    ready: str | None = None
    """Type of the message that makes a client ready; without it, the upgrade does."""
    parse: Callable[[bytes], Said] = own
    streams: Mapping[str, Stream] = attrs.field(factory=dict)


class Member(Client):
    """One client, and where it stands."""

    __slots__ = ("followers", "party", "positions", "ready", "stalled")

    def __init__(self, party: Party, target: Target) -> None:
        super().__init__(target)
        self.party = party
        self.positions = Positions()
        self.followers = {name: Follower(stream) for name, stream in party.plan.streams.items()}
        self.ready = party.plan.ready is None
        self.stalled = False


class Party:
    """All clients of a plan. Those that are lost stay in the account."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.members: list[Member] = []
        self.live: set[Member] = set()
        self.errors: Counter[str] = Counter()
        self.deliveries = 0
        self._reading = Reading(plan.parse)
        self._findings = {False: Findings(), True: Findings()}
        self._bytes = 0
        self._early = 0
        self._kinds: Counter[str] = Counter()
        self._latencies: Counter[int] = Counter()
        self._texts: dict[str, set[bytes]] = {name: set() for name in plan.streams}
        self._beats: dict[str, set[float]] = {name: set() for name in plan.streams}

    def join(self) -> Member:
        targets = self.plan.targets
        member = Member(self, targets[len(self.members) % len(targets)])
        self.members.append(member)
        self.live.add(member)
        return member

    def lose(self, member: Member, kind: str) -> None:
        self.errors[kind] += 1
        self.live.discard(member)

    def is_ready(self, member: Member) -> bool:
        return member.ready and member.stage is Stage.OPEN and member.wants == READ

    def take(self, member: Member, messages: Sequence[tuple[int, bytes]]) -> None:
        """Note what came. Raise ValueError for what is no message."""
        now = time.monotonic_ns()
        due, read = member.positions.due, self._reading.read
        for opcode, payload in messages:
            if opcode != TEXT:
                continue
            said = read(payload)
            topic = said.topic
            if topic is None or said.until:
                self._note(member, said, payload)
                continue
            self.deliveries += 1
            self._bytes += len(payload)
            if due.get(topic) == said.offset:
                due[topic] = said.offset + 1
            else:
                member.positions.event(topic, said.offset, self._findings[member.stalled])
            if not member.ready:
                self._early += 1
            if said.sent_ns:
                taken = (now - said.sent_ns) // 1000
                cut = max(taken.bit_length() - _PRECISION, 0)
                self._latencies[taken >> cut << cut] += 1

    def reset(self) -> None:
        """Forget counts and latencies, not positions, nor what came too early."""
        self.deliveries = self._bytes = 0
        self._latencies.clear()
        self._kinds.clear()
        for name in self.plan.streams:
            self._texts[name].clear()
            self._beats[name].clear()
            for member in self.members:
                member.followers[name].begin_anew()

    def report(self) -> dict[str, Any]:
        steady, stalled = self._findings[False], self._findings[True]
        return {
            "clients": len(self.live),
            "deliveries": self.deliveries,
            "early": self._early,
            "bytes": self._bytes,
            "messages": dict(self._kinds),
            "errors": dict(self.errors),
            "steady": attrs.asdict(steady),
            "stalled": attrs.asdict(stalled),
            "clean": steady.clean and stalled.clean and not self.errors,
            "topics": self._topics(),
            "streams": {name: self._stream(name) for name in self.plan.streams},
            "latency_ms": self._percentiles(),
        }

    def _note(self, member: Member, said: Said, payload: bytes) -> None:
        self._kinds[said.type] += 1
        if said.foreign and member.ready:
            raise ValueError(f"{said.type} is told to other families")
        if said.type.startswith("error"):
            self.errors[said.type] += 1
        if said.topic is not None:
            member.positions.gap(said.topic, said.offset, said.until, self._findings[member.stalled])
        if said.digest is not None:
            self._follow(member, said.digest, payload)
        for topic, position in said.start:
            member.positions.start(topic, position)
        if said.reply:
            member.send(Opcode.TEXT, said.reply.encode())
        member.ready = member.ready or said.type == self.plan.ready

    def _follow(self, member: Member, digest: Digest, payload: bytes) -> None:
        follower = member.followers.get(digest.stream)
        if not member.ready and (follower is None or follower.is_foreign(digest)):
            return  # it came before the client had chosen
        if follower is None:
            raise ValueError(f"{digest.stream} that were not asked for")
        self.deliveries += 1
        self._bytes += len(payload)
        self._texts[digest.stream].add(payload)
        self._beats[digest.stream].add(digest.at)
        follower.take(digest, self._findings[member.stalled])
        member.positions.due[digest.stream] = follower.told + 1

    def _topics(self) -> dict[str, dict[str, Any]]:
        topics: dict[str, dict[str, Any]] = {}
        for member in self.members:
            for topic, first in member.positions.first.items():
                seen = topics.setdefault(topic, {"clients": 0, "first": [first, first]})
                seen["clients"] += 1
                _widen(seen, "first", first)
                last = member.positions.due[topic] - 1
                _widen(seen, "last_stalled" if member.stalled else "last", last)
        return topics

    def _stream(self, name: str) -> dict[str, Any]:
        followers = [member.followers[name] for member in self.members]
        return {
            "clients": sum(follower.beats > 0 for follower in followers),
            "beats": _range(follower.beats for follower in followers),
            "told": _range(follower.told for follower in followers),
            "off": max((follower.off for follower in followers), default=0.0),
            "at": sorted(self._beats[name]),
            "texts": len(self._texts[name]),
        }

    def _percentiles(self) -> dict[str, float]:
        return dict(_quantiles(self._latencies, {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}))


def _quantiles(latencies: Counter[int], wanted: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Give milliseconds of what was counted by microseconds."""
    total, passed = latencies.total(), 0
    left = list(wanted.items())
    for taken, count in sorted(latencies.items()):
        passed += count
        while left and passed >= left[0][1] * total:
            yield left.pop(0)[0], taken / 1000


def _range(values: Iterable[int]) -> list[int]:
    found = list(values)
    return [min(found), max(found)] if found else []


def _widen(seen: dict[str, Any], name: str, value: int) -> None:
    least, most = seen.get(name, (value, value))
    seen[name] = [min(least, value), max(most, value)]
