"""A batch as rows of the tables, and the topics as they are once it is kept.

Must not know the database.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias
from zlib import crc32

import attrs

from appliance.core.errors import StoreError
from appliance.store.sweeping import EVERYTHING, Departure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from appliance.core.kept import Batch, Record

TopicRow: TypeAlias = tuple[int, str, str, str, int, int]
EntryRow: TypeAlias = tuple[int, int, int, float, float, int, bytes]

# Unlike msgspec, it keeps numbers of any size, those that are none (NaN), and texts of any characters.
_encode = json.JSONEncoder(separators=(",", ":")).encode


@attrs.define
class Topic:
    """A topic of the store. Of its entries, those up to `gone` are let go of, and all up to `last` are there."""

    id: int
    channel: str
    name: str
    epoch: str
    gone: int
    last: int

    @property
    def row(self) -> TopicRow:
        return self.id, self.channel, self.name, self.epoch, self.gone, self.last

    def everything(self) -> Departure:
        return Departure(self.id, self.gone, EVERYTHING)


@attrs.define
class Draft:
    """What is to be written. `topics` are those that change, by name."""

    next_id: int
    number: int
    topics: dict[str, Topic] = attrs.field(factory=dict)
    entries: list[EntryRow] = attrs.field(factory=list)
    departures: list[Departure] = attrs.field(factory=list)
    notes: list[tuple[str, str, str]] = attrs.field(factory=list)
    taken_away: list[tuple[str, str]] = attrs.field(factory=list)


def drafted(batch: Batch, known: Mapping[str, Topic], *, next_id: int, number: int) -> Draft:
    """Draft a batch; raises StoreError when a note in it is no JSON."""
    draft = Draft(next_id, number)
    _add_records(draft, batch.records, known)
    for name, first in batch.firsts.items():
        topic = _changing(draft, known, name)
        upto = 0 if topic is None else min(first - 1, topic.last)
        if topic is not None and upto > topic.gone:
            draft.departures.append(Departure(topic.id, topic.gone, upto))
            topic.gone = upto
    for channel, changes in batch.states.items():
        _add_notes(draft, channel, changes)
    return draft


def _add_records(draft: Draft, records: Sequence[Record], known: Mapping[str, Topic]) -> None:
    topics, add = draft.topics, draft.entries.append
    for record in records:
        entry = record.entry
        topic = topics.get(record.topic) or _changing(draft, known, record.topic)
        if topic is None or topic.epoch != record.epoch or topic.last + 1 != entry.offset:
            topic = _begin(draft, record, topic)
        topic.last = entry.offset
        body = entry.body
        add((topic.id, entry.offset, entry.number, entry.at, entry.received, crc32(body), body))
    if records:
        # What was put off comes a channel at a time: its numbers may be lower than those that are kept already.
        draft.number = max(draft.number, records[-1].entry.number)


def _changing(draft: Draft, known: Mapping[str, Topic], name: str) -> Topic | None:
    """A topic that is about to change in the draft, and not yet in what is known."""
    if name not in draft.topics and name in known:
        draft.topics[name] = attrs.evolve(known[name])
    return draft.topics.get(name)


def _begin(draft: Draft, record: Record, before: Topic | None) -> Topic:
    """Begin a topic, also anew: with an entry that does not follow those before, these are let go of."""
    if before is not None:
        draft.departures.append(before.everything())
    offset = record.entry.offset
    topic = Topic(draft.next_id, record.channel, record.topic, record.epoch, offset - 1, offset)
    draft.topics[record.topic] = topic
    draft.next_id += 1
    return topic


def _add_notes(draft: Draft, channel: str, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if value is None:
            draft.taken_away.append((channel, name))
        else:
            draft.notes.append((channel, name, _as_json(channel, name, value)))


def _as_json(channel: str, name: str, value: Any) -> str:  # noqa: ANN401 - whatever a producer notes
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(
            f"the note {name!r} of channel {channel} is no JSON ({error}): note texts, numbers, lists and tables"
        ) from None
