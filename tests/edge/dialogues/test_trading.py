"""The conversation of the trading dialect, with real clients."""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
from structlog.testing import capture_logs

from appliance.settings.fields import Seconds
from appliance.settings.tree import TradingSettings
from tests.bench.load_frames import FrameReader, Opcode, client_frame
from tests.edge.clients import SHORT, is_served, read_messages, with_little_room
from tests.edge.stage import KEY, PATIENCE, Client, Stage, configuration, playing, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.settings.tree import Settings

PATH = "/trading"
SIGNAL = {"signal_type": "BUY", "symbol": "AAPL", "price": 150.25, "quantity": 10, "confidence": 0.85}
TRADE = {"symbol": "AAPL", "side": "BUY", "quantity": 10, "price": 150.25}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
CHANNELS = ("price_updates", "signals", "trades", "portfolio")


def without_time(message: dict[str, Any]) -> dict[str, Any]:
    assert MOMENT.fullmatch(message.pop("timestamp"))
    return message


def at_intervals(price: float, portfolio: float, **listen: Any) -> Settings:
    trading = TradingSettings(price_interval=Seconds(price), portfolio_interval=Seconds(portfolio))
    return attrs.evolve(configuration(**listen), trading=trading)


def hold(stage: Stage, account: str = "paper", **quantities: float) -> None:
    """Let an account hold so much of each symbol."""
    positions = {symbol: {"symbol": symbol, "quantity": held} for symbol, held in quantities.items()}
    stage.publish("portfolio", account, positions=positions, total_pnl=sum(quantities.values()))


async def prices(client: Client) -> dict[str, float]:
    """Give the next `price_update`, as prices by symbol."""
    message = without_time(await client.hear_of("price_update"))
    assert message.keys() == {"type", "symbols"}
    return {symbol: told["price"] for symbol, told in message["symbols"].items()}


async def is_told_nothing_more(client: Client) -> None:
    await client.say(type="ping")
    assert await client.hear() == {"type": "pong"}


# --- Everything, unasked. ---


async def test_who_says_nothing_is_told_everything(stage: Stage) -> None:
    stage.publish("price", "AAPL", price=150.25, change=0.5, sentiment="fine")
    stage.publish("price", "MSFT", price=380.5)
    hold(stage, AAPL=10)
    async with stage.client(target=PATH) as client:
        first = {(await client.hear())["type"] for _ in range(2)}
        assert first == {"price_update", "portfolio_update"}
        stage.publish("signals", "all", **SIGNAL, id="s1")
        assert without_time(await client.hear()) == {"type": "signal", **SIGNAL}
        stage.publish("trades", "all", **TRADE, id="t1")
        assert without_time(await client.hear()) == {"type": "trade_executed", **TRADE}
        stage.publish("price", "AAPL", price=151, change=1.25, sentiment="fine")
        assert without_time(await client.hear()) == {
            "type": "price_update",
            "symbols": {"AAPL": {"price": 151, "change": 1.25}},
        }
        hold(stage, AAPL=20)
        assert without_time(await client.hear()) == {
            "type": "portfolio_update",
            "channel": "portfolio",
            "data": {
                "positions": {"AAPL": {"symbol": "AAPL", "quantity": 20}},
                "total_pnl": 20,
                "position_count": 1,
            },
        }


async def test_what_happened_before_is_only_told_as_values(stage: Stage) -> None:
    stage.publish("signals", "all", **SIGNAL)
    stage.publish("trades", "all", **TRADE)
    for price in (1, 2, 3):
        stage.publish("price", "AAPL", price=price)
    async with stage.client(target=PATH) as client:
        assert await prices(client) == {"AAPL": 3}
        await is_told_nothing_more(client)


async def test_a_topic_that_is_new_is_told_too(stage: Stage) -> None:
    async with stage.client(target=PATH) as client:
        await is_told_nothing_more(client)
        stage.publish("price", "NEW", price=1)
        assert await prices(client) == {"NEW": 1}
        hold(stage, "live", AAPL=1)
        assert (await client.hear_of("portfolio_update"))["data"]["total_pnl"] == 1


# --- Once an interval. ---


