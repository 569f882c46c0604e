"""What the author of a plugin tests with: a feed that records, and a run of a channel's producer.

    async def test_each_symbol_has_a_fee(jumping_clock):
        events = await record(fees.CHANNEL, seconds=3600)

Must not know the appliance that runs: what is published here reaches nobody. The fixture `jumping_clock` is that of
`appliance.pytest_plugin`, which pytest finds by itself.
"""

from __future__ import annotations

import contextvars
import time
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import msgspec
import structlog
import trio

from appliance.api import Event, Row
from appliance.core import topics
from appliance.core.beat import Beat
from appliance.core.errors import PluginError, PublishError
from appliance.core.fitting import misfits
from appliance.core.kept import change

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from appliance.api import Channel, Mode, Rows

T = TypeVar("T")

__all__ = ["PluginError", "PublishError", "RecordingFeed", "record"]

MOST_AT_ONCE = 100_000
"""Events at one instant after which a producer is taken for one that never waits: no test of it would end."""


class RecordingFeed:
    """A feed that keeps what is published into it, and refuses what its channel cannot take.

    `events` are as clients would get them: their data has been JSON. The time of an event that a producer does not
    tell follows the clock of the test. To be made where trio runs. Limits of a configuration do not hold here.
    `shown` are events of other channels for a producer that watches them, each at its time; one whose time has passed
    comes at once. `state` is what a producer before has noted; rows that the channel cannot take are in `refused`.
    """

    def __init__(
        self,
        channel: Channel,
        settings: Any = None,  # noqa: ANN401 - the channel's own Settings
        *,
        shown: Iterable[Event] = (),
        state: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._channel = channel
        self._since_1970 = time.time() - trio.current_time()
        self.shown = tuple(shown)
        self.settings = channel.Settings() if settings is None else settings
        self.events: list[Event] = []
        self.declared: list[str] = []
        self.refused: list[tuple[Row, PublishError]] = []
        self._state = dict(state)
        self.log = structlog.get_logger().bind(channel=channel.name)
        self._encode = msgspec.json.Encoder(decimal_format="number").encode
        self._instant = 0.0
        self._at_once = 0

    @property
    def channel(self) -> str:
        return self._channel.name

    @property
    def mode(self) -> Mode:
        return self._channel.mode

    @property
    def state(self) -> Mapping[str, Any]:
        return MappingProxyType(self._state)

    def declare(self, *keys: str) -> None:
        for key in keys:
            self._check_key(key)
        self.declared += keys

    async def publish(self, data: Mapping[str, Any], *, key: str, at: float | None = None) -> None:
        self._take(Row(key, data, at))
        await trio.lowlevel.checkpoint()

    async def publish_all(self, rows: Iterable[Row], *, note: Mapping[str, Any] | None = None) -> None:
        await trio.lowlevel.checkpoint()
        for row in rows:
            try:
                self._take(row)
            except PublishError as error:
                self.refused.append((row, error))
        # As the store would give it back.
        change(self._state, msgspec.json.decode(msgspec.json.encode(note or {})))

    def ready(self) -> None:
        """Take note of it: nothing has failed here."""

    def every(self, seconds: float) -> AsyncIterator[int]:
        return _Beats(seconds)

    async def settled(self) -> None:
        """Come back at once: nobody reads here."""
        await trio.lowlevel.checkpoint()

    def watch(self, *patterns: str, exact: bool = False) -> AsyncIterator[Event]:  # noqa: ARG002 - as the appliance's
        """Give the events that the test shows, at their times, as far as a pattern covers `channel:key`.

        Their data is what the test has made, whether or not it is to be `exact`.
        """
        for pattern in patterns:
            topics.check(pattern)
        return _Shown(
            [event for event in self.shown if topics.covered(patterns, _topic(event))], self._since_1970
        )

    async def blocking(self, work: Callable[..., T], *arguments: Any) -> T:  # noqa: ANN401 - whatever the work takes
        """Call it in a thread, as the appliance does. The test waits for it: a clock that jumps would not."""
        await trio.lowlevel.checkpoint()
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(contextvars.copy_context().run, work, *arguments).result()

    def _take(self, row: Row) -> None:
        now = self._since_1970 + trio.current_time()
        self._check_pace(now)
        event = Event(self.channel, row.key, row.data, now if row.at is None else row.at)
        self._check_schema(event)
        # As text, for the producer may change the data afterwards.
        body = self._body(event)
        for topic in self._channel.route(event, self.settings):
            self._check_key(topic)
        self.events.append(attrs.evolve(event, data=msgspec.json.decode(body)))

    def _check_pace(self, now: float) -> None:
        self._at_once = self._at_once + 1 if now == self._instant else 1
        self._instant = now
        if self._at_once > MOST_AT_ONCE:
            raise PluginError(
                f"{self.channel}: the producer has published {MOST_AT_ONCE} events without waiting: "
                "let it wait, as with `async for _ in feed.every(seconds)`"
            )

    def _check_schema(self, event: Event) -> None:
        schema = self._channel.schema
        if schema is not None and (wrong := misfits(event.data, schema)):
            raise PublishError(
                f"{self.channel}: the event of {event.key!r} does not fit its schema: "
                + "; ".join(map(str, wrong))
            )

    def _body(self, event: Event) -> bytes:
        try:
            return self._encode(event.data)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise PublishError(f"{self.channel}: data is no JSON: {error}") from error

    def _check_key(self, key: str) -> None:
        if not topics.is_key(key):
            raise PublishError(f"{self.channel}: {key!r} is no key: 1 to 200 visible characters without `*`")


def _topic(event: Event) -> str:
    return topics.join(event.channel, event.key)


class _Shown:
    """Events at their times; after the last there will be no other."""

    def __init__(self, events: Sequence[Event], since_1970: float) -> None:
        self._events = iter(sorted(events, key=lambda event: event.at))
        self._since_1970 = since_1970

    def __aiter__(self) -> _Shown:
        return self

    async def __anext__(self) -> Event:
        event = next(self._events, None)
        if event is None:
            await trio.sleep_forever()
            raise AssertionError("unreachable")
        await trio.sleep_until(event.at - self._since_1970)
        return event


class _Beats:
    """The rhythm of the appliance's own feeds."""

    def __init__(self, seconds: float) -> None:
        self._beat = Beat(seconds)

    def __aiter__(self) -> _Beats:
        return self

    async def __anext__(self) -> int:
        count, due = self._beat.next(trio.current_time())
        await trio.sleep_until(due)
        return count


async def record(
    channel: Channel,
    *,
    seconds: float,
    settings: Any = None,  # noqa: ANN401 - the channel's own Settings
    shown: Iterable[Event] = (),
    rows: Rows | None = None,
) -> list[Event]:
    """Run a channel's producer, and give what it publishes before `seconds` have passed.

    `shown` is what it watches; `rows` is an opened source whose rows the channel is to have.
    With a clock that jumps (the fixture `jumping_clock`) an hour takes no time. What the producer raises is raised
    here; so is a `PluginError` when it returns, for it must run until it is cancelled.
    """
    produce = channel.produce if rows is None else rows.produce
    if produce is None:
        raise PluginError(
            f"{channel.name}: its rows come from the source {channel.source!r}: open that source, and give it as `rows`"
        )
    feed = RecordingFeed(channel, settings, shown=shown)
    with trio.move_on_after(seconds) as time_is_up:
        await produce(feed, feed.settings)
    if not time_is_up.cancelled_caught:
        raise PluginError(f"{channel.name}: the producer returned; it must run until it is cancelled")
    return feed.events
