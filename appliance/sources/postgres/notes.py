"""What a follower notes in its channel's state, by name, and of what table it was noted.

Must not know how rows are followed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from appliance.sources.postgres.statements import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.sources.postgres.columns import Selection
    from appliance.sources.postgres.settings import TableSettings

OF = "of"
WHERE = "where"
PAST = "past"


def place(noted: Place) -> list[str | None]:
    return [noted.leading, noted.identity]


def read_place(note: list[str | None]) -> Place:
    return Place(*note)


def fingerprint(settings: TableSettings, selection: Selection) -> str:
    """Tells whether a place that was noted is one among these rows."""
    names = [column.name for column in selection.identity]
    by = settings.xid if settings.follow == "xid" else settings.time
    return json.dumps([settings.follow, settings.table, settings.query, by, *names])


def anew(state: Mapping[str, Any], note: Mapping[str, Any]) -> dict[str, Any]:
    """A note that leaves nothing of what was noted before."""
    return {**dict.fromkeys(state), **note}
