"""Requests of HTTP/1 that can be read in one way only: where others might see another one, there is none.

Must not know who serves them.
"""

from __future__ import annotations

import re
from typing import Final

import h11

from appliance.edge.head import END

_UNCLEAR: Final = re.compile(rb"(?<!\r)\n|\n[ \t]")
"""Ends of lines that not everybody takes for one."""
_LENGTHS: Final = {b"content-length", b"transfer-encoding"}


class Requests(h11.Connection):
    """Of one connection, as h11 reads them, which is lenient in two things."""

    over = False
    """Whether nothing is to be read any more."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA | h11.PAUSED]:
        if self.over:
            return h11.NEED_DATA
        if self.their_state is h11.IDLE and _UNCLEAR.search(self.trailing_data[0].partition(END)[0]):
            raise h11.RemoteProtocolError("the ends of lines are unclear")
        event = super().next_event()
        if isinstance(event, h11.Request) and {name for name, _ in event.headers} >= _LENGTHS:
            raise h11.RemoteProtocolError("the end of the body is unclear")
        return event