async def test_what_changed_in_an_interval_comes_in_one_message() -> None:
    async with playing(at_intervals(0.2, 3_600.0)) as stage, stage.client(target=PATH) as client:
        stage.publish("price", "AAPL", price=0)
        await prices(client)
        started = trio.current_time()
        told: list[dict[str, float]] = []
        published = 0
        while len(told) < 4:
            with trio.move_on_after(0.01):
                told.append(await prices(client))
                continue
            published += 1
            stage.publish("price", "AAPL", price=published)
            if not published % 2:
                stage.publish("price", "MSFT", price=published)
        # So many intervals have passed at least; a busy machine may let more pass.
        assert trio.current_time() - started >= 0.2 * 4 - 0.1
        assert published > len(told)
        for symbol in ("AAPL", "MSFT"):
            seen = [update[symbol] for update in told if symbol in update]
            assert seen == sorted(set(seen))


async def test_what_did_not_change_is_not_told_again(stage: Stage) -> None:
    stage.publish("price", "AAPL", price=1)
    async with stage.client(target=PATH) as client:
        assert await prices(client) == {"AAPL": 1}
        for price in (1, 2):
            stage.publish("price", "AAPL", price=1, sentiment=price)  # of which this dialect says nothing
            stage.publish("price", "MSFT", price=price)
            assert await prices(client) == {"MSFT": price}


async def test_each_interval_is_its_own_setting() -> None:
    async with playing(at_intervals(3_600.0, 0.05)) as stage, stage.client(target=PATH) as client:
        for quantity in (1, 2):
            stage.publish("price", "AAPL", price=quantity)
            hold(stage, AAPL=quantity)
            message = await client.hear()
            assert (message["type"], message["data"]["total_pnl"]) == ("portfolio_update", quantity)


# --- What is chosen. ---


async def test_the_first_choice_replaces_everything(stage: Stage) -> None:
    async with stage.client(target=PATH) as client:
        await client.say(type="subscribe", channel="price_updates", symbols=["AAPL", "MSFT"])
        await is_told_nothing_more(client)
        stage.publish("signals", "all", **SIGNAL)
        stage.publish("trades", "all", **TRADE)
        hold(stage, AAPL=1)
        for place, symbol in enumerate(("AAPL", "BTC", "MSFT")):
            stage.publish("price", symbol, price=place)
        assert (await prices(client)).keys() <= {"AAPL", "MSFT"}
        stage.publish("price", "MSFT", price=9)
        assert (await prices(client))["MSFT"] == 9


async def test_choices_add_up(stage: Stage) -> None:
    async with stage.client(target=PATH) as client:
        await client.say(type="subscribe", channel="signals", symbols=["AAPL"])
        await client.say(type="subscribe", channel="trades")
        await client.say(type="subscribe", channel="signals", symbols=["MSFT"])
        await is_told_nothing_more(client)
        for symbol in ("AAPL", "BTC", "MSFT"):
            stage.publish("signals", "all", **{**SIGNAL, "symbol": symbol})
            stage.publish("trades", "all", **{**TRADE, "symbol": symbol})
        got = [await client.hear() for _ in range(5)]
        assert [(message["type"], message["symbol"]) for message in got] == [
            ("signal", "AAPL"),
            ("trade_executed", "AAPL"),
            ("trade_executed", "BTC"),
            ("signal", "MSFT"),
            ("trade_executed", "MSFT"),
        ]


async def test_what_is_left_is_told_no_more(stage: Stage) -> None:
    async with stage.client(target=PATH) as client:
        await client.say(type="unsubscribe", channel="signals", symbols=["AAPL"])
        await client.say(type="unsubscribe", channel="trades")
        await is_told_nothing_more(client)
        stage.publish("signals", "all", **SIGNAL)
        stage.publish("trades", "all", **TRADE)
        stage.publish("signals", "all", **{**SIGNAL, "symbol": "MSFT"})
        assert (await client.hear())["symbol"] == "MSFT"
        await client.say(type="unsubscribe", channel="price_updates", symbols=["AAPL"])
        await is_told_nothing_more(client)
        stage.publish("price", "AAPL", price=1)
        stage.publish("price", "MSFT", price=2)
        assert await prices(client) == {"MSFT": 2}


@pytest.mark.parametrize("channel", CHANNELS)
async def test_a_channel_may_be_left_and_chosen_again(stage: Stage, channel: str) -> None:
    async with stage.client(target=PATH) as client:
        await client.say(type="unsubscribe", channel=channel)
        await client.say(type="subscribe", channel=channel, symbols=["AAPL"])
        await is_told_nothing_more(client)
        stage.publish("price", "AAPL", price=1)
        stage.publish("signals", "all", **SIGNAL)
        stage.publish("trades", "all", **TRADE)
        hold(stage, AAPL=1, MSFT=2)
        message = await client.hear()
        wanted = ("price_update", "signal", "trade_executed", "portfolio_update")
        assert message["type"] == wanted[CHANNELS.index(channel)]
        if channel == "portfolio":  # the sums are those of the whole account
            assert message["data"]["positions"].keys() == {"AAPL"}
            assert (message["data"]["position_count"], message["data"]["total_pnl"]) == (2, 3)
        await is_told_nothing_more(client)


