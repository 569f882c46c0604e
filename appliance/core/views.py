"""What of a topic's events somebody is shown: which fields, which events at all, and how many a second.

Must not know who that is, nor in which words it is told.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from appliance.core import conditions, digits
from appliance.core.topics import matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from appliance.core.conditions import Condition


def _fields(names: Iterable[str]) -> frozenset[str]:
    return frozenset(names)


@attrs.frozen(kw_only=True)
class Mask:
    """In the topics of a pattern, the fields of the data that are shown: those of `keep`, if it says any, but for those
    of `hide`.
    """

    pattern: str
    keep: frozenset[str] | None = attrs.field(default=None, converter=attrs.converters.optional(_fields))
    hide: frozenset[str] = attrs.field(default=frozenset(), converter=_fields)


@attrs.frozen
class Filter:
    """In the topics of a pattern, the events that are shown: those of which all conditions hold."""

    pattern: str
    conditions: tuple[Condition, ...] = attrs.field(converter=conditions.joined)


@attrs.frozen(kw_only=True)
class Pace:
    """In the topics of a pattern, how many events a second are shown of each at most."""

    pattern: str
    rate: float


@attrs.frozen
class View:
    """Equal ones show the same, so that what is rendered of an event is rendered once for all of them."""

    keep: frozenset[str] | None = None
    hide: frozenset[str] = frozenset()
    conditions: tuple[Condition, ...] = ()
    rate: float | None = None

    @property
    def withholds(self) -> bool:
        """Whether there are events that it does not show, which are not to be counted by the places of the others."""
        return bool(self.conditions) or self.rate is not None

    @property
    def is_whole(self) -> bool:
        """Whether everything is shown as it is."""
        return self.keep is None and not self.hide and not self.withholds

    def show(self, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Give what is shown of an event's data, or none where the event is not shown."""
        if not all(condition.holds(data) for condition in self.conditions):
            return None
        if self.keep is None and not self.hide:
            return data
        return {
            name: value
            for name, value in data.items()
            if name not in self.hide and (self.keep is None or name in self.keep)
        }

    def tell(self, data: Mapping[str, Any], body: bytes) -> bytes | None:
        """Give what is shown of the data that stands in a body, as `read` has read it."""
        found = self.show(data)
        if found is None:
            return None
        return body if found is data else digits.encode(found)

    def shown(self, body: bytes) -> bytes | None:
        """Give what is shown of an event's body, or none where the event is not shown."""
        return body if self.is_whole else self.tell(read(body), body)


_NOTHING: Mapping[str, Any] = MappingProxyType({})
WHOLE = View()


def read(body: bytes) -> Mapping[str, Any]:
    """Read an event's data; of what is no object nothing is shown."""
    try:
        return digits.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return _NOTHING


def view(masks: Iterable[Mask], filters: Iterable[Filter], topic: str, *, paces: Iterable[Pace] = ()) -> View:
    """Put together what all masks, filters and paces that cover a topic leave of it."""
    keep: frozenset[str] | None = None
    hide: frozenset[str] = frozenset()
    for mask in masks:
        if matches(mask.pattern, topic):
            hide |= mask.hide
            if mask.keep is not None:
                keep = mask.keep if keep is None else keep & mask.keep
    if keep is not None:
        keep, hide = keep - hide, frozenset()
    demanded = [c for each in filters if matches(each.pattern, topic) for c in each.conditions]
    rate = min((pace.rate for pace in paces if matches(pace.pattern, topic)), default=None)
    found = View(keep, hide, conditions.joined(demanded), rate)
    return WHOLE if found == WHOLE else found
