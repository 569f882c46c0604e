"""What the built file tells on its sockets, held against the description that it serves of them."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.documents.systems import LIVELY
from tests.e2e.running import PATIENCE
from tests.edge.description.described import checker

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

    from tests.e2e.conftest import Start
    from tests.e2e.running import Running

REPLAY = {
    "type": "subscribe",
    "channels": ["*"],
    "times": True,
    "recover": {"*": {"since": "2020-01-01T00:00:00Z"}},
}

LOOKED_AT = 3
"""Messages of each type that are held against the description: what streams comes faster than that goes."""


@pytest.fixture(scope="module")
def running(start_shared: Start) -> Running:
    options = (*LIVELY, "trading.price_interval=250ms", "trading.portfolio_interval=250ms")
    return start_shared(*(word for option in options for word in ("--set", option)))


@pytest.fixture(scope="module")
def document(running: Running) -> dict[str, Any]:
    status, document = running.get("/api/v1/asyncapi.json")
    assert status == 200
    told: dict[str, Any] = document
    return told


@pytest.mark.parametrize(
    ("path", "said", "kinds"),
    [
        ("/ws", [], {"price_update", "portfolio_update"}),
        (
            "/ws",
            [{"type": "subscribe", "channel": "signals", "symbols": "BTC"}, {"type": "ping"}],
            {"error", "pong"},
        ),
        ("/ws", [REPLAY], {"subscribed", "price_update", "market_data", "system_status"}),
        (
            "/ws",
            [
                {"type": "subscribe", "channels": ["market:*", "nowhere:x"], "limit": 0.5},
                {"type": "history", "channel": "market:summary", "since": "2020-01-01T00:00:00Z", "id": 7},
                {"type": "ping"},
                {"type": "unsubscribe", "channels": ["market:*"]},
            ],
            {"subscribed", "market_data", "error", "history", "pong", "unsubscribed"},
        ),
        (
            "/ws",
            [
                {"type": "subscribe", "channel": "prices"},
                {"type": "subscribe", "channel": "market_data", "params": {"markets": ["nowhere"]}},
                {"type": "ping"},
                {"type": "shout"},
            ],
            {"subscription_success", "price_update", "subscription_error", "pong", "error"},
        ),
        ("/api/v1/predictions/stream", [], {None}),
        (
            "/ws/predictions/BTC",
            [
                {"type": "request_prediction"},
                {"type": "subscribe", "symbol": "ETH"},
                {"type": "ping"},
                "shout",
            ],
            {"connected", "prediction_update", "prediction_requested", "subscribed", "pong", "error"},
        ),
        ("/ws/market-data/BTC", [], {"connected", "market_data_update"}),
        (
            "/ws/alerts",
            [{"type": "configure_alerts", "config": {"min_severity": "high"}}],
            {"connected", "alerts_configured"},
        ),
    ],
)
def test_what_is_told_is_described(
    running: Running, document: dict[str, Any], path: str, said: list[Any], kinds: set[str | None]
) -> None:
    described = messages(document, path)
    heard: Counter[str | None] = Counter()
    deadline = time.monotonic() + PATIENCE
    with running.connect(path, max_queue=None) as socket:  # one that is full would not hear the end
        for each in said:
            socket.send(each if isinstance(each, str) else json.dumps(each))
        while missing := kinds - heard.keys():
            assert time.monotonic() < deadline, f"no {missing} came"
            message = json.loads(socket.recv(PATIENCE))
            heard[message.get("type")] += 1
            if heard[message.get("type")] <= LOOKED_AT:
                assert any(kind.is_valid(message) for kind in described), message


def messages(document: dict[str, Any], path: str) -> list[Draft202012Validator]:
    """Give those that are sent on a path."""
    name = next(name for name, told in document["channels"].items() if leads(told["address"], path))
    parts = document["components"]["messages"]
    names = [each["$ref"].rpartition("/")[2] for each in document["operations"][f"send.{name}"]["messages"]]
    return [checker(document, parts[each]["payload"]) for each in names]


def leads(address: str, path: str) -> bool:
    return address == path or ("{" in address and path.startswith(address.partition("{")[0]))
