"""The conversation of the trading dialect: prices and portfolios once an interval, signals and trades at once."""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import attrs

from appliance.core.errors import RequestError
from appliance.core.instants import timestamp
from appliance.core.subscriptions import Terms
from appliance.dialects import framing, trading
from appliance.dialects.trading import EVERYTHING, Channel, Choice, Selection
from appliance.edge.words import Words
from appliance.runtime.digest import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from appliance.core.events import Entry
    from appliance.core.history import Topic
    from appliance.core.subscriptions import Joined
    from appliance.dialects.complaint import Complaint
    from appliance.edge.line import Line
    from appliance.edge.surroundings import Notice
    from appliance.runtime.subscriber import Lost

_LONGEST_ID = 200
"""Characters of a client's own id that are kept."""
_TOPICS = {Channel.SIGNALS: "signals:all", Channel.TRADES: "trades:all"}
_LOGS = frozenset(_TOPICS)


@attrs.frozen
class Prices:
    """The words of a digest of prices: one message for all symbols."""

    def part(self, _topic: Topic) -> Callable[[Entry], bytes]:
        return lambda entry: trading.price(entry.body)

    def compose(self, parts: Iterable[tuple[str, bytes]], now: float) -> Iterator[bytes]:
        yield framing.text(trading.price_update(parts, timestamp(now)))


@attrs.frozen
class Portfolios:
    """The words of a digest of portfolios: a message for each account."""

    choice: Choice

    def part(self, _topic: Topic) -> Callable[[Entry], bytes]:
        return lambda entry: trading.portfolio(entry.body, self.choice)

    def compose(self, parts: Iterable[tuple[str, bytes]], now: float) -> Iterator[bytes]:
        for _, part in parts:
            yield framing.text(trading.portfolio_update(part, timestamp(now)))


class Trading:
    """Subscribed to everything from the beginning, until the client chooses.

    One that is `undeclared`, for it has said nothing on a path that is shared, may yet turn out to be another's: its
    first prices and portfolio wait for a lull.
    """

    name: Final = "trading"
    takes_credentials: Final = False
    ping: Final = framing.PING

    def __init__(self, line: Line, *, undeclared: bool = False) -> None:
        self._line = line
        self._undeclared = undeclared
        named = parse_qs(line.caller.head.query).get("client_id", [""])[0]
        self._id = named[:_LONGEST_ID] or str(uuid.uuid4())
        self._selection = Selection({})
        self._leave: dict[Channel, Callable[[], object]] = {}

    @property
    def details(self) -> Mapping[str, Any]:
        return {"client_id": self._id}

    def begin(self) -> None:
        self._select(Selection(), lull=self._line.around.settings().trading.lull if self._undeclared else 0.0)

    def leave(self) -> None:
        for leave in self._leave.values():
            leave()
        self._leave.clear()
        self._selection = Selection({})

    async def hear(self, message: str | bytes) -> None:
        command = trading.parse(message)
        if isinstance(command, trading.Subscribe | trading.Unsubscribe):
            self._select(self._selection.apply(command))
        else:
            self._line.tell(trading.pong())

    def joined_newcomer(self, joined: Joined, terms: Terms) -> None:
        """Say nothing: this dialect has no answers to subscriptions."""

    def notice(self, notice: Notice) -> None:
        """Say nothing: this dialect has no words for it."""

    def expiring(self, at: float) -> None:
        """Say nothing: this dialect has no words for it."""

    def renewed(self, lost: Sequence[Lost]) -> None:  # noqa: ARG002 - the interface
        """Say nothing, but read what is chosen anew: what is told once an interval, for those who may read the same."""
        selection = self._selection
        for channel in [*self._leave]:
            if channel not in _LOGS or _TOPICS[channel] not in self._line.subscriber:
                self._leave.pop(channel)()
        self._selection = Selection({channel: selection.choices[channel] for channel in self._leave})
        self._select(selection)

    def complaint(self, error: RequestError, complaint: Complaint) -> bytes:
        return trading.error(error.message, complaint.timestamp)

    def _select(self, selection: Selection, *, lull: float = 0.0) -> None:
        """Read what is chosen; a channel whose choice is as before goes on as it is."""
        before, self._selection = self._selection.choices, selection
        for channel in Channel:
            choice = selection.choices.get(channel)
            if choice == before.get(channel):
                continue
            # What is owed of a log stays owed: it is read on, in other words.
            goes_on = choice is not None and channel in _LOGS
            if (leave := self._leave.pop(channel, None)) and not goes_on:
                leave()
            if choice is not None:
                self._leave[channel] = self._read(channel, choice, lull)
        self._line.subscriber.catch_up()

    def _read(self, channel: Channel, choice: Choice, lull: float) -> Callable[[], object]:
        settings = self._line.around.settings().trading
        match channel:
            case Channel.PRICES:
                return self._join("price", choice, Prices(), settings.price_interval, lull)
            case Channel.PORTFOLIO:
                words, interval = Portfolios(choice), settings.portfolio_interval
                return self._join("portfolio", EVERYTHING, words, interval, lull)
            case Channel.SIGNALS:
                return self._subscribe(_TOPICS[channel], "signal", choice)
            case Channel.TRADES:
                return self._subscribe(_TOPICS[channel], "trade", choice)

    def _join(
        self, channel: str, keys: Choice, words: Prices | Portfolios, interval: float, lull: float
    ) -> Callable[[], object]:
        scope = self._line.sight.scope
        subject = Subject(channel=channel, keys=keys, scope=scope, words=words, interval=interval)
        try:
            return self._line.around.digests.join(subject, self._line.outbox, silence=min(lull, interval / 2))
        except RequestError as error:
            self._line.complain(error)
            return _nothing

    def _subscribe(self, name: str, kind: trading.Kind, choice: Choice) -> Callable[[], object]:
        subscriber = self._line.subscriber
        try:
            subscriber.subscribe(name, Terms(Words(trading.update, (kind, choice))))
        except RequestError:
            return _nothing  # an appliance without this channel has nothing to tell of it
        return partial(subscriber.unsubscribe, name)


def _nothing() -> None:
    """Leave what was never joined."""
