"""Cross-origin requests as browsers send them, to the real server over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.edge.stage import KEY, Stage, configuration, plain_http, playing

if TYPE_CHECKING:
    import ssl

APP = "https://app.example"
ALLOWED = "access-control-allow-origin"


async def ask(
    stage: Stage, origin: str | None, method: str = "GET", path: str = "/health", **headers: str
) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if origin is not None:
        sent["origin"] = origin
    async with plain_http(stage.port) as http:
        return await http.request(method, path, headers=sent)


async def preflight(stage: Stage, origin: str, path: str = "/api/v1/predictions/latest") -> httpx.Response:
    return await ask(
        stage,
        origin,
        "OPTIONS",
        path,
        access_control_request_method="GET",
        access_control_request_headers="authorization",
    )


def marks(answer: httpx.Response) -> set[str]:
    return {name for name in answer.headers if name.startswith("access-control-")}


def listed(answer: httpx.Response, header: str) -> set[str]:
    return {name.strip().lower() for name in answer.headers[header].split(",")}


async def test_pages_of_anywhere_may_read_by_default() -> None:
    async with playing() as stage:
        answer = await ask(stage, APP)
        assert (answer.status_code, answer.headers[ALLOWED]) == (200, "*")
        assert "vary" not in answer.headers
        assert listed(answer, "access-control-expose-headers") == {"retry-after"}
        asked = await preflight(stage, APP)
        assert (asked.status_code, asked.headers[ALLOWED], asked.content) == (204, "*", b"")


async def test_a_preflight_says_what_may_be_asked_and_needs_no_key() -> None:
    async with playing(configuration(origins=(APP,))) as stage:
        for path in ("/api/v1/predictions/latest", "/api/v1/publish", "/ws/stats", "/nowhere"):
            answer = await preflight(stage, APP, path)
            assert answer.status_code == 204
            assert answer.headers[ALLOWED] == APP
            assert answer.headers["vary"].lower() == "origin"
            assert listed(answer, "access-control-allow-methods") >= {"get", "post"}
            assert listed(answer, "access-control-allow-headers") >= {
                "authorization",
                "content-type",
                "idempotency-key",
                "last-event-id",
                "x-api-key",
            }
            assert int(answer.headers["access-control-max-age"]) > 0
        assert stage.errors == {}


async def test_a_foreign_page_may_not_ask_nor_read() -> None:
    async with playing(configuration(origins=(APP, "self"))) as stage:
        for origin in ("https://evil.example", "null", "https://app.example.evil", "http://app.example"):
            asked = await preflight(stage, origin)
            assert (asked.status_code, marks(asked)) == (403, set())
            answer = await ask(stage, origin)
            assert (answer.status_code, marks(answer)) == (200, set())
            assert answer.headers["vary"].lower() == "origin"


async def test_a_page_of_an_origin_that_is_named_may_read() -> None:
    async with playing(configuration(origins=("https://other.example", "https://App.Example"))) as stage:
        answer = await ask(stage, APP)
        assert (answer.headers[ALLOWED], answer.headers["vary"].lower()) == (APP, "origin")


async def test_the_own_page_may_read_where_self_is_named() -> None:
    async with playing(configuration(origins=("self",))) as stage:
        own = f"http://127.0.0.1:{stage.port}"
        assert (await ask(stage, own)).headers[ALLOWED] == own
        assert (await preflight(stage, own)).status_code == 204
        assert marks(await ask(stage, f"http://127.0.0.1:{stage.port + 1}")) == set()


async def test_the_own_page_may_read_over_http2(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with playing(configuration(origins=("self",)), tls=tls) as stage:
        assert stage.client_context is not None
        stage.client_context.set_alpn_protocols(["h2"])
        own = f"https://localhost:{stage.port}"
        async with httpx.AsyncClient(http2=True, verify=stage.client_context) as http:
            answer = await http.get(f"{own}/health", headers={"origin": own})
            foreign = await http.get(f"{own}/health", headers={"origin": "https://evil.example"})
        assert (answer.http_version, answer.headers.get(ALLOWED)) == ("HTTP/2", own)
        assert marks(foreign) == set()


@pytest.mark.parametrize("origins", [("*",), (APP,), ("self",), ()])
async def test_who_is_no_page_gets_no_marks(origins: tuple[str, ...]) -> None:
    async with playing(configuration(origins=origins)) as stage:
        answer = await ask(stage, None)
        assert (answer.status_code, marks(answer)) == (200, set())


async def test_a_page_may_read_why_it_is_refused() -> None:
    async with playing(configuration(origins=(APP,))) as stage:
        for path, status in (("/api/v1/predictions/latest", 401), ("/nowhere", 404)):
            answer = await ask(stage, APP, path=path)
            assert (answer.status_code, answer.headers[ALLOWED]) == (status, APP)


async def test_a_page_may_read_what_it_asks_for_with_a_key() -> None:
    async with playing(configuration(origins=(APP,))) as stage:
        stage.publish("predictions", "BTC", current_price=1)
        answer = await ask(stage, APP, path="/api/v1/predictions/latest", authorization=f"Bearer {KEY}")
        assert answer.headers[ALLOWED] == APP
        assert answer.json()["data"]["current_price"] == 1


async def test_an_options_request_that_is_no_preflight_is_an_ordinary_one() -> None:
    async with playing() as stage:
        answer = await ask(stage, APP, "OPTIONS")
        assert (answer.status_code, answer.headers[ALLOWED]) == (405, "*")


async def test_the_policy_of_the_moment_counts() -> None:
    async with playing(configuration(origins=(APP,))) as stage:
        assert (await ask(stage, APP)).headers[ALLOWED] == APP
        stage.held.settings = configuration(origins=("https://other.example",))
        assert marks(await ask(stage, APP)) == set()
