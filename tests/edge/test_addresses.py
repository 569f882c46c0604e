"""Where clients come from, by themselves and through proxies: what limits them, what lets them in, and is told."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import attrs
import h2.config
import h2.connection
import h2.errors
import h2.events
import pytest
import trio
from structlog.testing import capture_logs

from appliance.settings.access import AuthSettings, KeySettings
from appliance.settings.fields import Seconds, Secret
from tests.edge.clients import is_served
from tests.edge.stage import KEY, PATIENCE, UPGRADE, Stage, configuration, plain_http, playing, rest, until

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    Contexts = tuple[ssl.SSLContext, ssl.SSLContext]

PROXIES = ("127.0.0.0/8", "10.0.0.0/8")
BOUND = "sk_of-who-may-come-from-one-place"
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
POLL = b"GET /api/v1/topics/price:BTC/latest HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
AUTHORIZED = b"Authorization: Bearer %b\r\n" % KEY.encode()


def proxied(header: str = "x-forwarded-for", **limits: Any) -> Any:
    settings = configuration(proxies=PROXIES, forwarded=header, limits=limits)
    keys = (*settings.auth.keys, KeySettings(name="carol", key=Secret(BOUND), addresses=("192.0.2.0/24",)))
    return attrs.evolve(settings, auth=AuthSettings(keys=keys))


def balanced(**more: Any) -> Any:
    return configuration(proxies=PROXIES, proxy_protocol="on", **more)


def line(address: str) -> bytes:
    return f"PROXY TCP{6 if ':' in address else 4} {address} {'::1' if ':' in address else '10.0.0.1'} 1 2\r\n".encode()


async def asked(stage: Stage, data: bytes) -> bytes:
    """Send bytes below TLS and read all that comes back; who is cut off may not even get to send."""
    async with await stage.dial() as stream:
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(data)
        return await rest(stream)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@contextlib.asynccontextmanager
async def opened(
    stage: Stage, before: bytes = b"", headers: bytes = b"", *, path: bytes = b"/ws"
) -> AsyncIterator[bytes]:
    """Ask for a WebSocket, say no more, and give what the server says first."""
    async with await stage.dial() as stream:
        await stream.send_all(before + UPGRADE.replace(b"/ws", path) + headers + b"\r\n")
        with trio.fail_after(PATIENCE):
            yield bytes(await stream.receive_some(1_000))


def clients(log: list[Any]) -> list[str]:
    return [entry["client"] for entry in log if entry["event"] == "session opened"]


# --- Of their own accord. ---


async def test_an_address_with_too_many_connections_is_told_in_its_own_words() -> None:
    async with playing(configuration(limits={"connections_per_address": 1})) as stage:
        async with stage.client() as first:
            assert await is_served(first)
            async with stage.client() as second:
                error = (await second.hear())["error"]
                assert error["code"] == "CONNECTION_FULL"
                assert "limits.connections_per_address" in error["message"]
                assert await second.close_frame() == (1013, "CONNECTION_FULL retry_after=5.0")
            answer = await asked(stage, HEALTH + b"\r\n")
            assert status(answer) == 503
            assert b"retry-after: 5\r\n" in answer
            assert await is_served(first)
        await until(lambda: stage.around.admission.connections == 0)
        assert status(await asked(stage, HEALTH + b"\r\n")) == 200
        assert stage.traffic.limits == {"connections_per_address": 2}


async def test_the_limit_of_all_connections_is_told_too() -> None:
    async with playing(configuration(limits={"connections": 1})) as stage, stage.client() as first:
        assert await is_served(first)
        async with stage.client() as second:
            assert (await second.hear())["error"]["code"] == "CONNECTION_FULL"
            assert (await second.close_frame())[0] == 1013
        assert b"limits.connections)" in await asked(stage, HEALTH + b"\r\n")
        assert stage.around.admission.connections == 1


async def test_a_client_of_http2_is_told_in_the_words_of_http2(tls: Contexts) -> None:
    async with (
        playing(configuration(limits={"connections": 1}), tls=tls) as stage,
        stage.client() as first,
    ):
        assert await is_served(first)
        peer = h2.connection.H2Connection(h2.config.H2Configuration())
        peer.initiate_connection()
        async with await stage.dial_tls("h2") as stream:
            await stream.send_all(peer.data_to_send())
            events = peer.receive_data(await rest(stream))
        (ended,) = [each for each in events if isinstance(each, h2.events.ConnectionTerminated)]
        assert ended.error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
        assert ended.additional_data is not None
        assert b"limits.connections" in ended.additional_data
        assert b"retry_after=" in ended.additional_data


async def test_an_address_that_only_connects_is_closed_before_anything_is_read() -> None:
    async with playing(configuration(limits={"handshakes_per_minute": 2})) as stage, stage.client() as client:
        assert await is_served(client)
        assert status(await asked(stage, HEALTH + b"\r\n")) == 200
        for _ in range(3):
            assert await asked(stage, HEALTH + b"\r\n") == b""
        assert await is_served(client)
        assert stage.errors == {"too_many_handshakes": 3}
        assert stage.traffic.limits == {"handshakes_per_minute": 3}


# --- Through a balancer that speaks the PROXY protocol. ---


async def test_a_balancer_says_who_the_client_is() -> None:
    settings = balanced(limits={"connections_per_address": 1})
    with capture_logs() as log:
        async with playing(settings) as stage, opened(stage, line("192.0.2.7"), AUTHORIZED) as answer:
            assert status(answer) == 101
            async with opened(stage, line("192.0.2.7"), AUTHORIZED):
                await until(lambda: stage.traffic.limits == {"connections_per_address": 1})
            async with opened(stage, line("2001:db8::7"), AUTHORIZED) as other:
                assert status(other) == 101
                await until(lambda: len(clients(log)) == 2)
    assert clients(log) == ["192.0.2.7", "2001:db8::7"]


async def test_it_says_so_before_tls(tls: Contexts) -> None:
    async with playing(balanced(), tls=tls) as stage:
        tcp = await stage.dial()
        await tcp.send_all(line("192.0.2.7"))
        assert stage.client_context is not None
        stream = trio.SSLStream(tcp, stage.client_context, server_hostname="localhost", https_compatible=True)
        async with stream:
            await stream.send_all(HEALTH + b"\r\n")
            assert status(await rest(stream)) == 200


async def test_requests_come_from_its_client_as_well() -> None:
    async with playing(balanced(limits={"messages_per_minute": 1})) as stage:
        poll = POLL + AUTHORIZED + b"\r\n"
        stage.publish("price", "BTC", price=5)
        assert status(await asked(stage, line("192.0.2.7") + poll)) == 200
        assert status(await asked(stage, line("192.0.2.7") + poll)) == 429
        assert status(await asked(stage, line("192.0.2.8") + poll)) == 200


async def test_it_may_come_for_itself() -> None:
    async with playing(balanced()) as stage:
        assert status(await asked(stage, b"PROXY UNKNOWN\r\n" + HEALTH + b"\r\n")) == 200


async def test_nobody_else_may_come_where_balancers_are_expected() -> None:
    settings = configuration(proxies=("10.0.0.0/8",), proxy_protocol="on")
    async with playing(settings) as stage:
        assert await asked(stage, line("192.0.2.7") + HEALTH + b"\r\n") == b""
        assert stage.errors == {"foreign_proxy": 1}


async def test_what_is_no_header_is_refused_and_a_slow_one_is_not_waited_for() -> None:
    async with playing(balanced(limits={"handshake": Seconds(0.2)})) as stage:
        assert await asked(stage, HEALTH + b"\r\n") == b""
        assert await asked(stage, b"PROXY TCP4 192.0.2.7") == b""
        assert stage.errors == {"bad_proxy_header": 1, "slow_head": 1}
        assert stage.traffic.limits == {"handshake": 1}


async def test_who_leaves_within_the_header_is_only_counted() -> None:
    async with playing(balanced()) as stage:
        async with await stage.dial() as stream:
            await stream.send_all(b"PROXY ")
            await stream.send_eof()
            assert await rest(stream) == b""
        assert stage.errors == {"left_before_proxy_header": 1}


# --- Through a proxy that writes into the head. ---


async def test_a_websocket_comes_from_who_the_proxy_says() -> None:
    with capture_logs() as log:
        async with playing(proxied(connections_per_address=1)) as stage:
            seven = AUTHORIZED + b"X-Forwarded-For: 203.0.113.9, 192.0.2.7\r\n"
            eight = AUTHORIZED + b"X-Forwarded-For: 192.0.2.8, 10.0.0.2\r\n"
            async with opened(stage, headers=seven) as answer, opened(stage, headers=eight) as other:
                assert status(answer) == status(other) == 101
                await until(lambda: len(clients(log)) == 2)
                async with stage.client() as inside:  # the proxy itself
                    assert await is_served(inside)
                refused = await asked(stage, POLL + seven + b"\r\n")
                assert status(refused) == 503
                assert b"limits.connections_per_address" in refused
                assert b"retry-after: 5\r\n" in refused
        assert stage.traffic.limits == {"connections_per_address": 1}
    assert clients(log) == ["192.0.2.7", "192.0.2.8", "127.0.0.1"]


@pytest.mark.parametrize(
    ("header", "shown"),
    [("x-forwarded-for", "X-Forwarded-For: %s"), ("forwarded", 'Forwarded: for="%s";proto=https')],
)
async def test_a_key_that_is_bound_to_addresses_is_good_from_there(header: str, shown: str) -> None:
    bound = b"Authorization: Bearer %b\r\n" % BOUND.encode()
    async with playing(proxied(header)) as stage:
        stage.publish("price", "BTC", price=5)
        for address, expected in (("192.0.2.7", 200), ("198.51.100.7", 401)):
            told = (shown % address).encode() + b"\r\n\r\n"
            assert status(await asked(stage, POLL + bound + told)) == expected
        assert status(await asked(stage, POLL + bound + b"\r\n")) == 401


async def test_a_rate_is_that_of_the_client() -> None:
    path = b"/api/v1/predictions/stream"
    async with playing(proxied(connections_per_minute=1)) as stage:
        for address, full in (("192.0.2.7", False), ("192.0.2.7", True), ("192.0.2.8", False)):
            headers = AUTHORIZED + f"X-Forwarded-For: {address}\r\n".encode()
            async with opened(stage, headers=headers, path=path) as answer:
                assert status(answer) == (429 if full else 101)


async def test_who_is_no_proxy_is_not_believed() -> None:
    settings = attrs.evolve(proxied(), listen=(configuration().listen[0],))
    with capture_logs() as log:
        async with playing(settings) as stage:
            async with opened(stage, headers=AUTHORIZED + b"X-Forwarded-For: 192.0.2.7\r\n"):
                await until(lambda: len(clients(log)) == 1)
            bound = b"Authorization: Bearer %b\r\nX-Forwarded-For: 192.0.2.7\r\n" % BOUND.encode()
            assert status(await asked(stage, POLL + bound + b"\r\n")) == 401
    assert clients(log) == ["127.0.0.1"]


async def test_what_is_malformed_is_passed_over_and_counted() -> None:
    with capture_logs() as log:
        async with playing(proxied()) as stage:
            wrong = AUTHORIZED + b"X-Forwarded-For: nobody\r\n"
            async with opened(stage, headers=wrong) as answer:
                assert status(answer) == 101
                await until(lambda: len(clients(log)) == 1)
            assert status(await asked(stage, HEALTH + wrong + b"\r\n")) == 200
            assert stage.errors == {"bad_forwarded": 2}
    assert clients(log) == ["127.0.0.1"]


async def test_it_is_the_same_over_http2() -> None:
    headers = {"x-forwarded-for": "192.0.2.7", "authorization": f"Bearer {KEY}"}
    async with playing(proxied(messages_per_minute=1)) as stage:
        stage.publish("price", "BTC", price=5)
        async with plain_http(stage.port, http1=False, http2=True) as http:
            url = "/api/v1/topics/price:BTC/latest"
            codes = [(await http.get(url, headers=headers)).status_code for _ in range(2)]
            other = await http.get(url, headers={**headers, "x-forwarded-for": "192.0.2.8"})
        assert (*codes, other.status_code) == (200, 429, 200)
