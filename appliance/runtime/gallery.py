"""The gallery: all topics as views show them, made when somebody first reads one so, and let go when nobody does.

Must not know who may see what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.core.errors import ErrorCode, RequestError
from appliance.runtime.derived import Derived

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.core.history import Topic
    from appliance.core.views import View
    from appliance.runtime.derived import Later
    from appliance.runtime.lines import Line


class Gallery:
    """`most` is how many views of one topic there are. `serials` gives the next serial and the newest number."""

    def __init__(self, *, most: int, later: Later, serials: Callable[[], tuple[int, int]]) -> None:
        self._most = most
        self._later = later
        self._serials = serials
        self._derived: dict[Topic, Derived] = {}
        self.refused = 0
        """How often there was no room for one more."""

    def __len__(self) -> int:
        return len(self._derived)

    def find(self, topic: Topic) -> Derived | None:
        return self._derived.get(topic)

    def show(self, line: Line, view: View, serial: int) -> Topic:
        """Give a topic as a view shows it; RequestError where as many others as there may be are read."""
        if view not in line.views:
            self._make_room(line)
            made = Derived(line, view, later=self._later, serials=self._serials, serial=serial)
            line.views[view] = self._derived[made.topic] = made
        topic = line.views[view].topic
        self._derived[topic].used()
        return topic

    def expire(self, line: Line, now: float) -> None:
        """Let go of what has passed its age, and of views that nobody has read for a while."""
        for view, showing in list(line.views.items()):
            showing.topic.expire(now)
            if self._derived[showing.topic].is_forsaken(now):
                self._let_go(line, view)

    def clear(self, line: Line) -> None:
        """Let go of all views of a topic that is no more."""
        for view in list(line.views):
            self._let_go(line, view)

    def _make_room(self, line: Line) -> None:
        """Have room for one more view of a topic, in place of one that nobody reads where there is none."""
        if len(line.views) < self._most:
            return
        unread = next((view for view, showing in line.views.items() if not showing.is_read), None)
        if unread is None:
            self.refused += 1
            raise RequestError(
                ErrorCode.UNAVAILABLE,
                f"{line.topic.name!r} is read in its most ways, {self._most} (limits.views)",
                limit="views",
            )
        self._let_go(line, unread)

    def _let_go(self, line: Line, view: View) -> None:
        anchor = self._derived.pop(line.views.pop(view).topic).let_go()
        if anchor is not None:
            line.anchors[view] = anchor
            while len(line.anchors) > self._most:
                del line.anchors[next(iter(line.anchors))]
