from __future__ import annotations

import datetime as dt
import re
import time
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from structlog.testing import capture_logs

from appliance.core.events import Event
from appliance.core.history import Retention
from appliance.edge.http.app import Asset
from appliance.runtime.readiness import Readiness
from appliance.settings.tree import DataWsSettings
from tests.edge.stage import EXPIRED, KEY, PREDICTIONS, Stage, configuration, plain_http, playing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

ASSETS = {
    "/": Asset(b"<!doctype html>", "text/html"),
    "/client.js": Asset("«js»".encode(), "text/javascript"),
}
FIGURES = {"status": "healthy", "errors": {"RATE_LIMITED": 3}, "rate": 1.5}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    with capture_logs() as log:
        async with playing(assets=ASSETS, statistics=lambda _part: dict(FIGURES)) as opened:
            yield opened
    assert [line for line in log if line["log_level"] in {"warning", "error"}] == []


async def fetch(stage: Stage, path: str, *, method: str = "GET", **headers: str) -> httpx.Response:
    async with plain_http(stage.port) as http:
        return await http.request(method, path, headers=headers)


def refused(answer: httpx.Response) -> str:
    """Give the reason of a refusal, which is in the envelope of all."""
    body: dict[str, Any] = answer.json()
    assert body.keys() == {"success", "data", "error"}
    assert (body["success"], body["data"]) == (False, None)
    assert isinstance(body["error"], str)
    return body["error"]


async def test_health_needs_no_key(stage: Stage) -> None:
    answer = await fetch(stage, "/health")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    body = answer.json()
    assert (body["status"], body["service"]) == ("healthy", "data-ws")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["timestamp"])


async def test_statistics_are_given_to_who_shows_a_key(stage: Stage) -> None:
    for path, headers in (
        ("/ws/stats", {"Authorization": f"Bearer {KEY}"}),
        ("/ws/stats", {"X-API-Key": KEY}),
        (f"/ws/stats?token={KEY}", {}),
    ):
        answer = await fetch(stage, path, **headers)
        assert (answer.status_code, answer.json()) == (200, FIGURES)


@pytest.mark.parametrize("path", ["/ws/stats", "/metrics", "/sse?channels=price:BTC"])
@pytest.mark.parametrize("key", [None, "sk_wrong", "x" * 5_000, "kéy"])
async def test_without_a_good_key_the_answer_says_so(stage: Stage, path: str, key: str | None) -> None:
    async with plain_http(stage.port) as http:
        headers = {} if key is None else {b"authorization": b"Bearer " + key.encode()}
        answer = await http.get(path, headers=headers)
    assert answer.status_code == 401
    assert refused(answer).startswith("Unauthorized: ")
    assert answer.headers["www-authenticate"] == 'Bearer realm="appliance"'
    assert key is None or key not in answer.text


async def test_an_expired_key_is_told_as_such() -> None:
    async with playing(configuration(expires=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))) as stage:
        answer = await fetch(stage, "/ws/stats", Authorization=f"Bearer {EXPIRED}")
    assert answer.status_code == 401
    assert "expired" in refused(answer)


@pytest.mark.parametrize(
    ("auth", "key", "status"),
    [
        ("none", None, 200),
        ("none", "sk_wrong", 200),
        ("optional", None, 200),
        ("optional", KEY, 200),
        ("optional", "sk_wrong", 401),
    ],
)
async def test_the_policy_of_the_listener_counts(auth: str, key: str | None, status: int) -> None:
    async with playing(configuration(auth=auth)) as stage:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        assert (await fetch(stage, "/ws/stats", **headers)).status_code == status


@pytest.mark.parametrize(
    "path", ["/nowhere", "/health/", "/ws", "/%00", "/..%2f..%2fetc/passwd", "/client.js/x"]
)
async def test_an_unknown_page_is_told(stage: Stage, path: str) -> None:
    answer = await fetch(stage, path)
    assert answer.status_code in {404, 307}
    if answer.status_code == 404:
        assert refused(answer)


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/ws/stats", "/sse", "/"])
async def test_nothing_can_be_changed_here(stage: Stage, path: str) -> None:
    answer = await fetch(stage, path, method="POST")
    assert answer.status_code == 405
    assert refused(answer)
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize("path", ASSETS)
async def test_the_page_is_served_with_what_it_may_load(stage: Stage, path: str) -> None:
    answer = await fetch(stage, path)
    assert answer.status_code == 200
    assert answer.content == ASSETS[path].content
    assert answer.headers["content-type"] == f"{ASSETS[path].kind}; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_head_is_all_that_head_gets(stage: Stage) -> None:
    answer = await fetch(stage, "/client.js", method="HEAD")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(ASSETS["/client.js"].content))


