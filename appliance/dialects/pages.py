"""The pages of HTTP polling: what a poll may ask for, and the answers, in the document's form of the own protocol.

Must not know sessions, hubs or sockets, nor how long somebody really waits.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from appliance.core import places
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.history import Position
from appliance.dialects import cryptointel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from appliance.core.events import Entry
    from appliance.core.history import Resumption, Topic

_FORM = cryptointel.Form.DOCUMENT
_OFFSET = re.compile(r"[0-9]{1,19}")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_COUNT = re.compile(r"0*[1-9][0-9]{0,8}")
_MOST_SHOWN = 100


@attrs.frozen(kw_only=True)
class Query:
    """What a poll asks for; no `after` is what a new subscriber gets."""

    after: places.Shown | None
    wait: float
    limit: int


def read(parameters: Mapping[str, str], *, epoch: str, longest: float, most: int) -> Query:
    """Read the parameters of a poll, of which an empty one is none; `epoch` is what an offset alone is of.

    What is over its bound is shortened to it. A `RequestError` names what is wrong and says what is right.
    """
    wait = _matching(parameters, "wait", _SECONDS, f"seconds, 0 to {longest:g}")
    limit = _matching(parameters, "limit", _COUNT, f"a number of events, 1 to {most}")
    return Query(
        after=_after(parameters.get("after", ""), epoch),
        wait=min(float(wait or 0), longest),
        limit=min(int(limit or most), most),
    )


def _after(text: str, epoch: str) -> places.Shown | None:
    if not text:
        return None
    if _OFFSET.fullmatch(text):
        return Position(epoch, int(text))
    try:
        return places.read(text)
    except RequestError:
        raise _wrong("after", text, f"{places.RIGHT}, or an offset alone") from None


def _matching(parameters: Mapping[str, str], name: str, right: re.Pattern[str], said: str) -> str | None:
    text = parameters.get(name, "")
    if text and not right.fullmatch(text):
        raise _wrong(name, text, said)
    return text or None


def _wrong(name: str, text: str, said: str) -> RequestError:
    shown = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
    return RequestError(ErrorCode.INVALID_MESSAGE, f"{name}={shown!r} is not right: it is {said}")


def page(
    topic: Topic, label: str, *, after: int, resumption: Resumption | None, entries: Iterable[Entry]
) -> bytes:
    """Answer with what follows behind `after`, and where it ends: the poll goes on from there."""
    update = cryptointel.update(_FORM, topic, label)
    offset, events = after, []
    for entry in entries:
        offset = entry.offset
        events.append(msgspec.Raw(update(entry)))
    content: dict[str, Any] = {
        "channel": label,
        "mode": topic.mode,
        "epoch": topic.epoch,
        "offset": offset,
        "position": places.write(Position(topic.epoch, offset)),
    }
    if resumption is not None:
        content["recovered"] = resumption.recovered
        if resumption.gap is not None:
            content["gap"] = dict(zip(("from", "to"), resumption.gap, strict=True))
    return _success({**content, "events": events})


def latest(topic: Topic, label: str) -> bytes:
    """Answer with a topic's newest event, or null."""
    if topic.latest is None:
        return _success(None)
    return _success(msgspec.Raw(cryptointel.update(_FORM, topic, label)(topic.latest)))


def _success(content: object) -> bytes:
    return msgspec.json.encode({"success": True, "data": content, "error": None})
