"""Conditions on the data of an event: `account = "A1" and confidence >= 0.8`.

Must not know which events they are put to, nor whose they are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Scalar: TypeAlias = str | int | float | bool | None
Relation = Literal["in", "not in", "<", "<=", ">", ">="]

_BEGINNING: Final = re.compile(r"\s*([A-Za-z_]\w*(?:\.\w+)*)\s*(not\s+in\b|in\b|!=|<=|>=|=|<|>)\s*")
_AND: Final = re.compile(r"\s*(\band\b|$)\s*")
_MISSING: Final = object()
_SHORT: Final = {"in": "=", "not in": "!="}
MOST: Final = 32
"""Conditions of one text, and values of one of them."""


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


_decode: Final = json.JSONDecoder(parse_constant=_no_number).raw_decode


def _told_apart(values: tuple[Scalar, ...]) -> tuple[tuple[bool, Scalar], ...]:
    # Python takes true for 1, and what is shared by equals must not be.
    return tuple((isinstance(value, bool), value) for value in values)


@attrs.frozen
class Condition:
    """`field` may lead into objects: `position.symbol`. Of a field that is not there nothing holds.

    What means the same is equal: `x = 1` is `x in [1]`.
    """

    field: str
    relation: Relation
    values: tuple[Scalar, ...] = attrs.field(eq=_told_apart)

    def __str__(self) -> str:
        relation, values = (
            str(self.relation),
            [json.dumps(value, ensure_ascii=False) for value in self.values],
        )
        if relation in _SHORT and len(values) == 1:
            relation = _SHORT[relation]
        elif relation in _SHORT:
            values = [f"[{', '.join(values)}]"]
        return f"{self.field} {relation} {values[0]}"

    def holds(self, data: Mapping[str, Any]) -> bool:
        found = _look_up(data, self.field)
        if found is _MISSING:
            return False
        if self.relation == "in":
            return any(_same(found, value) for value in self.values)
        if self.relation == "not in":
            return not any(_same(found, value) for value in self.values)
        return _compares(found, self.relation, self.values[0])


def parse(text: str) -> tuple[Condition, ...]:
    """Read conditions that `and` joins, in an order that is always the same; ValueError says what is wrong."""
    return joined(_parsed(text))


def joined(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """Give all conditions once, in an order that is always the same."""
    return tuple(sorted(set(conditions), key=_order))


def _order(condition: Condition) -> tuple[str, str, str]:
    return condition.field, condition.relation, repr(condition.values)


def _parsed(text: str) -> Iterator[Condition]:
    place = count = 0
    while True:
        found = _BEGINNING.match(text, place)
        if found is None:
            raise ValueError(
                f"expected a field and =, !=, <, <=, >, >=, in or not in at {text[place : place + 20]!r}"
            )
        if (count := count + 1) > MOST:
            raise ValueError(f"has more than {MOST} conditions")
        field, relation = found[1], " ".join(found[2].split())
        try:
            value, place = _decode(text, found.end())
        except (ValueError, RecursionError):
            raise ValueError(
                f"expected a value of JSON behind {field} {relation}: a number, true, false, null, a list in [ ],"
                " or text in double quotes"
            ) from None
        yield _condition(field, relation, value)
        end = _AND.match(text, place)
        if end is None:
            raise ValueError(f"expected `and` or the end at {text[place : place + 20]!r}")
        if not end[1]:
            return
        place = end.end()


def _condition(field: str, relation: str, value: Any) -> Condition:  # noqa: ANN401 - any value of JSON
    match relation:
        case "in" | "not in":
            if not isinstance(value, list) or not 0 < len(value) <= MOST:
                raise ValueError(f"{field} {relation} needs a list of 1 to {MOST} values in [ ]")
            values = sorted(set(_told_apart(tuple(map(_scalar, value)))), key=repr)
            return Condition(field, relation, tuple(value for _, value in values))
        case "=":
            return Condition(field, "in", (_scalar(value),))
        case "!=":
            return Condition(field, "not in", (_scalar(value),))
        case "<" | "<=" | ">" | ">=" if _is_ordered(value):
            return Condition(field, relation, (_scalar(value),))
        case _:
            raise ValueError(f"{field} {relation} needs a number or text to compare with")


def _scalar(value: Any) -> Scalar:  # noqa: ANN401 - any value of JSON
    if isinstance(value, list | dict):
        raise ValueError("a condition compares with text, numbers, true, false and null")  # noqa: TRY004 - a mistake of who wrote it
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a number is too large")
        return int(value) if value.is_integer() else value  # one spelling of what is equal
    scalar: Scalar = value
    return scalar


def _is_ordered(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _look_up(data: object, field: str) -> object:
    for step in field.split("."):
        if not isinstance(data, Mapping) or step not in data:
            return _MISSING
        data = data[step]
    # A price that keeps its digits, which a float would not, is compared as one all the same.
    return float(data) if isinstance(data, Decimal) else data


def _same(found: object, value: Scalar) -> bool:
    return isinstance(found, bool) == isinstance(value, bool) and found == value


def _compares(found: Any, relation: str, value: Any) -> bool:  # noqa: ANN401 - any values of JSON
    if not _is_ordered(found) or isinstance(found, str) != isinstance(value, str):
        return False
    match relation:
        case "<":
            return bool(found < value)
        case "<=":
            return bool(found <= value)
        case ">":
            return bool(found > value)
        case _:
            return bool(found >= value)
