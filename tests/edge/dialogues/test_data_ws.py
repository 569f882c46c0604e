"""The conversation of the data-ws dialect, and how it is refused, with real clients."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio_websocket

from appliance.api import Event
from appliance.core.history import Retention
from appliance.edge.dialogues.data_ws import PATH
from appliance.settings.tree import DataWsSettings
from tests.edge.clients import SHORT
from tests.edge.stage import (
    EXPIRED,
    KEY,
    PREDICTIONS,
    UPGRADE,
    Client,
    Stage,
    configuration,
    playing,
    until,
)

if TYPE_CHECKING:
    from appliance.settings.tree import Settings

COLUMNS = [
    "time",
    "current_price",
    "predicted_1min",
    "predicted_5min",
    "predicted_15min",
    "confidence_1min",
    "confidence_5min",
    "confidence_15min",
    "model_version",
]


async def row(client: Client) -> dict[str, Any]:
    """Give the next message, which is a row and nothing else."""
    message = await client.hear()
    assert list(message) == COLUMNS
    return message


async def price(client: Client) -> float:
    current: float = (await row(client))["current_price"]
    return current


def predict(stage: Stage, symbol: str, current: float, *, at: float | None = None) -> None:
    data = {"current_price": current}
    now = time.time()
    stage.hub.publish(Event("predictions", symbol, data, now if at is None else at), now)


def opened_for_all(stage: Stage) -> None:
    """Let any symbol have predictions, as where applications publish them; none has yet."""
    stage.hub.open(attrs.evolve(PREDICTIONS, topics=(), open=True), None, Retention(100, None, 1_000_000))


def usually(symbol: str, **listen: Any) -> Settings:
    return attrs.evolve(configuration(**listen), data_ws=DataWsSettings(symbol=symbol))


async def has_begun(stage: Stage, count: int = 1) -> None:
    """Wait until so many clients are served: a data-ws client that is given nothing yet cannot tell."""
    await until(lambda: sum(session.dialect == "data-ws" for session in stage.around.sessions) == count)


# --- Rows. ---


async def test_the_newest_row_comes_at_once_and_then_every_newer_one(stage: Stage) -> None:
    predict(stage, "BTC", 1)
    predict(stage, "BTC", 2, at=1_700_000_000.25)
    async with stage.client(target=PATH) as client:
        first = {"time": "2023-11-14T22:13:20.250Z", "current_price": 2}
        assert await row(client) == {**dict.fromkeys(COLUMNS), **first}
        for current in range(3, 13):
            predict(stage, "BTC", current)
            predict(stage, "ETH", 0)
        assert [await price(client) for _ in range(10)] == list(range(3, 13))


async def test_before_there_is_a_row_nothing_comes(stage: Stage) -> None:
    async with stage.client(target=PATH) as client:
        await has_begun(stage)
        predict(stage, "BTC", 1)
        assert await price(client) == 1


@pytest.mark.parametrize("asked", ["ETH", "eth"])
async def test_a_symbol_may_be_asked_for(stage: Stage, asked: str) -> None:
    predict(stage, "BTC", 1)
    predict(stage, "ETH", 2)
    async with stage.client(target=f"{PATH}?symbol={asked}") as client:
        assert await price(client) == 2
        predict(stage, "BTC", 3)
        predict(stage, "ETH", 4)
        assert await price(client) == 4


async def test_no_symbol_asked_for_is_the_usual_one(stage: Stage) -> None:
    predict(stage, "ETH", 2)
    predict(stage, "BTC", 1)
    async with stage.client(target=f"{PATH}?symbol=") as client:
        assert await price(client) == 1


async def test_the_usual_symbol_is_a_setting() -> None:
    async with playing(usually("eth")) as stage:
        predict(stage, "ETH", 2)
        predict(stage, "BTC", 1)
        async with stage.client(target=PATH) as client:
            assert await price(client) == 2


@pytest.mark.parametrize("symbol", ["NOWHERE", "*", "B*", "%00", "%e2%82%ac" * 50, "x" * 300])
async def test_an_unknown_symbol_ends_the_session(stage: Stage, symbol: str) -> None:
    predict(stage, "BTC", 1)
    async with stage.client(target=f"{PATH}?symbol={symbol}") as client:
        with pytest.raises(trio_websocket.ConnectionClosed):
            await client.hear()
        code, reason = await client.close_frame()
        assert code == 1008
        assert reason


async def test_the_newest_of_any_where_that_is_wanted() -> None:
    async with playing(usually("")) as stage:
        predict(stage, "ETH", 1, at=1_000.0)
        predict(stage, "BTC", 2, at=2_000.0)
        predict(stage, "ETH", 3, at=1_500.0)
        async with stage.client(target=PATH) as client:
            assert await price(client) == 2
            predict(stage, "ETH", 4)
            predict(stage, "BTC", 5)
            predict(stage, "ETH", 6)
            assert [await price(client) for _ in range(3)] == [4, 5, 6]


async def test_the_newest_of_any_where_the_usual_one_is_not_there(stage: Stage) -> None:
    opened_for_all(stage)
    predict(stage, "SOL", 1)
    predict(stage, "ADA", 2)
    async with stage.client(target=PATH) as client, stage.client(target=PATH) as second:
        for each in (client, second):
            assert await price(each) == 2
        predict(stage, "SOL", 3)
        predict(stage, "NEW", 4)
        assert [await price(client) for _ in range(2)] == [3, 4]


async def test_once_the_usual_one_is_there_it_is_the_only_one(stage: Stage) -> None:
    """Rows do not say whose they are: those of several symbols are only told where nothing better is."""
    opened_for_all(stage)
    async with stage.client(target=PATH) as client:
        await has_begun(stage)
        predict(stage, "SOL", 1)
        predict(stage, "BTC", 2)
        predict(stage, "SOL", 3)
        predict(stage, "NEW", 4)
        predict(stage, "BTC", 5)
        assert [await price(client) for _ in range(3)] == [1, 2, 5]


async def test_without_any_predictions_the_session_ends() -> None:
    settings = configuration()
    async with playing(settings, without=("predictions",)) as stage, stage.client(target=PATH) as client:
        assert (await client.close_frame())[0] == 1008


# --- Who it is. ---


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def knock(stage: Stage, *lines: str, query: str = "") -> bytes:
    """Ask for the upgrade, and read the answer to the end of the connection."""
    head = UPGRADE.replace(b"/ws", f"{PATH}{query}".encode())
    return await stage.ask(head + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n")


@pytest.mark.parametrize(
    ("lines", "query"),
    [
        ((), ""),
        (("Authorization: Bearer sk_wrong",), ""),
        (("Authorization: sk_wrong",), ""),
        (("Authorization: Bearer k\xe9y",), ""),
        ((f"Authorization: Bearer {EXPIRED}",), ""),
        ((), "?token=sk_wrong"),
    ],
    ids=["none", "wrong", "wrong and bare", "strange", "expired", "wrong in the query"],
)
async def test_without_a_good_key_the_upgrade_is_refused(lines: tuple[str, ...], query: str) -> None:
    async with playing(configuration(expires=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))) as stage:
        answer = await knock(stage, *lines, query=query)
        assert status(answer) == 401
        head, _, body = answer.partition(b"\r\n\r\n")
        assert json.loads(body) == {
            "success": False,
            "data": None,
            "error": "Unauthorized: invalid API key",
        }
        assert b"content-type: application/json" in head
        assert b'www-authenticate: Bearer realm="appliance"' in head
        assert sum(stage.errors.values()) == 1
        assert stage.around.admission.sessions == 0


@pytest.mark.parametrize(
    ("key", "query"),
    [(KEY, ""), (None, f"?token={KEY}"), (None, f"?api_key={KEY}&symbol=BTC")],
)
async def test_a_good_key_lets_in(stage: Stage, key: str | None, query: str) -> None:
    predict(stage, "BTC", 1)
    async with stage.client(key, target=PATH + query) as client:
        assert await price(client) == 1


async def test_the_bare_key_lets_in(stage: Stage) -> None:
    head = UPGRADE.replace(b"/ws", PATH.encode())
    async with await stage.dial() as stream:
        await stream.send_all(head + f"Authorization: {KEY}\r\n\r\n".encode())
        assert status(bytes(await stream.receive_some(100))) == 101


@pytest.mark.parametrize("auth", ["none", "optional"])
async def test_a_key_may_be_left_out_where_that_is_allowed(auth: str) -> None:
    async with playing(configuration(auth=auth)) as stage:
        predict(stage, "BTC", 1)
        async with stage.client(None, target=PATH) as client:
            assert await price(client) == 1


# --- Who is let in. ---


async def test_one_session_too_many_is_refused_at_the_door() -> None:
    async with playing(configuration(limits={"sessions": 1})) as stage:
        predict(stage, "BTC", 1)
        async with stage.client(target=PATH) as first:
            answer = await knock(stage, f"Authorization: Bearer {KEY}")
            assert status(answer) == 503
            assert b"retry-after: 5\r\n" in answer
            body = json.loads(answer.partition(b"\r\n\r\n")[2])
            assert (body["success"], body["data"]) == (False, None)
            assert "limits.sessions" in body["error"]
            assert await price(first) == 1
        await until(lambda: stage.around.admission.sessions == 0)
        async with stage.client(target=PATH) as third:
            assert await price(third) == 1
        assert stage.errors == {"CONNECTION_FULL": 1}


async def test_an_address_that_connects_too_often_is_refused_at_the_door() -> None:
    async with playing(configuration(limits={"connections_per_minute": 1})) as stage:
        async with stage.client(target=PATH):
            pass
        answer = await knock(stage, f"Authorization: Bearer {KEY}")
        assert status(answer) == 429
        (after,) = [line for line in answer.split(b"\r\n") if line.startswith(b"retry-after: ")]
        assert 1 <= int(after.removeprefix(b"retry-after: ")) <= 60
        assert stage.errors == {"RATE_LIMITED": 1}
        assert stage.around.admission.sessions == 0


# --- What it says. ---


@pytest.mark.parametrize("message", ["hello", "", '{"type": "ping"}', b"\x00", "[" * 20_000])
async def test_what_the_client_says_is_passed_over(stage: Stage, message: str | bytes) -> None:
    predict(stage, "BTC", 1)
    async with stage.client(target=PATH) as client:
        assert await price(client) == 1
        await client.socket.send_message(message)
        await until(lambda: stage.traffic.received_messages == 1)
        predict(stage, "BTC", 2)
        assert await price(client) == 2
    assert stage.errors == {}


async def test_who_says_too_much_is_not_listened_to_and_goes_on_hearing() -> None:
    settings = configuration(limits={"messages_per_minute": 60})
    async with playing(settings) as stage, stage.client(target=PATH) as client:
        for _ in range(61):
            await client.say(type="ping")
        await until(lambda: stage.errors == {"RATE_LIMITED": 1})
        for current in (1, 2):
            predict(stage, "BTC", current)
            assert await price(client) == current


async def test_a_message_that_is_too_big_ends_it_without_a_word(stage: Stage) -> None:
    async with stage.client(target=PATH) as client:
        await client.socket.send_message("x" * 70_000)
        with pytest.raises(trio_websocket.ConnectionClosed):
            await client.hear()
        assert (await client.close_frame())[0] == 1009


async def test_a_client_that_takes_nothing_is_ended_and_others_go_on() -> None:
    limits = {"stalled": SHORT, "unsent": 4_096, "goodbye": SHORT}
    async with playing(configuration(limits=limits)) as stage, stage.client(target=PATH) as honest:
        head = UPGRADE.replace(b"/ws", PATH.encode()) + f"Authorization: {KEY}\r\n\r\n".encode()
        async with await stage.dial() as stream:
            await stream.send_all(head)
            await has_begun(stage, 2)
            while not stage.errors:
                stage.publish("predictions", "BTC", current_price=1, model_version="x" * 50_000)
                assert await price(honest) == 1
            assert stage.errors == {"SLOW_CLIENT": 1}
            await until(lambda: stage.around.admission.sessions == 1)
        predict(stage, "BTC", 2)
        assert await price(honest) == 2


async def test_it_is_counted_as_what_it_is(stage: Stage) -> None:
    async with stage.client(target=PATH):
        await has_begun(stage)
        (session,) = stage.around.sessions
        assert (session.dialect, dict(session.details)) == ("data-ws", {})
