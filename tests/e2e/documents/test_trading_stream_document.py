"""Every block of the trading-stream document that a client or an operator uses, against its profile."""

from __future__ import annotations

import json
import time
import urllib.request
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from websockets.sync.client import connect

from tests.e2e.dialogue import Dialogue
from tests.e2e.documents.blocks import Block, block, blocks
from tests.e2e.documents.programs import Stage, in_node, line, says
from tests.e2e.documents.shapes import shortfalls
from tests.e2e.documents.systems import LIVELY, profile, publish, variables, words
from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from tests.e2e.conftest import Start
    from tests.e2e.running import Running

NAME = "trading-stream"
VARIABLES = block(NAME, "bash", "Environment Variables")
REQUEST = block(NAME, "bash", "Status Endpoint")
RESPONSE = block(NAME, "json", "Status Endpoint")
TO_SERVER = {block.title: block for block in blocks(NAME, "json", "Client → Server")}
FROM_SERVER = blocks(NAME, "json", "Server → Client")

PLAIN, SECURE = 0, 1
"""The profile's listener, and one over TLS beside it."""

CONSOLE = {
    "price_update": r"BTC: \$[\d.]+ \(\+?-?[\d.]+%\)",
    "signal": r"Signal: (BUY|SELL) [A-Z\d]+ @ \$[\d.]+ \(confidence: [\d.]+\)",
    "trade_executed": r"Trade: (BUY|SELL) [\d.]+ [A-Z\d]+ @ \$[\d.]+",
    "portfolio_update": r"Portfolio: \d+ positions, P&L: \$-?[\d.]+",
}
"""What the document's class writes of each message."""

SYMBOLS = {"AAPL", "MSFT"}

TRADER = "key-of-the-trader"
PRICES = (150.25, 150.5)
"""At which the application trades, and the market does not."""

OFTEN = ("trading.price_interval=500ms", "trading.portfolio_interval=500ms")
"""Before the document's variables, where a test waits for what is told."""


@pytest.fixture(scope="module")
def as_set(start_shared: Start, tmp_path_factory: pytest.TempPathFactory) -> Running:
    """The profile, with the document's variables set by a shell as they stand there."""
    return start_profile(start_shared, state=tmp_path_factory.mktemp("as-set"))


@pytest.fixture(scope="module")
def running(start_shared: Start) -> Running:
    """As that, but for what its clients would wait for: a livelier market, of which more is told."""
    return start_profile(start_shared, *LIVELY, *OFTEN)


def start_profile(start: Start, *options: str, **where: Path) -> Running:
    """Start the profile. An application may add signals and trades, so that no test waits for the market to give some
    of its symbols.
    """
    publishing = (
        f'auth.keys=[{{name="trader", key="{TRADER}", publish=["signals", "trades"]}}]',
        "channels.signals.publish=true",
        "channels.trades.publish=true",
    )
    started = words(profile(NAME), *publishing, *options)
    return start(*started, before=variables(VARIABLES.text), key=TRADER, **where)


def trade(running: Running, symbol: str, price: float) -> None:
    """Publish a signal and a trade that follows it."""
    told = {"symbol": symbol, "price": price, "quantity": 10}
    publish(
        running,
        TRADER,
        {"channel": "signals", "key": symbol, "data": {**told, "signal_type": "BUY", "confidence": 0.85}},
        {"channel": "trades", "key": symbol, "data": {**told, "side": "BUY"}},
    )


def dial(running: Running, address: str, listener: int = PLAIN, **options: Any) -> Any:
    """Open a WebSocket, as a context."""
    context = running.ssl_context() if listener == SECURE else None
    return connect(address, ssl=context, proxy=None, **options)


def status(running: Running) -> dict[str, Any]:
    """Do the request as it stands in the document."""
    method, path = REQUEST.text.split()
    request = urllib.request.Request(running.url("http", path), method=method)  # noqa: S310 - of our own
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=PATIENCE) as answer:
        told: dict[str, Any] = json.load(answer)
        return told


def named(message: dict[str, Any]) -> set[str]:
    """Give the symbols that a message of the server tells of."""
    match message["type"]:
        case "price_update":
            return set(message["symbols"])
        case "portfolio_update":
            return set(message["data"]["positions"])
        case _:
            return {message["symbol"]}


