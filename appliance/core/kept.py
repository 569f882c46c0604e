"""What the store is given to keep, and what it gives back after a restart.

Must not know how it is kept.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

    from appliance.core.events import Entry

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def change(state: MutableMapping[str, Any], note: Mapping[str, Any]) -> None:
    """Change what a producer has noted by another note; a None in it takes a name away."""
    for name, value in note.items():
        if value is None:
            state.pop(name, None)
        else:
            state[name] = value


@attrs.frozen
class Record:
    """An entry of a topic, to be kept. The numbers of entries have no holes."""

    channel: str
    topic: str
    epoch: str
    entry: Entry


@attrs.frozen(kw_only=True)
class Batch:
    """What is kept together, or not at all.

    `states` changes what producers have noted, a mapping per channel; a None in it takes the note away.
    `firsts` names topics whose entries before an offset are let go of.
    """

    records: Sequence[Record] = ()
    states: Mapping[str, Mapping[str, Any]] = _NOTHING
    firsts: Mapping[str, int] = _NOTHING


@attrs.frozen
class Kept:
    """A topic as it was kept: its entries are those that were not let go of, oldest first."""

    topic: str
    epoch: str
    last: int
    entries: Sequence[Entry]
