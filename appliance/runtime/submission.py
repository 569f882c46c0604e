"""What is sent to be published, and how events are read from it: each mistake with its path and what is right.

Must not know how it travelled here, nor what becomes of the events.
"""

from __future__ import annotations

import datetime as dt
import enum
import math
import re
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import msgspec
import structlog

from appliance.api import Event
from appliance.core import topics
from appliance.core.errors import PublishError
from appliance.core.fitting import misfits
from appliance.settings import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.core.topics import Aliases
    from appliance.loading.configured import Configured

_log = structlog.get_logger()

MOST_FLAWS = 20
"""A submission with more of them is told the first of them."""
AHEAD = 86_400.0
"""Seconds that the clock of a source may be ahead of ours: a time zone, or more, but not milliseconds for seconds."""
_SHOWN = 60
_FIELDS = ("channel", "key", "data", "at")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:]{8}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})")


class Publisher(Protocol):
    """Who a submission comes from."""

    @property
    def name(self) -> str: ...

    def may_publish(self, channel: str) -> bool: ...


@attrs.frozen(kw_only=True)
class Submission:
    """Events to be published, all or none. `within` names the list that they stand in; none: it is one, in no list.

    `key` is the idempotency key, by which it is known when it is sent once more.
    """

    events: Sequence[object]
    within: str | None = None
    key: str | None = None

    def path(self, place: int, *steps: str) -> str:
        """Say where something of an event stands: `events[3].data`."""
        own = () if self.within is None else (f"{self.within}[{place}]",)
        return ".".join((*own, *steps))


class Kind(enum.Enum):
    """What a flaw calls for."""

    CORRECT = enum.auto()
    UNKNOWN = enum.auto()
    """There is no such channel."""
    FORBIDDEN = enum.auto()
    """The channel is not for this publisher, or not for applications at all."""


@attrs.frozen
class Flaw:
    """One thing wrong in a submission: where it stands, and what is right. `limit` is the setting that forbids it."""

    path: str
    problem: str
    kind: Kind = Kind.CORRECT
    limit: str | None = None

    def __str__(self) -> str:
        return ": ".join(part for part in (self.path, self.problem) if part)


class RefusedError(PublishError):
    """A submission of which nothing was published."""

    def __init__(self, flaws: Sequence[Flaw]) -> None:
        super().__init__("; ".join(map(str, flaws)))
        self.flaws = tuple(flaws)


class Reading:
    """The reading of one submission."""

    def __init__(
        self, channels: Mapping[str, Configured], publisher: Publisher, aliases: Aliases, now: float
    ) -> None:
        self._channels = channels
        self._publisher = publisher
        self._aliases = aliases
        self._now = now
        self.flaws: list[Flaw] = []

    def event(self, raw: object, path: Callable[..., str]) -> Event | None:
        """Make an event of what was sent; none, and flaws, when that cannot be. `path` says where its parts stand."""
        if not isinstance(raw, Mapping):
            self._add(path(), f"expected an object with channel, key and data, found {_shown(raw)}")
            return None
        before = len(self.flaws)
        for name in islice((name for name in raw if name not in _FIELDS), MOST_FLAWS):
            self._add(path(_short(str(name))), f"is no field of an event: it has {', '.join(_FIELDS)}")
        configured = self._channel(raw, path("channel"))
        key = self._key(raw, path("key"))
        at = self._at(raw.get("at"), path("at"))
        data = self._data(raw, path("data"), None if configured is None else configured.channel.schema)
        if len(self.flaws) > before or configured is None:
            return None
        channel = configured.channel.name
        _, _, key = self._aliases.canonical(topics.join(channel, key)).partition(":")
        return Event(channel, key, data, at)

    def _add(self, path: str, problem: str, kind: Kind = Kind.CORRECT) -> None:
        self.flaws.append(Flaw(path, problem, kind))

    def _channel(self, raw: Mapping[str, Any], path: str) -> Configured | None:
        name = raw.get("channel")
        if not isinstance(name, str):
            self._add(path, _wrong(raw, "channel", "the name of a channel"))
            return None
        configured = self._channels.get(name)
        if not self._publisher.may_publish(name):
            # The same of a channel that there is not: nobody is to find out in this way which there are.
            needed = f"its entry in auth.keys needs `publish = [{_shown(name)}]`"
            _, close = self._own(name)
            meant = f", or did you mean `{close}`?" if close else ""
            problem = f"{self._publisher.name} may not publish into {_short(name)}: {needed}{meant}"
            self._add(path, problem, Kind.FORBIDDEN)
        elif configured is None:
            own, close = self._own(name)
            remedy = f"did you mean `{close}`?" if close else f"there are {', '.join(own) or 'none'}"
            self._add(path, f"there is no channel {_shown(name)}; {remedy}", Kind.UNKNOWN)
        elif not configured.publishable:
            needed = f"that needs `publish = true` in [channels.{name}]"
            self._add(path, f"applications may not publish into {name}: {needed}", Kind.FORBIDDEN)
        return configured

    def _own(self, name: str) -> tuple[list[str], str | None]:
        """Give the channels that the publisher may publish into, and which of them may be meant."""
        own = sorted(filter(self._publisher.may_publish, self._channels))
        return own, words.nearest(name, own) if topics.is_key(name) else None

    def _key(self, raw: Mapping[str, Any], path: str) -> str:
        key = raw.get("key")
        if isinstance(key, str) and topics.is_key(key) and not topics.is_pattern(key):
            return key
        self._add(path, _wrong(raw, "key", "1 to 200 visible characters without `*`"))
        return ""

    def _at(self, at: object, path: str) -> float:
        if at is None:
            return self._now
        moment = _moment(at)
        if moment is None:
            right = "seconds since 1970, or a time with its offset such as 2030-01-31T12:00:00Z"
            self._add(path, f"expected {right}, found {_shown(at)}")
        elif not 0 <= moment <= self._now + AHEAD:
            self._add(path, f"{_shown(at)} is not between 1970 and tomorrow: numbers are seconds since 1970")
        return self._now if moment is None else moment

    def _data(self, raw: Mapping[str, Any], path: str, schema: type | None) -> Mapping[str, Any]:
        data = raw.get("data")
        if not isinstance(data, Mapping):
            self._add(path, _wrong(raw, "data", "an object"))
            return {}
        try:
            wrong = () if schema is None else misfits(data, schema)
        except Exception as error:  # noqa: BLE001 - the schema is a plugin's and may raise anything
            _log.warning("a schema broke on an event from outside", where=path, error=repr(error))
            self._add(path, f"the schema of the channel cannot take it: {error!r}")
            return data
        for misfit in wrong:
            self._add(f"{path}{misfit.path}", misfit.problem)
        return data


def _wrong(raw: Mapping[str, Any], name: str, right: str) -> str:
    return f"expected {right}, found {_shown(raw[name])}" if name in raw else f"is missing: {right}"


def _shown(value: object) -> str:
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            return _short(msgspec.json.encode(value).decode())


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _moment(at: object) -> float | None:
    """Give seconds since 1970 of a number or of RFC 3339 text."""
    match at:
        case bool():
            return None
        case int() | float():
            return _finite(at)
        case str() if _MOMENT.fullmatch(at):
            try:
                return dt.datetime.fromisoformat(at.upper()).timestamp()
            except (ValueError, OverflowError):
                return None
        case _:
            return None


def _finite(number: float) -> float | None:
    try:
        seconds = float(number)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None