@pytest.mark.parametrize("block", blocks(NAME, "", "Connection"), ids=str)
def test_each_address_leads_to_prices(block: Block, running: Running) -> None:
    listener = SECURE if block.text.startswith("wss:") else PLAIN
    address = block.here(running.addresses[listener].partition("://")[2]).strip()
    with dial(running, address, listener) as socket:
        message = Dialogue(socket).hear("price_update")
        clients = status(running)["clients"]

    assert "BTC" in message["symbols"]
    assert ("my-client-id" in clients) == ("my-client-id" in address)


@pytest.mark.parametrize("block", [TO_SERVER["Ping"]], ids=str)
def test_a_ping_is_answered(block: Block, running: Running) -> None:
    with dial(running, running.url("ws", "/ws")) as socket:
        client = Dialogue(socket)
        client.say(block.text)
        assert client.hear("pong") == {"type": "pong"}


@pytest.mark.parametrize(
    ("channel", "kind"),
    [*zip(TO_SERVER["Subscribe (Phase 3+)"].message["channel"].split("|"), CONSOLE, strict=True)],
)
@pytest.mark.parametrize("block", [TO_SERVER["Subscribe (Phase 3+)"]], ids=str)
def test_a_subscription_brings_its_channel_and_symbols_alone(
    block: Block, running: Running, channel: str, kind: str
) -> None:
    """The block names the four channels that there are, as alternatives."""
    with dial(running, running.url("ws", "/ws")) as socket:
        client = Dialogue(socket)
        client.say(block.text.replace(block.message["channel"], channel))
        client.say(TO_SERVER["Ping"].text)
        client.hear("pong")
        for symbol in ("BTC", "AAPL"):
            trade(running, symbol, PRICES[0])
        message = client.listen(bool)

    assert message["type"] == kind
    assert named(message) <= SYMBOLS
    if kind == "price_update":
        assert named(message) == SYMBOLS


@pytest.mark.parametrize("block", [TO_SERVER["Unsubscribe (Phase 3+)"]], ids=str)
def test_what_is_unsubscribed_comes_no_more(block: Block, running: Running) -> None:
    subscribe = {**TO_SERVER["Subscribe (Phase 3+)"].message, "channel": "price_updates"}
    with dial(running, running.url("ws", "/ws")) as socket:
        client = Dialogue(socket)
        client.say(subscribe)
        client.say(block.text)
        client.say(TO_SERVER["Ping"].text)
        client.hear("pong")
        updates = [client.hear("price_update") for _ in range(2)]

    assert block.message["symbols"] == ["AAPL"]
    assert [named(update) for update in updates] == [{"MSFT"}, {"MSFT"}]


@attrs.frozen
class Early:
    """A client that is there from the beginning; `heard` is what somebody has waited for."""

    client: Dialogue
    heard: list[dict[str, Any]] = attrs.field(factory=list)

    def hear(self, kind: str) -> dict[str, Any]:
        """Give the first message of this type that has something in it; of what tests publish, none."""
        while True:
            for message in self.heard:
                if message["type"] == kind and complete(message) and message.get("price") not in PRICES:
                    return message
            self.heard.append(self.client.listen(bool))


@pytest.fixture(scope="module", autouse=True)
def early(running: Running) -> Iterator[Early]:
    """The market takes its time with signals and trades: it goes by while other tests run."""
    with dial(running, running.url("ws", "/ws"), max_queue=None) as socket:
        client = Dialogue(socket)
        client.say({"type": "ping"})
        client.say("{")
        yield Early(client)


@pytest.mark.parametrize("block", FROM_SERVER, ids=str)
def test_the_messages_from_the_server_have_the_shape_of_the_document(block: Block, early: Early) -> None:
    shown = block.message
    got = early.hear(shown["type"])

    if shown["type"] == "portfolio_update":  # which positions there are is for the market to say
        [position] = shown["data"]["positions"].values()
        shown["data"]["positions"] = dict.fromkeys(got["data"]["positions"], position)
    assert [*shortfalls(shown, got)] == []
    if shown["type"] == "error":
        assert got["error"].startswith(shown["error"])


