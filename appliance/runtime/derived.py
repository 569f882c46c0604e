"""Derived topics: a topic as a view shows it, which is read as any other is.

Its events are made once, for all who are shown the same. A mask leaves every event at its place, so that epoch and
offsets are the topic's own, also after a restart. A view that withholds events counts those that it shows: the topic's
own offsets would tell how many it does not. Must not know who may see what.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from appliance.core import views
from appliance.core.events import Entry, Mode
from appliance.core.history import Topic
from appliance.core.thinning import Thinning
from appliance.runtime.lines import Anchor, Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from appliance.api import Channel
    from appliance.core.history import Retention
    from appliance.core.views import View
    from appliance.runtime.lines import Newcomers

    Later: TypeAlias = Callable[[float, Callable[[], None]], None]
    """Calls once so many seconds have passed."""

_EPOCH_BYTES = 6
_KEPT = 600.0
"""Seconds that a view is kept which nobody reads."""


class Derived(Line):
    """`serials` gives the next serial, and the newest number of what is kept, to what is shown late."""

    def __init__(
        self, base: Line, view: View, *, later: Later, serials: Callable[[], tuple[int, int]], serial: int
    ) -> None:
        of = base.topic
        super().__init__(Topic(of.name, of.mode, of.message, of.epoch, of.retention))
        self.base = base
        self.view = view
        self.awaited: dict[Newcomers, None] = {}
        self._later = later
        self._serials = serials
        self._unread_since: float | None = None
        self._thinning: Thinning | None = None
        self._gone = False
        self.seed(serial, base.anchors.pop(view, None))

    @property
    def there(self) -> bool:
        """Who is shown no event of a topic that is there only because of them does not know of it."""
        return self.base.declared or (
            self.base.there and (not self.view.conditions or self.topic.latest is not None)
        )

    @property
    def is_read(self) -> bool:
        return bool(self.audiences or self.awaited)

    def seed(self, serial: int, anchor: Anchor | None = None) -> None:
        """Begin with what the topic keeps; `serial` is that of the newest entry of all topics."""
        topic, of = self.topic, self.base.topic
        topic.epoch, topic.durable = of.epoch, of.durable
        topic.forgotten, topic.forgotten_number = of.forgotten, of.forgotten_number
        if not self.view.withholds:
            topic.forgotten_at, topic.last = of.forgotten_at, of.last
            topic.latest = None if of.latest is None else self._masked(of.latest)
            for entry in of.after(0):
                topic.restore(self._masked(entry))
            return
        found = [passed for each in _kept(of) if (passed := self._passed(each)) is not None]
        if self.view.rate is not None:
            # What was shown when is not known of what came before: it has no place among the entries of other topics.
            topic.forgotten, topic.durable = serial, False
            self._thinning = Thinning(self.view.rate)
            found = [*_thinned(self._thinning, found)]
        topic.epoch, topic.last = secrets.token_hex(_EPOCH_BYTES), 0
        if self._thinning is None and of.first == 1:
            # All there ever was is counted, as it will be the next time, also after a restart.
            topic.epoch = self._epoch_of_all(of)
        elif anchor is not None and anchor.topic_epoch == of.epoch and of.first <= anchor.at + 1:
            topic.epoch = anchor.epoch
            topic.last = anchor.offset - sum(entry.offset <= anchor.at for entry in found)
        for entry in found:
            self._count(entry)

    def take(self, entry: Entry, data: Mapping[str, Any]) -> None:
        """Show the topic's new entry, of this data, to all who read it so."""
        topic = self.topic
        if not self.view.withholds:
            topic.last = entry.offset
            shown = self._masked(entry, data)
            topic.durable = self.base.topic.durable
            topic.restore(shown)
            self.offer(shown)
            return
        passed = self._passed(entry, data)
        if passed is not None:
            awaited, self.awaited = self.awaited, {}
            for newcomers in awaited:
                newcomers.appeared(topic)
            if self._thinning is None:
                topic.durable = self.base.topic.durable
                self.offer(self._count(passed))
            else:
                self._thin(self._thinning, passed)

    def succeed(self, channel: Channel, retention: Retention) -> None:
        topic = self.topic
        topic.mode, topic.message, topic.retention = channel.mode, channel.message, retention
        for audience in self.audiences.values():
            audience.renew()

    def used(self) -> None:
        """Take note that somebody asks for it."""
        self._unread_since = None

    def is_forsaken(self, now: float) -> bool:
        """Whether nobody has read it for a while."""
        if self.is_read:
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        return self._unread_since is not None and now - self._unread_since >= _KEPT

    def let_go(self) -> Anchor | None:
        """Give where it can go on, if it can, and show nothing any more."""
        self._gone = True
        if not self.view.conditions or self._thinning is not None:
            return None
        of = self.base.topic
        return Anchor(self.topic.epoch, self.topic.last, of.last, of.epoch)

    def _thin(self, thinning: Thinning, entry: Entry) -> None:
        was_holding = thinning.holds
        shown = thinning.take(entry, entry.received)
        if shown is not None:
            self.offer(self._count(shown))
        elif not was_holding:
            self._later(thinning.remains(entry.received), self._release)

    def _release(self) -> None:
        """The pause is over. Among the entries of other topics, what is shown late is the newest."""
        held = None if self._gone or self._thinning is None else self._thinning.release()
        if held is not None:
            serial, number = self._serials()
            self.offer(self._count(attrs.evolve(held, serial=serial, number=number)))

    def _masked(self, entry: Entry, data: Mapping[str, Any] | None = None) -> Entry:
        body = self.view.tell(views.read(entry.body) if data is None else data, entry.body)
        return _told(entry, body or b"{}")

    def _passed(self, entry: Entry, data: Mapping[str, Any] | None = None) -> Entry | None:
        body = self.view.tell(views.read(entry.body) if data is None else data, entry.body)
        return None if body is None else _told(entry, body)

    def _epoch_of_all(self, of: Topic) -> str:
        counted = "\n".join((of.epoch, of.name, *map(str, self.view.conditions)))
        return hashlib.blake2b(counted.encode(), digest_size=_EPOCH_BYTES).hexdigest()

    def _count(self, entry: Entry) -> Entry:
        """Let an entry be the next."""
        self.topic.last += 1
        counted = Entry(self.topic.last, entry.at, entry.received, entry.body, entry.serial, entry.number)
        self.topic.restore(counted)
        return counted


def _told(entry: Entry, body: bytes) -> Entry:
    # Quicker than attrs.evolve, and it is done for each event in each way that it is shown.
    return Entry(entry.offset, entry.at, entry.received, body, entry.serial, entry.number)


def _kept(topic: Topic) -> Iterator[Entry]:
    """Give what a topic keeps, and the newest of a state topic in any case."""
    if topic.mode is Mode.STATE and topic.first > topic.last and topic.latest is not None:
        yield topic.latest
    yield from topic.after(0)


def _thinned(thinning: Thinning, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Give what would have been shown of entries, and the newest of them in any case."""
    for entry in entries:
        if thinning.holds and not thinning.remains(entry.received) and (held := thinning.release()):
            yield held
        if shown := thinning.take(entry, entry.received):
            yield shown
    if last := thinning.release():
        yield last
