"""One session's readings: turns what a client asks for into readings of topics, and says where each begins.

Must not know wire protocols or sockets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from appliance.core import topics
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.events import Mode
from appliance.core.subscriptions import Joined, Subscriptions, Terms
from appliance.core.throttle import Throttle
from appliance.runtime.sight import Lookout

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from appliance.core.history import Resumption, Topic
    from appliance.core.outbox import Outbox
    from appliance.runtime.audience import Audience, Form, Outlet
    from appliance.runtime.sight import Sight

    Recover: TypeAlias = Callable[[Topic], Resumption | None]
    """Says how a client that comes back goes on with a topic; None: it has not read this one before."""


def _anew(_topic: Topic) -> None:
    """Come for the first time."""


@attrs.frozen
class Reading:
    """A topic, as the client calls it and on its terms."""

    label: str
    terms: Terms


@attrs.frozen
class Lost:
    """A topic or a pattern that a session reads no longer, though it did not say so, and the terms that it had."""

    name: str
    terms: Terms


class Subscriber:
    """`sight` gives what there is for the client at the moment; when that has changed, it is to `reconsider`.

    `appeared` is told of a topic that came into being under one of the session's patterns.
    """

    def __init__(
        self,
        sight: Callable[[], Sight],
        outbox: Outbox,
        *,
        clock: Callable[[], float],
        call_at: Callable[[float, Callable[[], None]], None],
        newcomer: Callable[[Joined, Terms], None],
        resumed: Callable[[bool], object] = lambda _: None,
        refused: Callable[[str, RequestError], object] = lambda _name, _error: None,
    ) -> None:
        """`resumed` is told of each topic that the client comes back to: whether it misses nothing of it. `refused` is
        told of a topic that came into being under a pattern, and cannot be read.
        """
        self._sight = sight
        self._outbox = outbox
        self._clock = clock
        self._call_at = call_at
        self._newcomer = newcomer
        self._resumed = resumed
        self._refused = refused
        self._lookout: Lookout | None = None
        self._subscriptions = Subscriptions()
        self._joined: dict[Topic, tuple[Terms, Audience]] = {}
        self._throttles: dict[Topic, Throttle] = {}
        self._starts: dict[Topic, int] = {}

    def __len__(self) -> int:
        return len(self._subscriptions)

    def __contains__(self, name: str) -> bool:
        return name in self._subscriptions

    def readings(self, channel: str) -> list[Reading]:
        """Give what is read of a channel: one for each label."""
        found = {
            (terms.label or topic.name): Reading(terms.label or topic.name, terms)
            for topic, (terms, _) in self._joined.items()
            if topic.name.startswith(f"{channel}:")
        }
        return list(found.values())

    def labelled(self, label: str) -> tuple[str, ...]:
        """Give the names that were subscribed to under a label."""
        return self._subscriptions.labelled(label)

    def subscribe(self, name: str, terms: Terms, recover: Recover = _anew) -> list[Joined]:
        """Read a topic, or all topics of a pattern, from now on; `recover` is asked of topics not read yet.

        Nothing is sent before `catch_up`: so an answer can go first.
        """
        sight = self._sight()
        if topics.is_pattern(name):
            if not sight.covers(name):
                raise RequestError(ErrorCode.INVALID_CHANNEL, f"No channel matches {name!r}")
            found = [*sight.matching(name)]
        else:
            found = [sight.topic(name)]
        if terms.limit is not None and (logs := [topic for topic in found if topic.mode is Mode.LOG]):
            for topic in logs:
                sight.hub.release(topic)
            raise RequestError(
                ErrorCode.INVALID_MESSAGE,
                f"limit is for state channels: every event of {logs[0].name!r} counts",
            )
        self._subscriptions.add(name, terms)
        if topics.is_pattern(name):
            self._look_out(name)
        joined = [self._read(topic, recover) for topic in found]
        for reading in joined:
            self._starts[reading.topic] = min(reading.after, self._starts.get(reading.topic, reading.after))
        return joined

    def catch_up(self) -> None:
        """Send what the topics subscribed to since the last time already hold beyond where the client begins.

        Once, however many of the names that a client has asked for together cover a topic.
        """
        starts, self._starts = self._starts, {}
        self._outbox.replay(starts.items())

    def unsubscribe(self, name: str) -> bool:
        """Forget a name; topics that another name of the session covers go on under that."""
        if self._subscriptions.remove(name) is None:
            return False
        if self._lookout is not None:
            self._lookout.forget(name)
        for topic in [topic for topic in self._joined if topics.matches(name, topic.name)]:
            found = self._subscriptions.find(topic)
            if found is None or (topics.is_pattern(found[0]) and not self._sight().hub.has(topic)):
                self._stop(topic)
            else:
                self._read(topic)
        return True

    def reform(self, form: Form) -> None:
        """Tell of everything in another form from now on, also of what is owed."""
        for name, terms in self._subscriptions.items():
            self._subscriptions.add(name, attrs.evolve(terms, form=form))
        for topic in list(self._joined):
            self._read(topic)

    def reconsider(self) -> list[Lost]:
        """Go on with what may be read by now: give what may not any more, and take up what patterns cover besides.

        What is shown otherwise than before is read anew, and the client told of it as of what has come into being.
        """
        sight = self._sight()
        there: dict[Topic, None] = {}
        lost: dict[str, Lost] = {}
        self._close_lookout()
        for name, terms in self._subscriptions.items():
            try:
                there.update(dict.fromkeys(self._found(sight, name)))
            except RequestError:
                self._subscriptions.remove(name)
                lost[name] = Lost(name, terms)
        for topic in there:
            self.appeared(topic)
        names = {topic.name for topic in there}
        for topic, (terms, _) in list(self._joined.items()):
            if topic not in there:
                self._stop(topic)
                if topic.name not in names:
                    lost.setdefault(topic.name, Lost(topic.name, terms))
        self.catch_up()
        return list(lost.values())

    def leave(self) -> None:
        """Stop reading everything: the session has ended."""
        self._close_lookout()
        for topic in list(self._joined):
            self._stop(topic)

    def appeared(self, topic: Topic) -> None:
        """From the lookout: a topic came into being."""
        found = None if topic in self._joined else self._subscriptions.find(topic)
        if found is not None:
            reading = self._read(topic)
            if reading.after < topic.last:
                self._starts[topic] = reading.after
            self._newcomer(reading, found[1])

    def _found(self, sight: Sight, name: str) -> list[Topic]:
        """Give what there is of a name by now; for a pattern, look out for what is to come."""
        if not topics.is_pattern(name):
            return [sight.topic(name)]
        found = [*sight.matching(name)]
        self._look_out(name)
        return found

    def _look_out(self, pattern: str) -> None:
        if self._lookout is None:
            self._lookout = Lookout(self._sight(), self, self._refused)
        self._lookout.follow(pattern)

    def _close_lookout(self) -> None:
        if self._lookout is not None:
            self._lookout.close()
            self._lookout = None

    def _read(self, topic: Topic, recover: Recover = _anew) -> Joined:
        found = self._subscriptions.find(topic)
        assert found is not None  # noqa: S101 - callers have looked
        name, terms = found
        before = self._joined[topic][0] if topic in self._joined else None
        label = terms.label or topic.name
        if before != terms:
            if before is not None:
                self._part(topic)
                self._outbox.release(topic)
            self._join(topic, terms, label)
        pattern = name if topics.is_pattern(name) else None
        resumption, after = recover(topic) if before is None else None, topic.last
        if resumption is not None:
            after = resumption.after
            self._resumed(resumption.recovered)
        elif (before is None or before.label != terms.label) and topic.mode is Mode.STATE:
            after = max(0, topic.last - 1)
        return Joined(
            topic=topic,
            label=label,
            pattern=pattern,
            limit=terms.limit,
            offset=topic.last,
            after=after,
            resumption=resumption,
        )

    def _join(self, topic: Topic, terms: Terms, label: str) -> None:
        outlet: Outlet = self._outbox
        if terms.limit is not None:
            outlet = throttle = Throttle(self._outbox, terms.limit, clock=self._clock, call_at=self._call_at)
            self._throttles[topic] = throttle
        form: Form = terms.form  # type: ignore[assignment]
        audience = self._sight().hub.join(
            topic, self, outlet, form=form, label=label, conflated=terms.limit is not None
        )
        self._outbox.follow(audience)
        self._joined[topic] = terms, audience

    def _part(self, topic: Topic) -> None:
        throttle = self._throttles.pop(topic, None)
        if throttle is not None:
            throttle.stop()
        _, audience = self._joined.pop(topic)
        self._sight().hub.leave(audience, self)

    def _stop(self, topic: Topic) -> None:
        self._part(topic)
        self._starts.pop(topic, None)
        self._outbox.forget(topic)
        self._sight().hub.release(topic)
