"""The conversation of the ara dialect, on the path of a symbol's predictions or market data, or of alerts."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from appliance.core.errors import ErrorCode, RequestError
from appliance.core.instants import timestamp
from appliance.core.subscriptions import Terms
from appliance.core.topics import join
from appliance.dialects import ara, framing
from appliance.edge.words import Words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from appliance.core.history import Topic
    from appliance.core.subscriptions import Joined
    from appliance.dialects.complaint import Complaint
    from appliance.edge.line import Line
    from appliance.edge.surroundings import Notice
    from appliance.runtime.subscriber import Lost

_ALERTS = "all"
"""The key under which all alerts are; which of them a client gets is a matter of its configuration."""


class Ara:
    """One stream at a time: of a symbol, which the client can change, or of alerts."""

    name: Final = "ara"
    takes_credentials: Final = False

    def __init__(self, line: Line, route: ara.Route) -> None:
        self._line = line
        self._route = route
        self._symbol = route.symbol or ""
        self._id = str(uuid.uuid4())

    @property
    def details(self) -> Mapping[str, Any]:
        symbol = {"symbol": self._symbol} if self._symbol else {}
        return {"channel": str(self._route.kind), **symbol, "connection_id": self._id}

    @property
    def ping(self) -> bytes:
        return framing.text(ara.ping(_now()))

    def begin(self) -> None:
        self._line.tell(ara.connected(self._route, self._id, _now()))
        try:
            if self._route.kind is ara.Kind.ALERTS:
                self._tell_alerts(ara.AlertConfig())
            else:
                self._read(self._symbol)
        except RequestError as error:
            self._line.complain(error)

    def leave(self) -> None:
        """Hold nothing that the session does not end itself."""

    async def hear(self, message: str | bytes) -> None:
        match ara.parse(self._route.kind, message):
            case ara.Subscribe(symbol):
                self._change(symbol)
            case ara.RequestPrediction(symbol):
                await self._predict(symbol or self._symbol)
            case ara.ConfigureAlerts(config):
                self._tell_alerts(config)
                self._line.tell(ara.alerts_configured(config, _now()))
            case ara.Pong():
                pass  # that it came is what counts, and the heartbeat has seen it
            case _:
                self._line.tell(ara.pong())

    def joined_newcomer(self, joined: Joined, terms: Terms) -> None:
        """Say nothing: the topic's events speak for themselves."""

    def notice(self, notice: Notice) -> None:
        """Say nothing: this dialect has no words for it."""

    def expiring(self, at: float) -> None:
        """Say nothing: this dialect has no words for it."""

    def renewed(self, lost: Sequence[Lost]) -> None:
        """Say of a symbol that is lost what is said of one that is not there."""
        if lost:
            self._line.complain(_unknown(self._symbol or _ALERTS))

    def complaint(self, error: RequestError, complaint: Complaint) -> bytes:
        return ara.error(error.message, complaint.timestamp)

    def _topic(self, symbol: str) -> str:
        return join(self._route.channel, symbol)

    def _read(self, symbol: str) -> None:
        terms = Terms(Words(ara.update, (self._route.kind, symbol)))
        try:
            self._line.subscriber.subscribe(self._topic(symbol), terms)
        except RequestError:
            raise _unknown(symbol) from None
        self._line.subscriber.catch_up()

    def _change(self, symbol: str) -> None:
        """Read another symbol; one that there is not leaves everything as it is."""
        subscriber = self._line.subscriber
        is_read = self._topic(symbol) in subscriber
        if not is_read:
            self._find(symbol)
            subscriber.unsubscribe(self._topic(self._symbol))
            self._symbol = symbol
        # The answer goes out before the first event.
        self._line.tell(ara.subscribed(symbol, _now()))
        if not is_read:
            self._read(symbol)

    def _find(self, symbol: str) -> Topic:
        name = self._topic(symbol)
        try:
            return self._line.sight.topic(name)
        except RequestError:
            raise _unknown(symbol) from None

    async def _predict(self, symbol: str) -> None:
        topic, sight = self._find(symbol), self._line.sight
        self._line.tell(ara.prediction_requested(symbol, _now()))
        try:
            entry = await self._line.around.answers.make(topic, sight)
        finally:
            # Who asked for the same at the same time may have let it go before.
            if sight.known(topic.name) is topic:
                sight.hub.release(topic)
        if entry is None:
            raise RequestError(ErrorCode.INVALID_CHANNEL, f"No prediction available for {symbol}")
        self._line.tell(ara.update(self._route.kind, symbol)(entry))

    def _tell_alerts(self, config: ara.AlertConfig) -> None:
        self._line.subscriber.subscribe(self._topic(_ALERTS), Terms(Words(ara.alert, (config,))))
        self._line.subscriber.catch_up()


def _unknown(symbol: str) -> RequestError:
    return RequestError(ErrorCode.INVALID_CHANNEL, f"Unknown symbol: {symbol}")


def _now() -> str:
    return timestamp(time.time())
