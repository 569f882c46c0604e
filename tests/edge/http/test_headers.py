"""What browsers are told with answers of all kinds, over the real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import httpx
import pytest

from appliance.edge.http.app import Asset
from appliance.settings.fields import Seconds
from tests.edge.stage import KEY, PATIENCE, UPGRADE, Stage, playing

if TYPE_CHECKING:
    import ssl

PAGE = {"/": Asset(b"<!doctype html>", "text/html; charset=utf-8")}
ANSWERS = {
    "health": ("GET", "/health", 200),
    "statistics": ("GET", "/ws/stats", 200),
    "metrics": ("GET", "/metrics", 200),
    "events": ("GET", "/api/v1/topics/price:BTC/events?wait=0", 200),
    "page": ("GET", "/", 200),
    "nowhere": ("GET", "/nowhere", 404),
    "wrong method": ("POST", "/health", 405),
    "publish": ("POST", "/api/v1/publish", 415),
    "stream": ("HEAD", "/sse?channels=price:BTC", 200),
}


def client(stage: Stage, **headers: str) -> httpx.AsyncClient:
    scheme = "http" if stage.client_context is None else "https"
    return httpx.AsyncClient(
        base_url=f"{scheme}://localhost:{stage.port}",
        verify=stage.client_context or False,
        headers={"authorization": f"Bearer {KEY}", **headers},
        timeout=PATIENCE,
    )


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_every_answer_says_what_browsers_may_do_with_it(method: str, path: str, status: int) -> None:
    async with playing(assets=PAGE) as stage, client(stage) as http:
        answer = await http.request(method, path)
    headers = answer.headers
    assert answer.status_code == status
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == ("cross-origin" if path == "/" else "same-origin")
    policy = {part.split()[0]: part.split()[1:] for part in headers["content-security-policy"].split("; ")}
    assert policy["default-src"] == ["'none'"]
    assert policy["frame-ancestors"] == ["'none'"]
    assert {source for sources in policy.values() for source in sources} <= {"'none'", "'self'"}
    assert headers["cache-control"] == ("no-cache" if path == "/" else "no-store")
    assert "set-cookie" not in headers
    assert "strict-transport-security" not in headers
    for name in (*headers, "server"):
        assert len(headers.get_list(name)) <= 1, name


async def test_a_page_is_alone_in_its_window() -> None:
    async with playing(assets=PAGE) as stage, client(stage) as http:
        assert (await http.get("/")).headers["cross-origin-opener-policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/", "/health", "/nowhere"])
async def test_who_comes_by_tls_comes_so_again(tls: tuple[ssl.SSLContext, ssl.SSLContext], path: str) -> None:
    async with playing(tls=tls, assets=PAGE) as stage, client(stage) as http:
        assert (await http.get(path)).headers["strict-transport-security"] == "max-age=31536000"
        settings = stage.held.settings
        stage.held.settings = attrs.evolve(settings, tls=attrs.evolve(settings.tls, hsts=Seconds(0.0)))
        assert "strict-transport-security" not in (await http.get(path)).headers


async def test_what_a_page_of_elsewhere_may_read_it_still_may() -> None:
    async with playing() as stage, client(stage, origin="https://app.example") as http:
        answer = await http.get("/health")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers


async def test_answers_before_there_is_a_request_are_not_kept_either() -> None:
    async with playing() as stage:
        answer = await stage.ask(UPGRADE.replace(b"13", b"8") + b"\r\n")
    assert b"\r\ncache-control: no-store\r\n" in answer
    assert b"\r\nx-content-type-options: nosniff\r\n" in answer
