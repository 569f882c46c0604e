"""What rules know, as it is noted: names and values that outlive the process, and which of them still mean something.

Must not know how rules are followed, nor who keeps the notes.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import msgspec

from .windows import read_piece

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .rules import RuleSettings
    from .windows import Sample

Place: TypeAlias = tuple[str, str]
"""A channel and a key of it."""

WATCHED = "watched"
"""The name of the time until which the appliance has surely watched."""

_VERSION = 1
_Name = list[str | int]


class Before(msgspec.Struct, frozen=True):
    """An event, as far as the next one is compared with it."""

    at: float
    data: dict[str, Any]


class Known(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    """What a rule knows of one key, but for its windows. `begun` is by the clock of the appliance, not the source's."""

    at: float
    since: float | None = None
    begun: float | None = None
    held: bool = False
    raised: bool = False
    told: float | None = None
    again: int = 0
    data: dict[str, Any] | None = None
    before: Before | None = None


@attrs.define
class Recalled:
    """What one rule knew: of each key, and pieces of windows by key and field."""

    known: dict[Place, Known] = attrs.field(factory=dict)
    windows: defaultdict[tuple[Place, str], dict[int, list[Sample]]] = attrs.field(
        factory=lambda: defaultdict(dict)
    )


@attrs.define
class Memory:
    """What was noted: what rules can go on with, what else is to be noted now, and the rules that begin anew."""

    rules: dict[str, Recalled]
    changes: dict[str, Any]
    forgotten: list[str]
    watched: float | None


def key_name(rule: str, place: Place) -> str:
    return _name("key", rule, *place)


def window_name(rule: str, place: Place, field: str, piece: int) -> str:
    return _name("window", rule, *place, field, piece)


def recall(state: Mapping[str, Any], rules: Iterable[RuleSettings]) -> Memory:
    """Sort out what was noted. Of a rule that asks something else now, or that is gone, nothing is kept."""
    meanings = {rule.name: _meaning(rule) for rule in rules}
    meant = {name: meaning for name, meaning in meanings.items() if state.get(_name("rule", name)) == meaning}
    memory = Memory({name: Recalled() for name in meanings}, {}, [], _time(state.get(WATCHED)))
    lost: set[str] = set()
    names: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in state.items():
        rule = _rule_of(name)
        names[rule].append(name)
        if rule in meant and rule not in lost:
            try:
                _take(memory.rules[rule], msgspec.json.decode(name, type=_Name), value)
            except (ValueError, msgspec.MsgspecError):  # of a later version, or of nobody
                lost.add(rule)
    for name, noted in names.items():
        if name in lost or (name and name not in meant):
            memory.changes |= dict.fromkeys(noted)
            memory.forgotten.append(name)
    memory.changes |= {name: None for name in names[""] if name != WATCHED}
    for rule in lost:
        memory.rules[rule] = Recalled()
    memory.changes |= {
        _name("rule", name): meaning
        for name, meaning in meanings.items()
        if name not in meant or name in lost
    }
    return memory


def _meaning(rule: RuleSettings) -> list[Any]:
    """What may not change, or what is known says nothing any more."""
    return [_VERSION, rule.pattern, rule.when, rule.clear, dict(rule.values)]


def _name(*parts: str | int) -> str:
    return msgspec.json.encode(parts).decode()


def _rule_of(name: str) -> str:
    """The rule of a note; empty for what is no rule's."""
    try:
        match msgspec.json.decode(name):
            case ["rule" | "key" | "window", str(rule), *_]:
                return rule
    except msgspec.MsgspecError:
        pass  # a name that others gave
    return ""


def _take(recalled: Recalled, name: _Name, value: object) -> None:
    match name:
        case ["rule", _]:
            pass
        case ["key", _, str(channel), str(key)]:
            recalled.known[channel, key] = msgspec.convert(value, Known)
        case ["window", _, str(channel), str(key), str(field), int(piece)]:
            recalled.windows[(channel, key), field][piece] = read_piece(msgspec.convert(value, str))
        case _:
            raise ValueError(f"{name} is no name of ours")


def _time(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
