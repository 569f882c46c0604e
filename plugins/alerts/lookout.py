"""A rule at work: judges event after event, and says when there is an alert. Synchronous, and told the time.

Must not know where events come from, nor who is told.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import attrs

from .expressions import Evaluator, MissingError, is_number, part_of, read, read_message
from .rules import OWN
from .windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.api import Event

    from .expressions import Expression, Part
    from .rules import AlertsSettings, RuleSettings

_AHEAD = 60.0  # seconds that the clock of a source may be ahead
_SHOWN = 200  # characters of a value in a message


@attrs.frozen
class Alert:
    key: str
    at: float
    data: Mapping[str, Any]


@attrs.define(eq=False)
class _Track:
    """What a rule knows of one key, by the time of its source.

    `since`: when its condition began to hold; `held`: whether it has held for its time; `told`: when of the last alert,
    and `again`: how many were of the same time; `raised`: whether it waits for what clears it.
    """

    windows: dict[str, Window]
    event: Mapping[str, Any] = attrs.field(factory=dict)
    before: Mapping[str, Any] | None = None
    at: float = -math.inf
    since: float | None = None
    held: bool = False
    raised: bool = False
    told: float = -math.inf
    again: int = 0


class Lookout:
    """A rule on the events that its pattern covers. `now` is the time of the appliance, all other times are sources'.

    `report` is called with what keeps it from judging: the first time, the tenth, the hundredth and so on.
    """

    def __init__(self, rule: RuleSettings, settings: AlertsSettings, report: Callable[..., object]) -> None:
        self.rule = rule
        self._settings = settings
        self._report = report
        self._troubles = 0
        self._when = read(rule.when)
        self._clear = None if rule.clear is None else read(rule.clear)
        self._values = {name: read(text) for name, text in rule.values.items()}
        self._message = read_message(rule.message)
        said = [self._when, *self._values.values(), *([] if self._clear is None else [self._clear])]
        self._fields = sorted({name for each in said for name in each.names} - {*OWN, *self._values})
        said += [part.value for part in self._message if part.value is not None]
        self._needs_before = any("before" in each.names for each in said)
        self._longest: dict[str, float] = {}
        for field, seconds in (window for each in said for window in each.windows):
            self._longest[field] = max(seconds, self._longest.get(field, 0.0))
        self._tracks: OrderedDict[tuple[str, str], _Track] = OrderedDict()
        self._due: dict[tuple[str, str], float] = {}  # in the order of time, for all wait equally long
        self._track = _Track({})
        self._in_value = False
        self._evaluator = Evaluator(self._meaning, self._window)

    @property
    def due(self) -> float:
        """When a condition will have held for its time, if no event says otherwise; infinite where none will."""
        return next(iter(self._due.values()), math.inf)

    def see(self, event: Event, now: float) -> list[Alert]:
        """Judge an event. One that is older than the newest of its key joins the windows, and is not judged."""
        at = event.at if 0 <= event.at <= now + _AHEAD else now
        place = (event.channel, event.key)
        track = self._known(place)
        alerts = self._alert_if_held(track, at) if at >= track.at else []
        self._extend(track, event, at)
        if at < track.at:
            return alerts
        track.at = at
        track.before = track.event or None
        track.event = {**event.data, "key": event.key, "channel": event.channel, "at": at, "data": event.data}
        if self._needs_before and track.before is None:
            return alerts
        if track.raised:
            track.raised = not self._holds(self._clear, track)
        elif not self._holds(self._when, track):
            track.since, track.held = None, False
            self._due.pop(place, None)
        elif track.held:
            alerts += self._alert(track, at)
        elif track.since is None:
            track.since = at
            self._due[place] = now + self.rule.hold
            alerts += self._alert_if_held(track, at)
        return alerts

    def settle(self, now: float) -> list[Alert]:
        """The alerts of what has held for its time by now, as no event said otherwise."""
        alerts: list[Alert] = []
        while self._due and self.due <= now:
            alerts += self._alert_if_held(self._tracks[next(iter(self._due))], math.inf)
        return alerts

    def _known(self, place: tuple[str, str]) -> _Track:
        """What is known of a key. That of which nothing was heard for longest makes room for a new one."""
        if place not in self._tracks:
            if len(self._tracks) == self._settings.keys:
                (_, forgotten), _ = last = self._tracks.popitem(last=False)
                self._due.pop(last[0], None)
                self._trouble(forgotten, f"forgotten, for a rule remembers {self._settings.keys} keys (keys)")
            self._tracks[place] = _Track(
                {field: Window(seconds, self._settings.samples) for field, seconds in self._longest.items()}
            )
        self._tracks.move_to_end(place)
        return self._tracks[place]

    def _extend(self, track: _Track, event: Event, at: float) -> None:
        for field, window in track.windows.items():
            value: Any = event.data
            try:
                for name in field.split("."):
                    value = part_of(value, name)
            except MissingError:
                continue  # told when it is asked for
            if is_number(value) and math.isfinite(value) and not window.add(at, value):
                most = self._settings.samples
                self._trouble(event.key, f"the window of {field} is cut short at {most} values (samples)")

    def _alert_if_held(self, track: _Track, until: float) -> list[Alert]:
        """The alert of a condition that has held for its time by then: it is of the moment when it had."""
        if track.since is None or track.held or track.since + self.rule.hold > until:
            return []
        track.held = True
        self._due.pop((track.event["channel"], track.event["key"]), None)
        return self._alert(track, track.since + self.rule.hold)

    def _alert(self, track: _Track, at: float) -> list[Alert]:
        if at - track.told < self.rule.cooldown:
            return []
        track.again = track.again + 1 if at == track.told else 0
        track.told = at
        if self._clear is not None:
            track.raised, track.since, track.held = True, None, False
        rule, event = self.rule, track.event
        values = {field: event.get(field) for field in self._fields}
        values |= {name: self._value(expression, track) for name, expression in self._values.items()}
        told: dict[str, Any] = {
            "id": f"{rule.name}:{event['channel']}:{event['key']}:{at * 1_000_000:.0f}:{track.again}",
            "type": rule.type or rule.name,
            "symbol": event["key"],
            "severity": rule.severity,
            "message": "".join(part.text + self._written(part, track) for part in self._message),
            "rule": rule.name,
            "timestamp": _timestamp(at),
        }
        for name, value in values.items():
            if isinstance(value, str | int | float):
                told.setdefault(name, value)
        return [Alert(event["key"], at, told)]

    def _written(self, part: Part, track: _Track) -> str:
        if part.value is None:
            return ""
        value = self._value(part.value, track)
        if not isinstance(value, str | int | float):
            return "?"
        try:
            return format(value, part.form)[:_SHOWN]
        except (ValueError, OverflowError):
            return str(value)[:_SHOWN]

    def _holds(self, expression: Expression | None, track: _Track) -> bool:
        return expression is not None and bool(self._value(expression, track))

    def _value(self, expression: Expression, track: _Track) -> object:
        """The value of an expression; none where it has none."""
        self._track = track
        try:
            return self._evaluator.value(expression)
        except MissingError as error:
            self._trouble(track.event["key"], f"there is no {error}")
        except Exception as error:  # noqa: BLE001 - an event may hold anything; the rule goes on with the next one
            self._trouble(track.event["key"], f"{type(error).__name__}: {error}")
        return None

    def _meaning(self, name: str) -> object:
        """What a name in an expression means: a value of the rule, or a field; within a value, always a field."""
        value = self._values.get(name)
        if value is not None and not self._in_value:
            self._in_value = True
            try:
                return self._evaluator.value(value)
            finally:
                self._in_value = False
        return self._track.before if name == "before" else part_of(self._track.event, name)

    def _window(self, what: str, field: str, seconds: float) -> float:
        measured = self._track.windows[field].measure(what, seconds, self._track.at)
        if measured is None:
            raise MissingError(f"`{field}` in {seconds} seconds")
        return measured

    def _trouble(self, key: str, problem: str) -> None:
        self._troubles += 1
        if str(self._troubles).strip("0") == "1":
            self._report(rule=self.rule.name, key=key, problem=problem, times=self._troubles)


def _timestamp(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
