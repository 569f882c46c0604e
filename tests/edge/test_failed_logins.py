"""Log-ins that fail again and again, whichever way they come: told to wait, at once; and a right key is let in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.core import brakes
from tests.edge.clients import is_served
from tests.edge.stage import KEY, Stage, configuration, plain_http, playing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

EVENT = {"channel": "price", "key": "BTC", "data": {"price": 5}}


LONG = 300.0
"""Seconds of the first wait: a second would be over before a busy machine has tried again."""


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """Where the first failure is the last that costs nothing."""
    monkeypatch.setattr(brakes, "FIRST", LONG)
    async with playing(configuration(limits={"failed_logins": 1, "failed_login_wait": LONG})) as opened:
        for _ in range(2):
            async with opened.client("sk_guess") as client:
                assert (await client.hear())["error"]["code"] == "INVALID_TOKEN"
        yield opened


async def ask(stage: Stage, path: str, key: str, method: str = "GET") -> httpx.Response:
    async with plain_http(stage.port) as http:
        content = EVENT if method == "POST" else None
        return await http.request(method, path, headers={"authorization": f"Bearer {key}"}, json=content)


@pytest.mark.parametrize("target", ["/ws", "/shared", "/trading", "/ws/predictions/BTC"])
async def test_a_session_is_told_when_to_come_back(stage: Stage, target: str) -> None:
    async with stage.client("sk_guess", target=target) as client:
        message = str(await client.hear())
        assert "limits.failed_logins" in message
        code, reason = await client.close_frame()
    assert code == 1013
    assert reason.startswith("RATE_LIMITED retry_after=")


async def test_so_is_who_shows_it_by_a_message(stage: Stage) -> None:
    async with stage.client(None) as client:
        await client.say(type="auth", token="sk_guess")
        error = (await client.hear())["error"]
        assert error["code"] == "RATE_LIMITED"
        assert 0 < error["retry_after"] <= LONG
        assert (await client.close_frame())[0] == 1013


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/metrics"),
        ("GET", "/sse?channels=price:BTC"),
        ("GET", "/api/v1/topics/price:BTC/latest"),
        ("GET", "/api/v1/predictions/latest"),
        ("POST", "/api/v1/publish"),
    ],
)
async def test_so_is_who_asks_over_http(stage: Stage, method: str, path: str) -> None:
    answer = await ask(stage, path, "sk_guess", method)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= LONG
    assert "limits.failed_logins" in answer.json()["error"]
    assert stage.traffic.limits == {"failed_logins": 1}


async def test_so_is_who_is_told_by_the_answer_to_its_upgrade(stage: Stage) -> None:
    answer = await stage.ask(
        b"GET /api/v1/predictions/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Authorization: Bearer sk_guess\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"retry-after: " in answer


async def test_a_right_key_behind_the_same_address_is_let_in(stage: Stage) -> None:
    async with stage.client(KEY) as client:
        assert await is_served(client)
    assert (await ask(stage, "/api/v1/topics/price:BTC/latest", KEY)).status_code != 429
