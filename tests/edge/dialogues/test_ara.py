"""The conversation of the ara dialect on each of its paths, with real clients."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import pytest
import trio
from structlog.testing import capture_logs

from appliance.api import Event
from appliance.core.history import Retention
from appliance.dialects import ara
from appliance.edge.words import Words
from appliance.settings.fields import Seconds
from appliance.settings.tree import HeartbeatSettings
from tests.edge.clients import SHORT, with_little_room
from tests.edge.stage import KEY, PREDICTIONS, Stage, configuration, playing, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tests.edge.stage import Client

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
BTC = "/ws/predictions/BTC"


class Prediction(msgspec.Struct):
    predicted_price: float


def without_time(message: dict[str, Any]) -> dict[str, Any]:
    """Give what a message says beside the time, which each has."""
    assert MOMENT.fullmatch(message.pop("timestamp"))
    return message


async def hears_nothing_more(client: Client) -> None:
    """See that what the client says now is answered next."""
    await client.say(type="ping")
    assert await client.hear() == {"type": "pong"}


def opened_for_all(stage: Stage) -> None:
    """Let any symbol have predictions, as where applications publish them."""
    stage.hub.open(attrs.evolve(PREDICTIONS, topics=(), open=True), None, Retention(100, None, 1_000_000))


# --- Coming. ---


@pytest.mark.parametrize(
    ("target", "channel", "symbol"),
    [
        (BTC, "predictions", {"symbol": "BTC"}),
        ("/ws/predictions/btc?x=y", "predictions", {"symbol": "BTC"}),
        ("/ws/market-data/ETH", "market-data", {"symbol": "ETH"}),
        ("/ws/alerts", "alerts", {}),
    ],
)
async def test_who_comes_is_told_where_it_is(
    stage: Stage, target: str, channel: str, symbol: dict[str, str]
) -> None:
    stage.publish("predictions", "BTC", predicted_price=1)
    stage.publish("price", "ETH", price=2)
    async with stage.client(target=target) as first, stage.client(target=target) as second:
        connected = [without_time(await client.hear()) for client in (first, second)]
        assert len({told.pop("connection_id") for told in connected}) == 2
        for told in connected:
            assert told.pop("message")
            assert told == {"type": "connected", "channel": channel, **symbol}


async def test_the_newest_comes_first_and_then_every_newer_one(stage: Stage) -> None:
    for price in (1, 2):
        stage.publish("predictions", "BTC", predicted_price=price)
    async with stage.client(target="/ws/predictions/btc") as client:
        await client.hear_of("connected")
        for price in (2, 3, 4):
            assert without_time(await client.hear()) == {
                "type": "prediction_update",
                "symbol": "BTC",
                "data": {"predicted_price": price},
            }
            stage.publish("predictions", "ETH", predicted_price=0)
            stage.publish("predictions", "BTC", predicted_price=price + 1)


async def test_market_data_are_prices(stage: Stage) -> None:
    async with stage.client(target="/ws/market-data/btc") as client:
        await client.hear_of("connected")
        stage.publish("price", "BTC", price=1, volume=2)
        assert without_time(await client.hear()) == {
            "type": "market_data_update",
            "symbol": "BTC",
            "data": {"price": 1, "volume": 2},
        }


async def test_an_update_has_the_time_of_its_event(stage: Stage) -> None:
    async with stage.client(target=BTC) as client:
        await client.hear_of("connected")
        stage.hub.publish(Event("predictions", "BTC", {}, 1_700_000_000.25), time.time())
        assert (await client.hear())["timestamp"] == "2023-11-14T22:13:20.250Z"


async def test_an_unknown_symbol_is_told_and_the_session_stays(stage: Stage) -> None:
    async with stage.client(target="/ws/predictions/nowhere") as client:
        assert (await client.hear())["symbol"] == "NOWHERE"
        assert without_time(await client.hear()) == {"type": "error", "message": "Unknown symbol: NOWHERE"}
        await client.say(type="subscribe", symbol="btc")
        assert without_time(await client.hear()) == {"type": "subscribed", "symbol": "BTC"}
        stage.publish("predictions", "BTC", predicted_price=1)
        assert (await client.hear())["type"] == "prediction_update"
    assert stage.errors == {"INVALID_CHANNEL": 1}


async def test_an_unknown_symbol_is_not_known_the_second_time(stage: Stage) -> None:
    async with stage.client(target="/ws/predictions/SOL") as client:
        await client.hear_of("error")
        await client.say(type="subscribe", symbol="SOL")
        assert (await client.hear())["message"] == "Unknown symbol: SOL"
        stage.publish("predictions", "SOL", predicted_price=1)
        await client.say(type="subscribe", symbol="SOL")
        assert (await client.hear())["type"] == "subscribed"
        assert (await client.hear())["data"] == {"predicted_price": 1}


# --- Who it is. ---


@pytest.mark.parametrize("target", [BTC, "/ws/market-data/BTC", "/ws/alerts"])
@pytest.mark.parametrize("auth", ["optional", "required", "none"])
async def test_a_good_token_lets_in(target: str, auth: str) -> None:
    async with (
        playing(configuration(auth=auth)) as stage,
        stage.client(None, target=f"{target}?token={KEY}") as client,
    ):
        assert (await client.hear())["type"] == "connected"
        await hears_nothing_more(client)


@pytest.mark.parametrize("target", [BTC, "/ws/alerts"])
async def test_a_token_may_be_left_out_where_that_is_allowed(target: str) -> None:
    for auth in ("optional", "none"):
        async with playing(configuration(auth=auth)) as stage, stage.client(None, target=target) as client:
            assert (await client.hear())["type"] == "connected"


@pytest.mark.parametrize(
    ("auth", "query", "code", "says"),
    [
        ("optional", "?token=sk_wrong", "INVALID_TOKEN", "the credential is not known"),
        ("required", "?token=sk_wrong", "INVALID_TOKEN", "the credential is not known"),
        ("required", "", "UNAUTHORIZED", "show an API key"),
    ],
)
async def test_who_is_not_let_in_is_told_why(auth: str, query: str, code: str, says: str) -> None:
    async with playing(configuration(auth=auth)) as stage:
        stage.publish("predictions", "BTC", predicted_price=1)
        async with stage.client(None, target=BTC + query) as client:
            error = without_time(await client.hear())
            assert error.keys() == {"type", "message"}
            assert error["type"] == "error"
            assert says in error["message"]
            assert await client.close_frame() == (1008, code)
        assert stage.errors == {code: 1}


async def test_no_token_can_come_by_a_message(stage: Stage) -> None:
    async with stage.client(target=BTC) as client:
        await client.hear_of("connected")
        await client.say(type="auth", token=KEY)
        assert (await client.hear())["message"] == "Unknown message type: auth"


# --- Another symbol. ---


async def test_the_answer_comes_before_the_new_symbol_and_the_old_one_stops(stage: Stage) -> None:
    stage.publish("predictions", "BTC", predicted_price=1)
    stage.publish("predictions", "ETH", predicted_price=10)
    async with stage.client(target=BTC) as client:
        assert [(await client.hear())["type"] for _ in range(2)] == ["connected", "prediction_update"]
        await client.say(type="subscribe", symbol="eth")
        assert without_time(await client.hear()) == {"type": "subscribed", "symbol": "ETH"}
        assert without_time(await client.hear()) == {
            "type": "prediction_update",
            "symbol": "ETH",
            "data": {"predicted_price": 10},
        }
        stage.publish("predictions", "BTC", predicted_price=2)
        stage.publish("predictions", "ETH", predicted_price=11)
        assert (await client.hear())["data"] == {"predicted_price": 11}
        (session,) = stage.around.sessions
        assert session.details.items() >= {"channel": "predictions", "symbol": "ETH"}.items()


async def test_an_unknown_symbol_leaves_everything_as_it_is(stage: Stage) -> None:
    async with stage.client(target=BTC) as client:
        await client.hear_of("connected")
        await client.say(type="subscribe", symbol="nowhere")
        assert (await client.hear())["message"] == "Unknown symbol: NOWHERE"
        stage.publish("predictions", "BTC", predicted_price=1)
        assert (await client.hear())["symbol"] == "BTC"


async def test_the_same_symbol_is_confirmed_and_nothing_comes_twice(stage: Stage) -> None:
    stage.publish("predictions", "BTC", predicted_price=1)
    async with stage.client(target=BTC) as client:
        await client.hear_of("prediction_update")
        await client.say(type="subscribe", symbol="BTC")
        assert (await client.hear())["type"] == "subscribed"
        await hears_nothing_more(client)


async def test_a_symbol_that_only_clients_have_named_goes_with_them(stage: Stage) -> None:
    opened_for_all(stage)
    async with stage.client(target="/ws/predictions/new") as client:
        await client.hear_of("connected")
        await client.say(type="subscribe", symbol="other")
        await client.hear_of("subscribed")
        assert stage.hub.known("predictions:NEW") is None
        assert stage.hub.known("predictions:OTHER") is not None
    await until(lambda: stage.hub.known("predictions:OTHER") is None)


# --- A prediction now. ---


def answering(
    stage: Stage,
    maker: Callable[[str], Awaitable[Mapping[str, Any] | None]],
    schema: type | None = Prediction,
) -> None:
    stage.around.answers.add(attrs.evolve(PREDICTIONS, schema=schema), maker)


async def request(client: Client, **more: str) -> dict[str, Any]:
    """Ask for a prediction, see that this is confirmed, and give the answer."""
    await client.say(type="request_prediction", **more)
    confirmed = without_time(await client.hear())
    assert confirmed.pop("message")
    assert confirmed.pop("symbol") == more.get("symbol", "BTC").upper()
    assert confirmed == {"type": "prediction_requested", "status": "processing"}
    return without_time(await client.hear())


async def test_a_prediction_is_made_now_where_the_channel_can(stage: Stage) -> None:
    asked: list[str] = []

    async def maker(key: str) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        asked.append(key)
        return {"predicted_price": 100 + len(asked)}

    answering(stage, maker)
    stage.publish("predictions", "BTC", predicted_price=1)
    async with stage.client(target=BTC) as client, stage.client(target=BTC) as other:
        for each in (client, other):
            await each.hear_of("prediction_update")
        assert await request(client) == {
            "type": "prediction_update",
            "symbol": "BTC",
            "data": {"predicted_price": 101},
        }
        assert (await request(client, symbol="eth"))["symbol"] == "ETH"
        assert asked == ["BTC", "ETH"]
        for each in (client, other):  # it was for the one alone, and moves nobody
            await hears_nothing_more(each)
        stage.publish("predictions", "BTC", predicted_price=2)
        assert (await client.hear())["data"] == {"predicted_price": 2}


async def slow(_key: str) -> dict[str, Any]:
    await trio.sleep_forever()
    raise AssertionError


async def broken(_key: str) -> dict[str, Any]:
    await trio.lowlevel.checkpoint()
    raise OSError("the model is away")


async def leaving(_key: str) -> dict[str, Any]:
    await trio.lowlevel.checkpoint()
    raise SystemExit


async def misfit(_key: str) -> dict[str, Any]:
    await trio.lowlevel.checkpoint()
    return {"predicted_price": "much"}


async def without_one(_key: str) -> None:
    await trio.lowlevel.checkpoint()


FAILING = {
    "slow": (slow, "no answer in time, the newest event is given"),
    "broken": (broken, "no answer, the newest event is given"),
    "leaving": (leaving, "no answer, the newest event is given"),
    "misfit": (misfit, "no answer, the newest event is given"),
    "without one": (without_one, None),
}


@pytest.mark.parametrize(("maker", "logged"), FAILING.values(), ids=FAILING.keys())
async def test_else_the_newest_is_given(
    maker: Callable[[str], Awaitable[Mapping[str, Any] | None]], logged: str | None
) -> None:
    async with playing(configuration(limits={"answer": SHORT})) as stage:
        answering(stage, maker)
        stage.publish("predictions", "BTC", predicted_price=1)
        async with stage.client(target=BTC) as client:
            await client.hear_of("prediction_update")
            with capture_logs() as log:
                assert (await request(client))["data"] == {"predicted_price": 1}
                assert [line["event"] for line in log] == ([] if logged is None else [logged])
            await hears_nothing_more(client)


async def test_the_newest_is_given_where_the_channel_makes_none(stage: Stage) -> None:
    stage.publish("predictions", "ETH", predicted_price=1)
    async with stage.client(target=BTC) as client:
        await client.hear_of("connected")
        assert (await request(client, symbol="eth"))["data"] == {"predicted_price": 1}


async def test_where_there_is_nothing_that_is_told(stage: Stage) -> None:
    async with stage.client(target=BTC) as client:
        await client.hear_of("connected")
        assert await request(client) == {"type": "error", "message": "No prediction available for BTC"}
        await hears_nothing_more(client)


async def test_of_an_unknown_symbol_none_is_made(stage: Stage) -> None:
    async with stage.client(target=BTC) as client:
        await client.hear_of("connected")
        await client.say(type="request_prediction", symbol="nowhere")
        assert (await client.hear())["message"] == "Unknown symbol: NOWHERE"


async def test_several_may_ask_for_a_symbol_that_is_not_there_yet(stage: Stage) -> None:
    opened_for_all(stage)
    answers = trio.Event()

    async def maker(_key: str) -> None:
        await answers.wait()

    answering(stage, maker)
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(stage.client(target=BTC)) for _ in range(3)]
        for client in clients:
            await client.say(type="request_prediction", symbol="NEW")
            await client.hear_of("prediction_requested")
        answers.set()
        for client in clients:
            assert (await client.hear())["message"] == "No prediction available for NEW"
            await hears_nothing_more(client)
    await until(lambda: stage.hub.known("predictions:NEW") is None)


async def test_events_go_on_while_a_prediction_is_made(stage: Stage) -> None:
    answers = trio.Event()

    async def maker(_key: str) -> dict[str, Any]:
        await answers.wait()
        return {"predicted_price": 100}

    answering(stage, maker)
    async with stage.client(target=BTC) as client:
        await client.hear_of("connected")
        await client.say(type="request_prediction")
        await client.hear_of("prediction_requested")
        stage.publish("predictions", "BTC", predicted_price=1)
        assert (await client.hear())["data"] == {"predicted_price": 1}
        answers.set()
        assert (await client.hear())["data"] == {"predicted_price": 100}


# --- Alerts. ---

ALERT: dict[str, Any] = {
    "type": "price_alert",
    "symbol": "AAPL",
    "message": "Price exceeded $150",
    "severity": "high",
}


async def configure(client: Client, **config: Any) -> dict[str, Any]:
    await client.say(type="configure_alerts", config=config)
    told = without_time(await client.hear())
    assert told.pop("type") == "alerts_configured"
    applies: dict[str, Any] = told.pop("config")
    assert told == {}
    return applies


async def test_alerts_come_from_now_on(stage: Stage) -> None:
    stage.publish("alerts", "all", **{**ALERT, "message": "before"})
    async with stage.client(target="/ws/alerts") as client:
        await client.hear_of("connected")
        for _ in range(2):
            stage.publish("alerts", "all", **ALERT)
            assert without_time(await client.hear()) == {"type": "alert", "data": ALERT}


async def test_what_is_configured_is_applied_to_the_one_session(stage: Stage) -> None:
    async with stage.client(target="/ws/alerts") as picky, stage.client(target="/ws/alerts") as any_:
        for client in (picky, any_):
            await client.hear_of("connected")
        assert await configure(picky, symbols=["aapl"], types=["price_alert"], severity="HIGH") == {
            "symbols": ["AAPL"],
            "types": ["price_alert"],
            "min_severity": "high",
        }
        wanted = [ALERT, {**ALERT, "severity": "critical"}, {**ALERT, "symbol": "aapl", "more": [1]}]
        others: list[dict[str, Any]] = [
            {**ALERT, "symbol": "MSFT"},
            {**ALERT, "severity": "medium"},
            {**ALERT, "type": "volume"},
            {"message": "of nothing in particular"},
        ]
        for alert in (*others, *wanted):
            stage.publish("alerts", "all", **alert)
        assert [(await picky.hear())["data"] for _ in wanted] == wanted
        assert [(await any_.hear())["data"] for _ in (*others, *wanted)] == [*others, *wanted]

        assert (await configure(picky))["symbols"] == []  # any again
        stage.publish("alerts", "all", **others[0])
        assert (await picky.hear())["data"] == others[0]


@pytest.mark.parametrize(
    "config", [{"symbols": "AAPL"}, {"severity": "dreadful"}, {"symbol": ["AAPL"]}, {"types": [1]}]
)
async def test_a_bad_configuration_leaves_the_one_before(stage: Stage, config: dict[str, Any]) -> None:
    async with stage.client(target="/ws/alerts") as client:
        await client.hear_of("connected")
        await configure(client, symbols=["AAPL"])
        await client.say(type="configure_alerts", config=config)
        assert (await client.hear())["type"] == "error"
        stage.publish("alerts", "all", **{**ALERT, "symbol": "MSFT"})
        stage.publish("alerts", "all", **ALERT)
        assert (await client.hear())["data"] == ALERT


async def test_who_wants_the_same_shares_one_rendering(stage: Stage) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(stage.client(target="/ws/alerts")) for _ in range(4)]
        for client in clients:
            await client.hear_of("connected")
        await configure(clients[0], symbols=["AAPL", "MSFT"], severity="low")
        await configure(clients[1], symbols=["msft", "aapl"], types=[], min_severity="low")
        await configure(clients[2], symbols=["AAPL"])
        same = ara.AlertConfig(symbols=["AAPL", "MSFT"], min_severity=ara.Severity.LOW)
        form = Words(ara.alert, (same,))
        topic = stage.hub.topic("alerts:all")
        audience = stage.hub.join(
            topic, "looking on", _Nowhere(), form=form, label=topic.name, conflated=False
        )
        assert len(audience.outlets) == 3
        stage.hub.leave(audience, "looking on")


class _Nowhere:
    def offer(self, topic: object, offset: int, frame: bytes) -> None: ...


async def test_symbols_have_no_part_in_alerts(stage: Stage) -> None:
    async with stage.client(target="/ws/alerts") as client:
        await client.hear_of("connected")
        for kind in ("subscribe", "request_prediction"):
            await client.say(type=kind, symbol="BTC")
            assert (await client.hear())["message"] == f"Unknown message type: {kind}"
        stage.publish("alerts", "all", **ALERT)
        assert (await client.hear())["type"] == "alert"


# --- What it may not say. ---


@pytest.mark.parametrize("target", [BTC, "/ws/market-data/BTC", "/ws/alerts"])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello", "Invalid JSON format"),
        ("", "Invalid JSON format"),
        ('{"type": "dance"}', "Unknown message type: dance"),
        ("[1]", "A message is a JSON object"),
        (b'{"type": "ping"}', "Messages are JSON texts"),
        ('{"type": ' + "[" * 20_000, "nested too deeply"),
    ],
    ids=["no JSON", "nothing", "unknown type", "no object", "binary", "deep nesting"],
)
async def test_a_bad_message_is_told_and_the_session_goes_on(
    stage: Stage, target: str, text: str | bytes, says: str
) -> None:
    async with stage.client(target=target) as client:
        await client.hear_of("connected")
        await client.socket.send_message(text)
        error = without_time(await client.hear())
        assert error["type"] == "error"
        assert says in error["message"]
        await hears_nothing_more(client)
    assert stage.errors == {"INVALID_MESSAGE": 1}


async def test_too_many_messages_are_told() -> None:
    settings = configuration(limits={"messages_per_minute": 2})
    async with playing(settings) as stage, stage.client(target=BTC) as client:
        await client.hear_of("connected")
        for _ in range(2):
            await hears_nothing_more(client)
        await client.say(type="ping")
        assert "limits.messages_per_minute" in (await client.hear_of("error"))["message"]


# --- Those that are silent. ---


@pytest.mark.parametrize("target", [BTC, "/ws/alerts"])
async def test_a_silent_client_is_asked_in_words_and_dropped(target: str) -> None:
    heartbeat = HeartbeatSettings(interval=Seconds(SHORT), timeout=Seconds(SHORT))
    async with (
        playing(configuration(heartbeat=heartbeat)) as stage,
        stage.client(target=target) as silent,
        stage.client(target=target) as honest,
        trio.open_nursery() as nursery,  # ends with the test
    ):

        async def answer() -> None:
            while True:
                await honest.hear_of("ping")
                await honest.say(type="pong")

        nursery.start_soon(answer)
        await silent.hear_of("connected")
        assert without_time(await silent.hear()) == {"type": "ping"}
        assert await silent.close_frame() == (1001, "no sign of life")
        await until(lambda: stage.around.admission.sessions == 1)
        nursery.cancel_scope.cancel()
    assert stage.errors == {}


async def test_a_slow_client_of_alerts_is_told_and_ended() -> None:
    limits = {"stalled": SHORT, "unsent": 4_096, "goodbye": SHORT}
    async with (
        playing(configuration(limits=limits)) as stage,
        with_little_room(stage, "/ws/alerts", {"type": "ping"}, "pong"),
    ):
        while not stage.errors:
            stage.publish("alerts", "all", **ALERT, filler="x" * 50_000)
            await trio.sleep(0.005)
        assert stage.errors == {"SLOW_CLIENT": 1}
        await until(lambda: stage.around.admission.sessions == 0)
