"""The pages of HTTP polling: what a poll may ask for, and the answers, in the document's form of the own protocol.

Must not know sessions, hubs or sockets, nor how long somebody really waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import msgspec

from appliance.core import places
from appliance.dialects import cryptointel, parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.core.history import Resumption, Stretch, Topic
    from appliance.dialects.parameters import Parameter

_FORM = cryptointel.Form.DOCUMENT

AFTER = parameters.place(
    "after",
    "Events behind this: a `position`, an offset of the current epoch, or the id of a server-sent event",
)
TO = parameters.place("to", "Events up to and with this, written in the same ways")
SINCE = parameters.moment("since", "Events that happened at this time or later")
UNTIL = parameters.moment("until", "Events that happened before this time")
TIMES = parameters.choice("times", "Whether each event says when it happened, and when it came")


def wait(longest: float) -> Parameter[float]:
    return parameters.seconds(
        "wait", "Seconds to wait for the next event when there is none yet", most=longest
    )


def limit(most: int) -> Parameter[int]:
    return parameters.count("limit", of="events", most=most, usual=most)


@attrs.frozen(kw_only=True)
class Query:
    """What a poll asks for; nothing at all is what a new subscriber gets."""

    asked: places.Asked
    wait: float
    limit: int
    times: bool


def read(query: Mapping[str, str], *, longest: float, most: int) -> Query:
    """Read the parameters of a poll; a `RequestError` names what is wrong and says what is right."""
    return Query(
        wait=wait(longest).read(query) or 0.0,
        limit=limit(most).read(query) or most,
        asked=places.Asked(
            after=AFTER.read(query), to=TO.read(query), since=SINCE.read(query), until=UNTIL.read(query)
        ),
        times=wants_times(query),
    )


def wants_times(query: Mapping[str, str]) -> bool:
    """Say whether each event is to carry its times."""
    return TIMES.read(query) or False


def page(
    topic: Topic, label: str, found: Stretch, resumption: Resumption | None, *, times: bool = False
) -> bytes:
    """Answer with events, and with the places before and behind them: the poll goes on from there."""
    return _success(msgspec.Raw(cryptointel.page(topic, label, found, resumption, times=times)))


def latest(topic: Topic, label: str, *, times: bool = False) -> bytes:
    """Answer with a topic's newest event, or null."""
    if topic.latest is None:
        return _success(None)
    return _success(msgspec.Raw(cryptointel.update(_FORM, topic, label, times=times)(topic.latest)))


def _success(content: object) -> bytes:
    return msgspec.json.encode({"success": True, "data": content, "error": None})
