"""Who is shown a part, over a restart of an appliance with its store."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.access.issuing import SECRET, Issuer
from tests.edge.stage import plain_http
from tests.served import serving, written

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION = f"""
[[auth.tokens]]
name = "own"
algorithms = ["HS256"]
secret = "{SECRET}"
publish = ["*"]
[channels.price]
source = "publish"
[channels.price.history]
durable = true
[store]
sync = "normal"
"""
OPTIONAL = 'listen=[{url="tcp://127.0.0.1:0", auth="optional"}]'
EVENTS = "/api/v1/topics/price:BTC/events?limit=50&after="
MASK: dict[str, Any] = {"hide": ["volume"]}
FILTER: dict[str, Any] = {"only": "price > 2"}
HIDDEN = 987_654_321


async def ask(port: int, path: str, *views: dict[str, Any], **content: Any) -> Any:
    claims: dict[str, Any] = {"appliance:views": views}
    token = Issuer("HS256", SECRET).token(now=time.time(), **claims)
    async with plain_http(port) as http:
        method = "POST" if content else "GET"
        answer = await http.request(method, path, headers={"authorization": f"Bearer {token}"}, **content)
    assert answer.status_code == 200, answer.text
    assert not views or str(HIDDEN) not in answer.text or "hide" not in json.dumps(views)
    return answer.json()["data"]


async def publish(port: int, *prices: int) -> None:
    events = [
        {"channel": "price", "key": "BTC", "data": {"symbol": "BTC", "price": price, "volume": HIDDEN}}
        for price in prices
    ]
    await ask(port, "/api/v1/publish", json=events)


@pytest.mark.parametrize("views", [(), (MASK,), (FILTER,), (MASK, FILTER)])
async def test_a_position_goes_on_after_a_restart(tmp_path: Path, views: tuple[dict[str, Any], ...]) -> None:
    file = written(tmp_path, CONFIGURATION)
    async with serving(file, tmp_path, overrides=[OPTIONAL]) as served:
        await publish(served.port, 1, 2, 3, 4)
        before = await ask(served.port, EVENTS + "0", *views)
    async with serving(file, tmp_path, overrides=[OPTIONAL]) as served:
        await publish(served.port, 5, 1, 6)
        after = await ask(served.port, EVENTS + before["position"], *views)
        again = await ask(served.port, EVENTS + "0", *views)
    assert after["recovered"] is True
    assert after["epoch"] == before["epoch"]
    events = [*before["events"], *after["events"]]
    wanted = [3, 4, 5, 6] if FILTER in views else [1, 2, 3, 4, 5, 1, 6]
    assert [event["data"]["price"] for event in events] == wanted
    assert [event["offset"] for event in events] == list(range(1, len(wanted) + 1))
    assert again["events"] == events
