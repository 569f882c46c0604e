"""The conversation on a path that two dialects share, with real clients; `test_switching` has all that they may say."""

from __future__ import annotations

import attrs
import pytest
import trio.testing
from structlog.testing import capture_logs

from appliance.settings.fields import Seconds
from appliance.settings.tree import TradingSettings
from tests.edge.clients import is_sent_off, is_served, subscription
from tests.edge.stage import KEY, Stage, configuration, playing, until

PATH = "/shared"
SIGNAL = {"symbol": "AAPL", "signal_type": "BUY", "price": 1}


async def test_who_says_nothing_is_a_trading_client(stage: Stage) -> None:
    async with stage.client(target=f"{PATH}?client_id=c1") as client:
        assert await is_served(client)
        stage.publish("signals", "all", **SIGNAL)
        assert (await client.hear())["type"] == "signal"
        (session,) = stage.around.sessions
        assert (session.dialect, dict(session.details)) == ("trading", {"client_id": "c1"})


async def test_prices_wait_until_who_has_said_nothing_had_the_time_to_say_whose_it_is(
    mock_clock: trio.testing.MockClock,
) -> None:
    trading = TradingSettings(
        price_interval=Seconds(4.0), portfolio_interval=Seconds(3600.0), lull=Seconds(1.0)
    )
    settings = attrs.evolve(configuration(), trading=trading)
    async with playing(settings) as stage, stage.client(target=PATH) as first:
        assert await is_served(first)
        stage.publish("price", "AAPL", price=1)
        mock_clock.jump(2.9)
        async with stage.client(target=PATH) as second:
            assert await is_served(second)
            mock_clock.jump(0.5)
            async with stage.client(target=PATH) as third:
                assert await is_served(third)  # which says of none whose it is
                mock_clock.jump(0.6)
                for client in (first, second):
                    assert (await client.hear())["symbols"]["AAPL"]["price"] == 1
                stage.publish("signals", "all", **SIGNAL)
                assert (await third.hear())["type"] == "signal"  # at once
                stage.publish("price", "AAPL", price=2)
                mock_clock.jump(4.0)
                assert (await third.hear())["symbols"]["AAPL"]["price"] == 2


async def test_what_only_cryptointel_says_turns_the_session(stage: Stage) -> None:
    stage.publish("price", "AAPL", price=1)
    async with stage.client(target=PATH) as client:
        assert await is_served(client)
        await client.say(**subscription("signals:all"))
        assert (await client.hear())["type"] == "subscribed"
        stage.publish("signals", "all", **SIGNAL)
        assert (await client.hear()).items() >= {"type": "signal_alert", "channel": "signals:all"}.items()
        (session,) = stage.around.sessions
        assert (session.dialect, dict(session.details)) == ("cryptointel", {})
        assert len(stage.around.digests) == 0  # nobody is left whose prices would be gathered


async def test_the_trading_words_are_errors_of_cryptointel_from_then_on(stage: Stage) -> None:
    async with stage.client(target=PATH) as client:
        await client.say(**subscription("signals:all"))
        await client.hear_of("subscribed")
        await client.say(type="subscribe", channel="price_updates", symbols=["AAPL"])
        error = await client.hear()
        assert (error["type"], error["data"]["code"]) == ("subscription_error", "INVALID_CHANNEL")


async def test_one_of_each_on_one_path_are_told_the_same_in_their_own_words(stage: Stage) -> None:
    async with stage.client(target=PATH) as trading, stage.client(target=PATH) as cryptointel:
        assert await is_served(trading)
        await cryptointel.say(**subscription("signals:all"))
        await cryptointel.hear_of("subscribed")
        for price in range(5):
            stage.publish("signals", "all", **{**SIGNAL, "price": price})
        assert [(await trading.hear())["price"] for _ in range(5)] == list(range(5))
        assert [(await cryptointel.hear())["data"]["price"] for _ in range(5)] == list(range(5))


@pytest.mark.parametrize("target", [f"{PATH}?token={KEY}", PATH])
async def test_a_token_in_the_request_keeps_the_trading_dialect(stage: Stage, target: str) -> None:
    async with stage.client(None if "token" in target else KEY, target=target) as client:
        assert await is_served(client)
        stage.publish("signals", "all", **SIGNAL)
        assert (await client.hear())["type"] == "signal"


async def test_a_token_in_a_message_means_cryptointel(stage: Stage) -> None:
    stage.publish("price", "AAPL", price=1)
    async with stage.client(None, target=PATH) as client:
        await client.say(type="auth", token=KEY)
        assert (await client.hear())["type"] == "authenticated"
        stage.publish("signals", "all", **SIGNAL)
        assert await is_served(client)
        assert len(stage.around.digests) == 0


async def test_nothing_at_all_is_sent_before_there_is_a_token(stage: Stage) -> None:
    async with stage.client(None, target=PATH) as client:
        await until(lambda: len(stage.around.sessions) == 1)
        (session,) = stage.around.sessions
        upgrade = session.sent
        for price in range(10):
            stage.publish("signals", "all", **SIGNAL)
            stage.publish("price", "AAPL", price=price)
        await trio.testing.wait_all_tasks_blocked(0.15)  # longer than an interval of prices
        assert session.sent == upgrade
        await client.say(type="auth", token=KEY)
        assert (await client.hear())["type"] == "authenticated"


async def test_who_shows_none_in_time_is_told_as_a_client_of_cryptointel() -> None:
    async with playing(configuration(auth_timeout=0.1)) as stage, stage.client(None, target=PATH) as client:
        await is_sent_off(client, "UNAUTHORIZED")


async def test_who_is_not_let_in_is_told_in_all_forms_of_it() -> None:
    settings = configuration(limits={"sessions": 1})
    async with (
        playing(settings) as stage,
        stage.client(target=PATH),
        stage.client(target=PATH) as second,
    ):
        error = await second.hear()
        assert error["error"] == error["data"]
        assert error["error"]["code"] == "CONNECTION_FULL"


async def test_where_it_is_optional_a_bad_token_ends_the_session_in_either_way() -> None:
    async with playing(configuration(auth="optional")) as stage:
        async with stage.client("sk_wrong", target=PATH) as client:
            await is_sent_off(client, "INVALID_TOKEN")
        async with stage.client(None, target=PATH) as client:
            assert await is_served(client)
            await client.say(type="auth", token="sk_wrong")
            await is_sent_off(client, "INVALID_TOKEN")


async def test_where_trading_is_not_spoken_the_path_is_cryptointels() -> None:
    settings = attrs.evolve(configuration(), trading=TradingSettings(enabled=False))
    async with playing(settings) as stage, stage.client(target=PATH) as client:
        assert await is_served(client)
        stage.publish("signals", "all", **SIGNAL)
        assert await is_served(client)
        await client.say(type="subscribe", channel="nowhere")
        assert (await client.hear())["type"] == "subscription_error"


async def test_the_log_names_the_dialect_that_was_spoken_last(stage: Stage) -> None:
    with capture_logs() as log:
        async with stage.client(target=f"{PATH}?client_id=c1") as client:
            assert await is_served(client)
            await client.say(**subscription("signals:all"))
            await client.hear_of("subscribed")
        await until(lambda: stage.around.admission.connections == 0)
    _, opened, closed = log  # before it, that somebody was let in
    assert (opened["dialect"], opened["client_id"]) == ("trading", "c1")
    assert (closed["dialect"], "client_id" in closed) == ("cryptointel", False)
