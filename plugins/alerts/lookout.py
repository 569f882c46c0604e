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
from .track import Track
from .windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from appliance.api import Event

    from .expressions import Expression, Part
    from .notes import Place, Recalled
    from .rules import AlertsSettings, RuleSettings

_AHEAD = 60.0  # seconds that the clock of a source may be ahead
_SHOWN = 200  # characters of a value in a message


@attrs.frozen
class Alert:
    key: str
    at: float
    data: Mapping[str, Any]


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
        self._waits = rule.hold > 0
        self._needs_before = any("before" in each.names for each in said)
        self._longest: dict[str, float] = {}
        for field, seconds in (window for each in said for window in each.windows):
            self._longest[field] = max(seconds, self._longest.get(field, 0.0))
        self._tracks: OrderedDict[Place, Track] = OrderedDict()
        # When they began to wait by `now`, in the order of time, for all wait equally long.
        self._begun: dict[Place, float] = {}
        # What is to be noted: at once, in time, and as gone.
        self._turned: dict[Place, None] = {}
        self._changed: dict[Place, None] = {}
        self._gone: dict[str, None] = {}
        self._track = Track(("", ""), {})
        self._in_value = False
        self._evaluator = Evaluator(self._meaning, self._window)

    @property
    def due(self) -> float:
        """When a condition will have held for its time, if no event says otherwise; infinite where none will."""
        return next(iter(self._begun.values()), math.inf) + self.rule.hold

    def see(self, event: Event, now: float) -> list[Alert]:
        """Judge an event. One that is older than the newest of its key joins the windows, and is not judged."""
        at = event.at if 0 <= event.at <= now + _AHEAD else now
        place = (event.channel, event.key)
        track = self._known(place)
        standing = track.standing(waits=self._waits)
        alerts = self._alert_if_held(track, at) if at >= track.at else []
        self._extend(track, event, at)
        if at >= track.at:
            track.take(event.data, at)
            alerts += self._judge(track, now)
        self._note(place, turned=bool(alerts) or track.standing(waits=self._waits) != standing)
        return alerts

    def settle(self, now: float) -> list[Alert]:
        """The alerts of what has held for its time by now, as no event said otherwise."""
        alerts: list[Alert] = []
        while self._begun and self.due <= now:
            place = next(iter(self._begun))
            alerts += self._alert_if_held(self._tracks[place], math.inf)
            self._note(place, turned=True)
        return alerts

    def turned(self) -> dict[str, Any]:
        """What is to be noted at once, with the alerts that were given: else there might be others after a restart."""
        turned, self._turned = self._turned, {}
        return self._noted(turned)

    def changed(self, most: int) -> dict[str, Any]:
        """What is to be noted in time, of so many keys at once: the newest event, and windows."""
        changed = list(self._changed)[:most]
        for place in changed:
            del self._changed[place]
        return self._noted(changed)

    def recall(self, recalled: Recalled, *, interrupted: bool) -> None:
        """Go on with what was noted. Windows that were `interrupted` do not know what has held since.

        Of more keys than are remembered now, those that were heard of last count.
        """
        for place, known in sorted(recalled.known.items(), key=lambda item: item[1].at):
            track = self._known(place)
            track.recall(known, waits=self._waits)
            for field, window in track.windows.items():
                for piece, samples in sorted(recalled.windows.get((place, field), {}).items()):
                    window.recall(piece, samples)
                if interrupted:
                    window.interrupt()
                    self._note(place, turned=False)
        begun = [(known.begun, place) for place, known in recalled.known.items() if known.begun is not None]
        if self._waits:
            self._begun = {place: at for at, place in sorted(begun) if place in self._tracks}

    def _noted(self, places: Iterable[Place]) -> dict[str, Any]:
        # What is gone comes first: its names may be in use again.
        note: dict[str, Any] = dict.fromkeys(self._gone)
        self._gone.clear()
        for place in places:
            note |= self._tracks[place].notes(
                self.rule.name,
                begun=self._begun.get(place),
                waits=self._waits,
                compares=self._needs_before,
            )
        return note

    def _note(self, place: Place, *, turned: bool) -> None:
        if turned:
            self._changed.pop(place, None)
            self._turned[place] = None
        elif place not in self._turned:
            self._changed[place] = None

    def _known(self, place: Place) -> Track:
        """What is known of a key. That of which nothing was heard for longest makes room for a new one."""
        if place not in self._tracks:
            if len(self._tracks) == self._settings.keys:
                self._forget(*self._tracks.popitem(last=False))
            windows = {
                field: Window(seconds, self._settings.samples) for field, seconds in self._longest.items()
            }
            self._tracks[place] = Track(place, windows)
        self._tracks.move_to_end(place)
        return self._tracks[place]

    def _forget(self, place: Place, track: Track) -> None:
        for noted in (self._begun, self._turned, self._changed):
            noted.pop(place, None)
        self._gone |= dict.fromkeys(track.names(self.rule.name))
        self._trouble(place[1], f"forgotten, for a rule remembers {self._settings.keys} keys (keys)")

    def _judge(self, track: Track, now: float) -> list[Alert]:
        """What comes of the newest event of a key."""
        if self._needs_before and track.before is None:
            return []
        if track.raised:
            track.raised = not self._holds(self._clear, track)
        elif not self._holds(self._when, track):
            track.since, track.held = None, False
            self._begun.pop(track.place, None)
        elif track.held:
            return self._alert(track, track.at)
        elif track.since is None:
            track.since = track.at
            self._begun[track.place] = now
            return self._alert_if_held(track, track.at)
        return []

    def _extend(self, track: Track, event: Event, at: float) -> None:
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

    def _alert_if_held(self, track: Track, until: float) -> list[Alert]:
        """The alert of a condition that has held for its time by then: it is of the moment when it had."""
        if track.since is None or track.held or track.since + self.rule.hold > until:
            return []
        track.held = True
        self._begun.pop(track.place, None)
        return self._alert(track, track.since + self.rule.hold)

    def _alert(self, track: Track, at: float) -> list[Alert]:
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

    def _written(self, part: Part, track: Track) -> str:
        if part.value is None:
            return ""
        value = self._value(part.value, track)
        if not isinstance(value, str | int | float):
            return "?"
        try:
            return format(value, part.form)[:_SHOWN]
        except (ValueError, OverflowError):
            return str(value)[:_SHOWN]

    def _holds(self, expression: Expression | None, track: Track) -> bool:
        return expression is not None and bool(self._value(expression, track))

    def _value(self, expression: Expression, track: Track) -> object:
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
