"""The conversation of the data-ws dialect: predictions as bare rows, and nothing to say but that."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from appliance.core.errors import ErrorCode, RequestError
from appliance.core.history import Position
from appliance.core.subscriptions import Terms
from appliance.core.topics import ANY, is_pattern, join
from appliance.dialects import data_ws, framing
from appliance.edge.surroundings import Ending
from appliance.edge.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from appliance.core.events import Entry
    from appliance.core.history import Resumption, Topic
    from appliance.core.subscriptions import Joined
    from appliance.dialects.complaint import Complaint
    from appliance.edge.line import Line
    from appliance.edge.surroundings import Notice, Surroundings
    from appliance.runtime.sight import Sight
    from appliance.runtime.subscriber import Lost

PATH: Final = "/api/v1/predictions/stream"
CHANNEL: Final = "predictions"
_NO_SUCH = 1008


def _rows() -> Callable[[Entry], bytes]:
    return data_ws.row


def _topic(symbol: str) -> str:
    return join(CHANNEL, symbol)


def _usual(around: Surroundings) -> str:
    return _topic(around.settings().data_ws.symbol.upper())


_TERMS = Terms(Words(_rows))


def usual(around: Surroundings, sight: Sight) -> Topic | None:
    """Find the symbol of clients that name none, where it is there: it has predictions, or is to have them."""
    topic = sight.known(_usual(around))
    return topic if topic is not None and sight.hub.has(topic) else None


def newest(sight: Sight) -> Topic | None:
    """Find the symbol with the newest prediction of all."""
    told = [topic for topic in sight.matching(_topic(ANY)) if topic.latest]
    return max(told, key=lambda topic: topic.latest.at if topic.latest else 0.0, default=None)


class DataWs:
    """The client listens: what it says is not looked at."""

    name: Final = "data-ws"
    takes_credentials: Final = False
    details: Final[Mapping[str, Any]] = MappingProxyType({})
    ping: Final = framing.PING

    def __init__(self, line: Line) -> None:
        self._line = line

    def begin(self) -> None:
        """Give the newest row, and every newer one: of the symbol that the client names, or of the usual one.

        Where that is not there, of any, until it is.
        """
        line = self._line
        asked = parse_qs(line.caller.head.query).get("symbol")
        try:
            if asked:
                self._read_one(asked[0].upper())
            elif topic := usual(line.around, line.sight):
                line.subscriber.subscribe(topic.name, _TERMS)
            else:
                self._read_any()
        except RequestError as error:
            line.end(Ending(_NO_SUCH, error.message))
            return
        line.subscriber.catch_up()

    def leave(self) -> None:
        """Hold nothing that the session does not end itself."""

    async def hear(self, message: str | bytes) -> None:
        """Pass over it."""

    def joined_newcomer(self, joined: Joined, terms: Terms) -> None:
        """Say nothing, for the row does; but go on with the usual symbol alone, now that it is there."""
        if joined.topic.name == _usual(self._line.around):
            self._line.subscriber.subscribe(joined.topic.name, terms)
            self._line.subscriber.unsubscribe(_topic(ANY))

    def notice(self, notice: Notice) -> None:
        """Say nothing: this dialect has no words for it."""

    def expiring(self, at: float) -> None:
        """Say nothing: this dialect has no words for it."""

    def renewed(self, lost: Sequence[Lost]) -> None:
        """End as one does that names what is not there, where that is all there was."""
        if lost and not len(self._line.subscriber):
            self._line.end(Ending(_NO_SUCH, f"Channel {lost[0].name!r} does not exist"))

    def complaint(self, error: RequestError, complaint: Complaint) -> bytes:  # noqa: ARG002 - the interface
        """Give none: every message is a row."""
        return b""

    def _read_one(self, symbol: str) -> None:
        if is_pattern(symbol):
            raise RequestError(ErrorCode.INVALID_CHANNEL, f"{symbol!r} is no symbol: it has no `{ANY}`")
        self._line.subscriber.subscribe(_topic(symbol), _TERMS)

    def _read_any(self) -> None:
        """Of all symbols together the newest row is one."""
        last = newest(self._line.sight)

        def recover(topic: Topic) -> Resumption | None:
            return None if topic is last else topic.resume(Position(topic.epoch, topic.last))

        self._line.subscriber.subscribe(_topic(ANY), _TERMS, recover)
