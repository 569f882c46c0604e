from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from structlog.testing import capture_logs

from appliance.edge.http.app import Asset
from tests.edge.stage import EXPIRED, KEY, PATIENCE, Stage, configuration, playing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ASSETS = {
    "/": Asset(b"<!doctype html>", "text/html"),
    "/client.js": Asset("«js»".encode(), "text/javascript"),
}
FIGURES = {"status": "healthy", "errors": {"RATE_LIMITED": 3}, "rate": 1.5}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    with capture_logs() as log:
        async with playing(assets=ASSETS, statistics=lambda: dict(FIGURES)) as opened:
            yield opened
    assert [line for line in log if line["log_level"] in {"warning", "error"}] == []


async def fetch(stage: Stage, path: str, *, method: str = "GET", **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{stage.port}", timeout=PATIENCE) as http:
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
    assert (body["status"], body["service"]) == ("healthy", "appliance")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["timestamp"])


async def test_statistics_are_given_to_who_shows_a_key(stage: Stage) -> None:
    for path, headers in (
        ("/ws/stats", {"Authorization": f"Bearer {KEY}"}),
        ("/ws/stats", {"X-API-Key": KEY}),
        (f"/ws/stats?token={KEY}", {}),
    ):
        answer = await fetch(stage, path, **headers)
        assert (answer.status_code, answer.json()) == (200, FIGURES)


@pytest.mark.parametrize("path", ["/ws/stats", "/sse?channels=price:BTC"])
@pytest.mark.parametrize("key", [None, "sk_wrong", "x" * 5_000, "kéy"])
async def test_without_a_good_key_the_answer_says_so(stage: Stage, path: str, key: str | None) -> None:
    async with httpx.AsyncClient() as http:
        headers = {} if key is None else {b"authorization": b"Bearer " + key.encode()}
        answer = await http.get(f"http://127.0.0.1:{stage.port}{path}", headers=headers)
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


@pytest.mark.parametrize("path", ["/health", "/ws/stats", "/sse", "/"])
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
