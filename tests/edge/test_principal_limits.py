"""What a principal may have at once, whichever way its sessions come; and what the log says of who has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest
from structlog.testing import capture_logs

from appliance.access.secret_text import make
from appliance.settings.access import AuthSettings, KeySettings
from appliance.settings.fields import Secret
from tests.edge.clients import is_sent_off, is_served, subscription
from tests.edge.stage import Stage, configuration, plain_http, playing, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

ONE, OTHER = make(), make()
LIMITS: dict[str, Any] = {"sessions": 1, "subscriptions": 2}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    keys = (
        KeySettings(name="ann", key=Secret(ONE.text), **LIMITS),
        KeySettings(name="ann", key=Secret(OTHER.text), **LIMITS),
        KeySettings(name="bob", key=Secret("sk_of-bob"), **LIMITS),
    )
    settings = attrs.evolve(configuration(), auth=AuthSettings(keys=keys))
    async with playing(settings) as opened:
        yield opened


async def streamed(stage: Stage, key: str, channels: str = "price:BTC") -> httpx.Response:
    """Ask for an event stream that is refused."""
    async with plain_http(stage.port) as http:
        return await http.get("/sse", params={"channels": channels, "token": key})


@pytest.mark.parametrize("target", ["/ws", "/shared", "/trading", "/ws/predictions/BTC"])
async def test_a_session_too_many_is_told_when_to_come_back(stage: Stage, target: str) -> None:
    async with stage.client(ONE.text) as first:
        assert await is_served(first)
        async with stage.client(OTHER.text, target=target) as second:
            message = await second.hear()
            assert "At most 1 sessions of 'ann' at once" in str(message)
            assert await second.close_frame() == (1013, "CONNECTION_FULL retry_after=5.0")
        async with stage.client("sk_of-bob", target=target):
            assert await is_served(first)
    await until(lambda: stage.around.admission.sessions == 0)
    async with stage.client(OTHER.text) as again:
        assert await is_served(again)


async def test_it_is_the_same_for_who_comes_by_a_message(stage: Stage) -> None:
    async with stage.client(ONE.text) as first, stage.client(None) as second:
        assert await is_served(first)
        await second.say(type="auth", token=OTHER.text)
        message = await second.hear()
        assert (message["error"]["code"], message["error"]["retry_after"]) == ("CONNECTION_FULL", 5.0)
        assert await second.close_frame() == (1013, "CONNECTION_FULL retry_after=5.0")


async def test_who_says_again_who_it_is_has_still_one_session(stage: Stage) -> None:
    async with stage.client(ONE.text) as client:
        for key in (OTHER.text, ONE.text):
            await client.say(type="auth", token=key)
            assert (await client.hear_of("authenticated"))["data"]["name"] == "ann"
        await client.say(type="auth", token="sk_of-bob")
        error = (await client.hear_of("error"))["error"]
        assert (error["code"], error["message"]) == (
            "UNAUTHORIZED",
            "This session is that of 'ann': for another, open another one",
        )
        assert await is_served(client)
        async with stage.client("sk_of-bob") as second, stage.client(ONE.text) as third:
            assert await is_served(second)
            assert (await third.hear())["error"]["code"] == "CONNECTION_FULL"
    await until(lambda: stage.around.admission.sessions == 0)
    async with stage.client(ONE.text) as ann, stage.client("sk_of-bob") as bob:
        assert await is_served(ann)
        assert await is_served(bob)


async def test_event_streams_and_waiting_polls_are_sessions_too(stage: Stage) -> None:
    async with stage.client(ONE.text) as client:
        assert await is_served(client)
        refused = await streamed(stage, OTHER.text)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        async with plain_http(stage.port) as http:
            shown = {"authorization": f"Bearer {OTHER.text}"}
            answer = await http.get("/api/v1/topics/price:BTC/events", params={"wait": "5"}, headers=shown)
            assert answer.status_code == 503
            answer = await http.get("/api/v1/topics/price:BTC/events", headers=shown)
            assert answer.status_code == 200
    await until(lambda: stage.around.admission.sessions == 0)


async def test_an_event_stream_that_is_refused_takes_no_place(stage: Stage) -> None:
    assert (await streamed(stage, ONE.text, "nowhere:*")).status_code == 404
    async with stage.client(ONE.text) as client:
        assert await is_served(client)


async def test_a_subscription_too_many_is_refused(stage: Stage) -> None:
    async with stage.client(ONE.text) as client:
        await client.say(**subscription("price:BTC", "price:ETH", "trades:x"))
        error = await client.hear_of("error")
        assert error["error"]["code"] == "RATE_LIMITED"
        assert "At most 2 channels for one connection of this principal" in error["error"]["message"]
    await until(lambda: stage.around.admission.sessions == 0)
    refused = await streamed(stage, ONE.text, "price:BTC,price:ETH,trades:x")
    assert refused.status_code == 429


async def test_the_log_says_by_which_credential_somebody_came(stage: Stage) -> None:
    with capture_logs() as log:
        async with stage.client(ONE.text) as client:
            assert await is_served(client)
        await until(lambda: stage.around.admission.sessions == 0)
        async with stage.client("sk_wrong") as client:
            await is_sent_off(client, "INVALID_TOKEN")
    opened = next(line for line in log if line["event"] == "session opened")
    assert (opened["principal"], opened["kind"], opened["credential"]) == ("ann", "key", ONE.id)
    refused = next(line for line in log if line["event"] == "refused")
    assert (refused["client"], refused["why"]) == ("127.0.0.1", _WHY)
    assert ONE.text not in repr(log)
    assert "sk_wrong" not in repr(log)


_WHY = "no API key of the configuration; no token; no plugin knows it"


async def test_the_log_tells_of_event_streams_as_of_sockets(stage: Stage) -> None:
    with capture_logs() as log:
        stream = await stage.dial()
        async with stream:
            head = f"GET /sse?channels=price:BTC&token={ONE.text} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            await stream.send_all(head.encode())
            data = b""
            while b"subscribed" not in data:
                data += bytes(await stream.receive_some())
        await until(lambda: stage.around.admission.sessions == 0)
    opened, closed = (line for line in log if line["event"].startswith("session"))
    assert (opened["event"], opened["path"], opened["principal"], opened["credential"]) == (
        "session opened",
        "/sse",
        "ann",
        ONE.id,
    )
    assert (closed["event"], closed["principal"], closed["client"]) == ("session closed", "ann", "127.0.0.1")
    assert closed["bytes_sent"] > 0
    assert ONE.text not in repr(log)
