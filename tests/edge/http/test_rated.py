"""Requests a minute of an address, whatever they ask for and however they come."""

from __future__ import annotations

import pytest

from tests.edge.stage import configuration, playing

GET = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n"
OPTIONS = GET.replace(b"GET", b"OPTIONS")
BROUGHT = b"X-Forwarded-For: 192.0.2.7\r\n"
OTHER = b"X-Forwarded-For: 192.0.2.8\r\n"


@pytest.mark.parametrize("proxies", [(), ("127.0.0.1",)])
async def test_who_asks_too_often_is_told_when_to_come_back(proxies: tuple[str, ...]) -> None:
    async with playing(configuration(proxies=proxies, limits={"requests_per_minute": 2})) as stage:
        answers = [await stage.ask(request % BROUGHT) for request in (GET, OPTIONS, GET, GET)]
        assert [answer[9:12] == b"429" for answer in answers] == [False, False, True, True]
        head, _, body = answers[-1].lower().partition(b"\r\n\r\n")
        assert b"\r\nretry-after: 30" in head
        assert b"\r\nx-content-type-options: nosniff" in head
        assert b"limits.requests_per_minute" in body
        assert stage.traffic.limits == {"requests_per_minute": 2}
        # Of another client only a proxy can speak that is believed.
        assert ((await stage.ask(GET % OTHER))[9:12] == b"429") is not bool(proxies)


async def test_a_changed_rate_holds_at_once() -> None:
    async with playing(configuration(limits={"requests_per_minute": 1})) as stage:
        assert [(await stage.ask(GET % b""))[9:12] for _ in range(2)] == [b"200", b"429"]
        stage.change(requests_per_minute=10)
        assert (await stage.ask(GET % b""))[9:12] == b"200"
