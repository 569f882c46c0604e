"""The part of the tree that says what of topics somebody is shown: which fields, which events, how many a second.

Must not know who that is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs
from attrs.validators import gt

from appliance.core import conditions, topics
from appliance.core.errors import RequestError
from appliance.settings.fields import setting

if TYPE_CHECKING:
    from collections.abc import Iterable


def check_topics(patterns: Iterable[str]) -> None:
    """Raise ValueError for what is no topic and no pattern of topics."""
    for pattern in patterns:
        try:
            topics.check(pattern)
        except RequestError:
            raise ValueError(
                f"{pattern!r} is no topic: write `channel:key`, `channel:beginning*`, or `*` for all"
            ) from None


def check_fields(names: Iterable[str]) -> None:
    """Raise ValueError for what is no name of a field of an event's data; of fields in objects there is none."""
    for name in names:
        if not name or "." in name or not name.isprintable():
            raise ValueError(
                f"{name!r} is no field of the data: name it as it stands there; what lies in an object goes with it"
            )


def check_only(text: str) -> None:
    """Raise ValueError for what is no condition."""
    conditions.parse(text)


def check_rate(rate: float) -> None:
    if not 0 < rate < math.inf:
        raise ValueError("is more than 0: events a second")


def _topics(_: object, __: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    if not value:
        raise ValueError("names no topic: leave it out for all")
    check_topics(value)


def _fields(_: object, __: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    check_fields(value)


def _only(_: object, __: attrs.Attribute[str], value: str) -> None:
    check_only(value)


@attrs.frozen(kw_only=True)
class ViewSettings:
    """What is shown of the events of some topics. Of all entries that cover a topic, each takes away its part."""

    topics: tuple[str, ...] = setting(("*",), 'Topics and patterns that it is about: `["price:*"]`', _topics)
    fields: tuple[str, ...] | None = setting(
        None, 'Fields of the data that are shown: `["symbol", "price"]`; none: all', _fields
    )
    hide: tuple[str, ...] = setting((), 'Fields of the data that are not shown: `["account"]`', _fields)
    only: str | None = setting(
        None,
        "Condition that the data of an event must fulfil to be shown: `'account = \"A1\"'`; none: all are",
        _only,
    )
    rate: float | None = setting(
        None, "Most events a second of each topic that are shown; none: all are", gt(0)
    )