def complete(message: dict[str, Any]) -> bool:
    """Whether there is something in the message: an account has no positions before its first trade."""
    return message["type"] != "portfolio_update" or bool(message["data"]["positions"])


@pytest.mark.parametrize("block", [VARIABLES], ids=str)
def test_the_variables_are_read(block: Block, as_set: Running) -> None:
    given = dict(text.split("=") for text in block.text.splitlines() if "=" in text)
    told = status(as_set)

    assert given == {
        "WEBSOCKET_ENABLED": str(told["enabled"]).lower(),
        "WEBSOCKET_PING_INTERVAL": str(told["ping_interval"]),
        "WEBSOCKET_PRICE_UPDATE_INTERVAL": str(told["price_update_interval"]),
        "WEBSOCKET_PORTFOLIO_UPDATE_INTERVAL": str(told["portfolio_update_interval"]),
        "WEBSOCKET_MAX_CONNECTIONS": str(told["max_connections"]),
    }


@pytest.mark.parametrize("block", [REQUEST], ids=str)
def test_the_status_tells_who_is_there_and_how_the_streams_are(block: Block, running: Running) -> None:
    assert block.text.split() == ["GET", "/websocket/status"]
    before = status(running)["stream_health"]["price_updates"]["last_update"]
    with dial(running, running.url("ws", "/ws?client_id=one")) as socket:
        client = Dialogue(socket)
        for _ in range(2):  # the first may tell what was there before
            client.hear("price_update")
        told = status(running)

    assert "one" in told["clients"]
    assert told["active_connections"] >= 1
    assert told["stream_health"]["price_updates"]["last_update"] > before


@pytest.mark.parametrize("block", [RESPONSE], ids=str)
def test_the_status_has_the_shape_and_the_figures_of_the_document(block: Block, as_set: Running) -> None:
    deadline = time.monotonic() + PATIENCE
    shown = block.message
    while [*shortfalls(shown, told := status(as_set))] and time.monotonic() < deadline:
        trade(as_set, "AAPL", PRICES[0])  # before the first signal, there is no time of the last

    assert [*shortfalls(shown, told)] == []
    for figure in (
        "enabled",
        "max_connections",
        "ping_interval",
        "price_update_interval",
        "portfolio_update_interval",
    ):
        assert told[figure] == shown[figure]


SCRIPTS = blocks(NAME, "javascript")


@pytest.fixture(scope="module", autouse=True)
def in_the_background(
    running: Running, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[Block, Future[None]]]:
    """What the client sees in Node."""
    folder = tmp_path_factory.mktemp("in-node")
    see = partial(see_everything_and_come_back, running=running)
    with in_node(see, SCRIPTS, folder=folder, certificate=running.certificate) as seen:
        yield seen


@pytest.mark.parametrize("block", SCRIPTS, ids=str)
def test_the_javascript_client_sees_everything_and_comes_back(
    block: Block, stage: Stage, running: Running, in_the_background: Mapping[Block, Future[None]]
) -> None:
    if stage.engine == "node":
        in_the_background[block].result()
    else:
        see_everything_and_come_back(block, stage, running=running)


def see_everything_and_come_back(block: Block, stage: Stage, *, running: Running) -> None:
    example = stage.run(block.here(running.addresses[PLAIN].partition("://")[2]))
    example.hear(says("WebSocket connected"))
    example.do("client.ping()")  # of itself it does so after half a minute
    example.hear(says("Pong received"))
    for price in PRICES:
        trade(running, "AAPL", price)
    for pattern in CONSOLE.values():
        example.hear_different(line(pattern))
    example.hear(says("Signal: BUY AAPL @ $150.25 (confidence: 0.85)"))
    example.hear(says("Trade: BUY 10 AAPL @ $150.5"))

    example.do("client.disconnect()")
    example.hear(says("WebSocket disconnected"))
    example.hear(says("WebSocket connected"), times=2)
    prices = len(example.hear(line(CONSOLE["price_update"])))
    example.hear(line(CONSOLE["price_update"]), times=prices + 1)
    assert example.complaints() == []