@pytest.mark.parametrize(
    "line",
    [
        b"Host: [",
        b"Host: \xff",
        b"Host: a:b:c",
        b"Host:",
        b"Host: x\r\nAuthorization: \xff",
        b"Host: x\r\nCookie: \xff",
    ],
)
@pytest.mark.parametrize(
    "target", [b"/ws/stats", b"/sse?channels=%ff%00", b"/sse?channels=%ED%A0%80:x", b"/sse?;&&=&"]
)
async def test_no_strange_request_is_a_fault_of_ours(stage: Stage, line: bytes, target: bytes) -> None:
    request = b"GET " + target + b" HTTP/1.1\r\nConnection: close\r\n" + line + b"\r\n"
    request += b"X-API-Key: " + KEY.encode() + b"\r\n\r\n"
    answer = await stage.ask(request)
    assert answer[:9] == b"HTTP/1.1 "
    assert answer[9:10] in b"24"


# --- The status of the sockets. ---

SOCKETS = {"enabled": True, "active_connections": 2, "clients": ["c1", "c1"]}


async def test_the_status_of_the_sockets_is_given_to_who_shows_a_key() -> None:
    async with playing(socket_status=lambda _part: dict(SOCKETS)) as stage:
        answer = await fetch(stage, "/websocket/status", Authorization=f"Bearer {KEY}")
        assert (answer.status_code, answer.json()) == (200, SOCKETS)
        assert (await fetch(stage, "/websocket/status")).status_code == 401


async def test_the_status_of_the_sockets_is_open_where_no_key_is_asked() -> None:
    async with playing(configuration(auth="none"), socket_status=lambda _part: dict(SOCKETS)) as stage:
        assert (await fetch(stage, "/websocket/status")).json() == SOCKETS


# --- The newest prediction. ---

LATEST = "/api/v1/predictions/latest"


async def latest(stage: Stage, query: str = "") -> dict[str, Any]:
    answer = await fetch(stage, LATEST + query, Authorization=f"Bearer {KEY}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    body: dict[str, Any] = answer.json()
    assert list(body) == ["success", "data", "error"]
    return body


def predict(stage: Stage, symbol: str, current: float, *, at: float | None = None) -> None:
    now = time.time()
    data = {"current_price": current, "confidence_15min": None}
    stage.hub.publish(Event("predictions", symbol, data, now if at is None else at), now)


async def test_the_newest_prediction_is_a_row_in_the_envelope(stage: Stage) -> None:
    predict(stage, "BTC", 1)
    predict(stage, "BTC", 2, at=1_700_000_000.25)
    predict(stage, "ETH", 3)
    body = await latest(stage)
    assert (body["success"], body["error"]) == (True, None)
    assert body["data"] == {
        "time": "2023-11-14T22:13:20.250Z",
        "current_price": 2,
        **dict.fromkeys(f"predicted_{horizon}min" for horizon in (1, 5, 15)),
        **dict.fromkeys(f"confidence_{horizon}min" for horizon in (1, 5, 15)),
        "model_version": None,
    }


@pytest.mark.parametrize("asked", ["ETH", "eth"])
async def test_the_newest_prediction_of_a_symbol(stage: Stage, asked: str) -> None:
    predict(stage, "BTC", 1)
    predict(stage, "ETH", 2)
    assert (await latest(stage, f"?symbol={asked}"))["data"]["current_price"] == 2


@pytest.mark.parametrize("query", ["", "?symbol=ETH", "?symbol=NOWHERE", "?symbol=*", "?symbol=%00"])
async def test_where_there_is_none_that_is_told(stage: Stage, query: str) -> None:
    if "ETH" not in query and query:
        predict(stage, "BTC", 1)
    assert await latest(stage, query) == {
        "success": False,
        "data": None,
        "error": "No predictions available",
    }


async def test_the_newest_of_any_where_the_usual_symbol_is_not_there(stage: Stage) -> None:
    opened = attrs.evolve(PREDICTIONS, topics=(), open=True)
    stage.hub.open(opened, None, Retention(count=10, age=None, size=100_000))
    predict(stage, "SOL", 1, at=1_000.0)
    predict(stage, "ADA", 2, at=2_000.0)
    predict(stage, "SOL", 3, at=1_500.0)
    assert (await latest(stage))["data"]["current_price"] == 2
    stage.hub.topic("predictions:BTC")  # somebody asks for it: that alone is no prediction
    assert (await latest(stage))["data"]["current_price"] == 2
    assert (await latest(stage, "?symbol=BTC"))["success"] is False
    predict(stage, "BTC", 4, at=500.0)
    assert (await latest(stage))["data"]["current_price"] == 4


async def test_the_usual_symbol_is_a_setting(stage: Stage) -> None:
    predict(stage, "BTC", 1)
    predict(stage, "ETH", 2)
    for symbol, wanted in (("eth", 2), ("BTC", 1), ("", 2)):
        stage.held.settings = attrs.evolve(stage.held.settings, data_ws=DataWsSettings(symbol=symbol))
        assert (await latest(stage))["data"]["current_price"] == wanted


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer sk_wrong"}, {"Authorization": "sk_wrong"}, {"X-API-Key": "sk_wrong"}],
)
async def test_without_a_good_key_there_is_no_prediction(stage: Stage, headers: dict[str, str]) -> None:
    answer = await fetch(stage, LATEST, **headers)
    assert answer.status_code == 401
    assert refused(answer) == "Unauthorized: invalid API key"
    assert answer.headers["www-authenticate"] == 'Bearer realm="appliance"'


