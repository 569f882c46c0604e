"""The options of a channel: its plugin's and its source's stand in one table, and are shared out here.

Must not know what any of them is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from appliance.settings import schema
from appliance.settings.tree import ChannelSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from attrs import AttrsInstance


@attrs.frozen
class Shares:
    """What of a channel's options is whose. `both` are keys that each would take for its own.

    `known` are all keys that the table of the channel takes, those that hold for any channel last.
    """

    own: Mapping[str, Any]
    theirs: Mapping[str, Any]
    both: tuple[str, ...]
    unknown: tuple[str, ...]
    known: tuple[str, ...]


def shared_out(
    options: Mapping[str, Any], own: type[AttrsInstance], theirs: type[AttrsInstance] | None
) -> Shares:
    """Share options out between the channel's own settings, and those that its source has for it."""
    ours = dict.fromkeys(keys(own))
    others = {} if theirs is None else dict.fromkeys(keys(theirs))
    rest = schema.rest(own) is not None
    return Shares(
        own={key: value for key, value in options.items() if key in ours or (rest and key not in others)},
        theirs={key: value for key, value in options.items() if key in others},
        both=tuple(key for key in options if key in ours and key in others),
        unknown=() if rest else tuple(key for key in options if key not in ours and key not in others),
        known=tuple({**ours, **others, **dict.fromkeys(keys(ChannelSettings))}),
    )


def keys(cls: type[AttrsInstance]) -> Iterator[str]:
    """All keys that a table of the class takes, with those that name files of secrets."""
    yield from schema.attributes(cls)
    yield from schema.secret_files(cls)
