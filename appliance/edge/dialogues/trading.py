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
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from appliance.core.events import Entry
    from appliance.core.history import Topic
    from appliance.core.subscriptions import Joined
    from appliance.dialects.complaint import Complaint
    from appliance.edge.line import Line
    from appliance.edge.surroundings import Notice

_LONGEST_ID = 200
"""Characters of a client's own id that are kept."""
_LOGS = frozenset({Channel.SIGNALS, Channel.TRADES})


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
    """Subscribed to everything from the beginning, until the client chooses."""

    name: Final = "trading"
    takes_credentials: Final = False
    ping: Final = framing.PING

    def __init__(self, line: Line) -> None:
        self._line = line
        named = parse_qs(line.caller.head.query).get("client_id", [""])[0]
        self._id = named[:_LONGEST_ID] or str(uuid.uuid4())
        self._selection = Selection({})
        self._leave: dict[Channel, Callable[[], object]] = {}

    @property
    def details(self) -> Mapping[str, Any]:
        return {"client_id": self._id}

    def begin(self) -> None:
        self._select(Selection())

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

    def complaint(self, error: RequestError, complaint: Complaint) -> bytes:
        return trading.error(error.message, complaint.timestamp)

    def _select(self, selection: Selection) -> None:
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
                self._leave[channel] = self._read(channel, choice)
        self._line.subscriber.catch_up()

    def _read(self, channel: Channel, choice: Choice) -> Callable[[], object]:
        settings = self._line.around.settings().trading
        match channel:
            case Channel.PRICES:
                return self._join("price", choice, Prices(), settings.price_interval)
            case Channel.PORTFOLIO:
                return self._join("portfolio", EVERYTHING, Portfolios(choice), settings.portfolio_interval)
            case Channel.SIGNALS:
                return self._subscribe("signals:all", "signal", choice)
            case Channel.TRADES:
                return self._subscribe("trades:all", "trade", choice)

    def _join(
        self, channel: str, keys: Choice, words: Prices | Portfolios, interval: float
    ) -> Callable[[], object]:
        principal = self._line.principal
        read = () if principal is None else principal.read
        subject = Subject(channel=channel, keys=keys, read=read, words=words, interval=interval)
        return self._line.around.digests.join(subject, self._line.outbox)

    def _subscribe(self, name: str, kind: trading.Kind, choice: Choice) -> Callable[[], object]:
        subscriber = self._line.subscriber
        try:
            subscriber.subscribe(name, Terms(Words(trading.update, (kind, choice))))
        except RequestError:
            return _nothing  # an appliance without this channel has nothing to tell of it
        return partial(subscriber.unsubscribe, name)


def _nothing() -> None:
    """Leave what was never joined."""