async def test_the_bare_key_is_enough(stage: Stage) -> None:
    predict(stage, "BTC", 1)
    answer = await fetch(stage, LATEST, Authorization=KEY)
    assert answer.json()["success"] is True


UNABLE = Readiness(able=False, reasons=("channel price: its producer fails: secret of the log",))


@pytest.mark.parametrize("path", ["/ready", "/metrics"])
async def test_what_watches_is_not_kept(stage: Stage, path: str) -> None:
    answer = await fetch(stage, path, Authorization=f"Bearer {KEY}")
    assert answer.headers["cache-control"] == "no-store"
    assert (await fetch(stage, path, method="HEAD", Authorization=f"Bearer {KEY}")).content == b""


@pytest.mark.parametrize(("able", "status"), [(True, 200), (False, 503)])
async def test_whether_it_is_ready_is_told_to_anybody(able: bool, status: int) -> None:  # noqa: FBT001 - a table
    async with playing(readiness=lambda: Readiness(able, ("a reason",))) as stage:
        answer = await fetch(stage, "/ready")
        assert (answer.status_code, answer.json()) == (status, {"ready": able})
        assert stage.errors == {}


async def test_why_it_is_not_ready_is_told_to_who_shows_a_key() -> None:
    async with playing(readiness=lambda: UNABLE) as stage:
        answer = await fetch(stage, "/ready", Authorization=f"Bearer {KEY}")
        assert answer.status_code == 503
        assert answer.json() == {"ready": False, "reasons": list(UNABLE.reasons)}
        wrong = await fetch(stage, "/ready", Authorization="Bearer sk_wrong")
        assert (wrong.status_code, wrong.json()) == (503, {"ready": False})
        assert stage.errors == {"INVALID_TOKEN": 1}


async def test_where_nobody_needs_a_key_all_are_told_why() -> None:
    async with playing(configuration(auth="none"), readiness=lambda: UNABLE) as stage:
        assert (await fetch(stage, "/ready")).json()["reasons"] == list(UNABLE.reasons)


async def test_metrics_are_given_to_who_shows_a_key_in_the_form_that_is_asked_for() -> None:
    async def measured(accept: str) -> tuple[str, bytes]:
        return "text/plain; version=0.0.4; charset=utf-8", f"# {accept}\n".encode()

    async with playing(metrics=measured) as stage:
        answer = await fetch(stage, "/metrics", Authorization=f"Bearer {KEY}", Accept="application/x")
        assert (answer.status_code, answer.text) == (200, "# application/x\n")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.headers.get_list("content-type") == [answer.headers["content-type"]]