async def test_who_chooses_the_same_shares_what_is_rendered(stage: Stage) -> None:
    async with stage.client(target=PATH) as first, stage.client(target=PATH) as second:
        for client, symbols in ((first, ["AAPL", "MSFT"]), (second, ["MSFT", "AAPL"])):
            await is_served(client)
            await client.say(type="subscribe", channel="price_updates", symbols=symbols)
            await is_served(client)
        assert len(stage.around.digests) == 1
        await second.say(type="subscribe", channel="price_updates", symbols=["BTC"])
        await is_served(second)
        assert len(stage.around.digests) == 2


async def test_an_appliance_without_a_channel_tells_of_the_others() -> None:
    settings = configuration()
    async with (
        playing(settings, without=("signals", "portfolio")) as stage,
        stage.client(target=PATH) as client,
    ):
        await client.say(type="subscribe", channel="signals")
        await client.say(type="subscribe", channel="price_updates")
        await client.say(type="unsubscribe", channel="signals")
        await is_told_nothing_more(client)
        stage.publish("price", "AAPL", price=1)
        assert await prices(client) == {"AAPL": 1}


# --- Who it is. ---


@pytest.mark.parametrize(("query", "shown"), [("my-client-id", "my-client-id"), ("a%20b%22", 'a b"')])
async def test_a_clients_own_id_is_in_log_and_status(stage: Stage, query: str, shown: str) -> None:
    with capture_logs() as log:
        async with (
            stage.client(target=f"{PATH}?client_id={query}") as client,
            stage.client(target=f"{PATH}?client_id={query}") as twin,
        ):
            for each in (client, twin):
                assert await is_served(each)
            assert [session.details["client_id"] for session in stage.around.sessions] == [shown, shown]
            assert {session.dialect for session in stage.around.sessions} == {"trading"}
        await until(lambda: stage.around.admission.connections == 0)
    lines = [line for line in log if line["event"] != "let in"]
    assert [line["event"] for line in lines] == ["session opened"] * 2 + ["session closed"] * 2
    assert {line["client_id"] for line in lines} == {shown}


async def test_who_gives_no_id_is_given_one(stage: Stage) -> None:
    async with stage.client(target=PATH) as first, stage.client(target=f"{PATH}?client_id=") as second:
        for client in (first, second):
            assert await is_served(client)
        ids = [session.details["client_id"] for session in stage.around.sessions]
    assert len({str(uuid.UUID(each)) for each in ids}) == 2


async def test_a_long_id_is_cut(stage: Stage) -> None:
    async with stage.client(target=f"{PATH}?client_id={'x' * 5_000}") as client:
        assert await is_served(client)
        (session,) = stage.around.sessions
        assert session.details["client_id"] == "x" * 200


async def test_a_key_is_shown_in_the_request_or_never(stage: Stage) -> None:
    stage.publish("price", "AAPL", price=1)
    async with stage.client(None, target=PATH) as client:
        error = without_time(await client.hear())
        assert error == {
            "type": "error",
            "error": "show an API key: `Authorization: Bearer KEY`, or `?token=KEY`",
        }
        assert await client.close_frame() == (1008, "UNAUTHORIZED")
    async with stage.client(None, target=f"{PATH}?token={KEY}") as client:
        assert await is_served(client)
    async with stage.client("sk_wrong", target=PATH) as client:
        assert without_time(await client.hear()) == {"type": "error", "error": "the credential is not known"}
        assert await client.close_frame() == (1008, "INVALID_TOKEN")


# --- What it may not say. ---


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello", "the message is not JSON"),
        ("", "the message is not JSON"),
        ("[1]", "a message is a JSON object"),
        ("{}", "the message has no `type`"),
        ('{"type": "dance"}', "unknown message type 'dance'"),
        ('{"type": "auth", "token": "sk_1"}', "unknown message type 'auth'"),
        ('{"type": "subscribe"}', "malformed subscribe message"),
        ('{"type": "subscribe", "channel": "prices"}', "unknown channel 'prices'"),
        ('{"type": "subscribe", "channels": ["price:BTC"]}', "malformed subscribe message"),
        ('{"type": "subscribe", "channel": "signals", "symbols": "AAPL"}', "malformed subscribe message"),
        (b'{"type": "ping"}', "messages are JSON texts"),
        ('{"type": ' + "[" * 20_000, "nested too deeply"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "binary",
)
async def test_a_bad_message_is_told_and_the_session_goes_on(
    stage: Stage, text: str | bytes, says: str
) -> None:
    async with stage.client(target=PATH) as client:
        await client.socket.send_message(text)
        error = without_time(await client.hear())
        assert error.keys() == {"type", "error"}
        assert error["type"] == "error"
        assert error["error"].startswith("Invalid message format: ")
        assert says in error["error"]
        assert await is_served(client)
        stage.publish("signals", "all", **SIGNAL)  # it is subscribed as before
        assert (await client.hear())["type"] == "signal"
    assert stage.errors == {"INVALID_MESSAGE": 1}


async def test_too_many_messages_are_told() -> None:
    settings = configuration(limits={"messages_per_minute": 1})
    async with playing(settings) as stage, stage.client(target=PATH) as client:
        assert await is_served(client)
        await client.say(type="ping")
        error = without_time(await client.hear())
        assert error == {
            "type": "error",
            "error": "At most 1 messages a minute (limits.messages_per_minute)",
        }


# --- Those that cannot keep up. ---


async def fill(stage: Stage, count: int) -> None:
    """Publish more signals than the sockets between hold."""
    for number in range(count):
        stage.publish("signals", "all", **{**SIGNAL, "quantity": number, "signal_type": "x" * 50_000})
        await trio.lowlevel.checkpoint()


async def read_until(
    stream: trio.SocketStream, last: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    """Read messages up to the one that is the last."""
    reader = FrameReader()
    messages: list[dict[str, Any]] = []
    with trio.fail_after(PATIENCE):
        while not messages or not last(messages[-1]):
            for _, payload in reader.feed(bytes(await stream.receive_some(65_536))):
                messages.append(json.loads(payload))
    return messages


async def test_who_falls_behind_misses_no_signal_and_is_told_the_newest_price_once() -> None:
    async with (
        playing(configuration(limits={"unsent": 4_096})) as stage,
        with_little_room(stage, PATH, {"type": "ping"}, "pong") as stream,
        stage.client(target=PATH) as honest,
    ):
        await is_served(honest)
        await fill(stage, 60)
        for price in range(1, 4):
            stage.publish("price", "AAPL", price=price)
            assert await prices(honest) == {"AAPL": price}
        *signals, update = await read_until(stream, lambda message: message["type"] == "price_update")
        assert [signal["quantity"] for signal in signals] == list(range(60))
        assert update["symbols"] == {"AAPL": {"price": 3}}


async def test_a_choice_made_amid_what_is_owed_loses_nothing_of_it() -> None:
    async with (
        playing(configuration(limits={"unsent": 4_096})) as stage,
        with_little_room(stage, PATH, {"type": "ping"}, "pong") as stream,
    ):
        await fill(stage, 60)
        choice = {"type": "subscribe", "channel": "signals", "symbols": ["AAPL"]}
        await stream.send_all(client_frame(Opcode.TEXT, json.dumps(choice).encode()))
        await until(lambda: stage.traffic.received_messages == 2)
        stage.publish("signals", "all", **{**SIGNAL, "symbol": "MSFT"})
        stage.publish("signals", "all", **{**SIGNAL, "quantity": 60})
        signals = await read_until(stream, lambda message: message["quantity"] == 60)
        assert [signal["quantity"] for signal in signals] == list(range(61))


async def test_a_client_that_takes_nothing_is_told_in_its_words_and_ended() -> None:
    limits = {"stalled": SHORT, "unsent": 4_096, "goodbye": SHORT}
    async with (
        playing(configuration(limits=limits)) as stage,
        with_little_room(stage, PATH, {"type": "ping"}, "pong") as stream,
    ):
        while not stage.errors:
            await fill(stage, 1)
            await trio.sleep(0.005)
        messages, closed = await read_messages(stream)
        error = without_time(messages[-1])
        assert error == {
            "type": "error",
            "error": "the socket accepted nothing for 0.2 s (limits.stalled)",
        }
        assert closed == (1008, "SLOW_CLIENT")
        await until(lambda: len(stage.around.digests) == 0)
