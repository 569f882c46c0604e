"""The whole appliance in this process, on a port of the loopback, with the clients that a user has."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio_websocket

from appliance.api import Channel, Feed, Mode
from appliance.app import Appliance
from appliance.core.errors import PluginError, SettingsError
from appliance.edge import listener
from appliance.edge.certificates import ensure
from appliance.edge.dialogues.cryptointel import STATUS_TOPIC
from appliance.edge.listener import Bound
from appliance.edge.tls import Contexts
from appliance.loading.catalogue import Catalogue, collect
from appliance.loading.configured import configure
from appliance.loading.files import builtin_folder
from appliance.loading.plugin import OWN
from appliance.settings.access import KeySettings
from appliance.settings.address import Address
from appliance.settings.fields import Seconds, Secret
from appliance.settings.limits import LimitSettings
from appliance.settings.load import load
from appliance.settings.tree import ListenSettings, RestartSettings, Settings, StatusSettings, StopSettings
from tests.edge.stage import PATIENCE, Client, rest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

KEY = KeySettings(name="alice", key=Secret("sk_of-alice"))
OTHER = KeySettings(name="bob", key=Secret("sk_of-bob"))
OPEN = ListenSettings(url="tcp://127.0.0.1:0", auth="none")
SETTINGS = Settings(
    listen=(OPEN, ListenSettings(url="tcp://127.0.0.1:0")),
    stop=StopSettings(deadline=Seconds(PATIENCE), retry=Seconds(0)),
    restart=RestartSettings(first=Seconds(0.01), most=Seconds(0.02)),
    status=StatusSettings(every=Seconds(0.05)),
)


async def count(feed: Feed, _settings: object) -> None:
    async for beat in feed.every(0.01):
        await feed.publish({"beat": beat}, key="all")


def channel(name: str, produce: Callable[[Feed, Any], Awaitable[None]] = count) -> Channel:
    return Channel(name=name, mode=Mode.LOG, message=name, produce=produce, topics=("all",))


@attrs.define(eq=False)
class Running:
    """An appliance that runs, and the ports of its listeners: the first asks for no key, the second does."""

    appliance: Appliance
    ports: list[int]
    nursery: trio.Nursery
    ended: trio.Event = attrs.field(factory=trio.Event)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await self.appliance.run(task_status=task_status)
        self.ended.set()

    @contextlib.asynccontextmanager
    async def client(self, key: KeySettings | None = None) -> AsyncIterator[Client]:
        headers = [] if key is None else [(b"x-api-key", str(key.key).encode())]
        port = self.ports[0 if key is None else 1]
        # trio-websocket leaves a stream that it has opened itself to the collector when the server closes first.
        # The nursery ends with the connection.
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream, trio.open_nursery() as nursery:
            yield Client(
                opened := await trio_websocket.wrap_client_stream(
                    nursery, stream, "127.0.0.1", "/ws", extra_headers=headers, message_queue_size=10_000
                )
            )
            await opened.aclose()

    async def statistics(self) -> dict[str, Any]:
        stream = await trio.open_tcp_stream("127.0.0.1", self.ports[0])
        async with stream:
            await stream.send_all(b"GET /ws/stats HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            found: dict[str, Any] = json.loads((await rest(stream)).partition(b"\r\n\r\n")[2])
        return found


def bound(url: str) -> Bound:
    address = Address.parse(url)
    sock = listener.bind(address)
    port = sock.getsockname()[1] if address.kind != "unix" else 0
    return Bound(attrs.evolve(address, port=port), sock)


@contextlib.asynccontextmanager
async def running(
    *channels: Channel, settings: Settings = SETTINGS, contexts: Contexts | None = None
) -> AsyncIterator[Running]:
    """Run an appliance with these channels, or the built-in ones. It is stopped, and has ended, with the block."""
    catalogue = Catalogue(channels={each.name: each for each in channels})
    configured = configure(
        catalogue if channels else collect([builtin_folder()]),
        load(
            file=None, environment={"APPLIANCE_SOURCES__SIMULATED__INTERVAL": "50ms"} if not channels else {}
        ),
    )
    sockets = [bound(listen.url) for listen in settings.listen]
    appliance = Appliance(settings, configured, keys=(KEY,), sockets=sockets, contexts=contexts)
    with trio.fail_after(2 * PATIENCE):
        async with trio.open_nursery() as nursery:  # ends with the appliance
            started = Running(appliance, [each.address.port for each in sockets], nursery)
            await nursery.start(started.run)
            yield started
            appliance.stop()


async def events(client: Client, topic: str, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while len(found) < count:
        message = await client.hear()
        if message.get("channel") == topic and "offset" in message:
            found.append(message)
    return found


async def test_clients_see_the_market_from_its_source_to_their_socket() -> None:
    async with running() as started, started.client() as client:
        await client.say(type="subscribe", channels=["price:bitcoin", "signals:all"])
        told = await client.hear_of("subscribed")
        assert [topic["channel"] for topic in told["channels"]] == ["price:bitcoin", "signals:all"]
        prices = await events(client, "price:bitcoin", 5)
        assert {price["type"] for price in prices} == {"price_update"}
        assert {price["data"]["symbol"] for price in prices} == {"BTC"}
        first = prices[0]["offset"]
        assert [price["offset"] for price in prices] == list(range(first, first + 5))
        assert first == max(1, told["channels"][0]["offset"])


async def test_it_tells_of_itself() -> None:
    async with running(channel("beats")) as started, started.client() as client:
        await client.say(type="subscribe", channels=["beats:all"])
        statuses = await events(client, STATUS_TOPIC, 2)
        assert statuses[1]["data"]["status"] == "healthy"
        assert statuses[1]["data"]["active_connections"] == 1
        statistics = await started.statistics()
        assert statistics["channels"].keys() == {"beats", "system"}
        assert statistics["open_connections"] == 2


async def test_each_listener_has_its_own_policy() -> None:
    async with running(channel("beats")) as started:
        async with started.client(KEY) as client:
            await client.say(type="auth", token=str(KEY.key))
            assert (await client.hear_of("authenticated"))["data"]["name"] == "alice"
        async with started.client(OTHER) as client:
            assert (await client.hear_of("error"))["error"]["code"] == "INVALID_TOKEN"


async def test_a_stop_says_goodbye_and_leaves_nothing() -> None:
    async with running(channel("beats")) as started:
        async with started.client() as client:
            await client.say(type="subscribe", channels=["beats:all"])
            await events(client, "beats:all", 1)
            started.appliance.stop()
            assert await client.close_frame() == (1012, "SERVER_RESTART retry_after=0.0")
        await started.ended.wait()
        for port in started.ports:
            with pytest.raises(OSError, match="connect"):
                await trio.open_tcp_stream("127.0.0.1", port)


async def test_what_was_published_before_a_stop_still_arrives() -> None:
    go, sent = trio.Event(), trio.Event()

    async def burst(feed: Feed, _settings: object) -> None:
        await go.wait()
        for number in range(500):
            await feed.publish({"number": number}, key="all")
        sent.set()
        await trio.sleep_forever()

    async with running(channel("burst", burst)) as started, started.client() as client:
        await client.say(type="subscribe", channels=["burst:all"])
        await client.hear_of("subscribed")
        go.set()
        await sent.wait()
        started.appliance.stop()
        assert [event["offset"] for event in await events(client, "burst:all", 500)] == list(range(1, 501))
        assert (await client.close_frame())[0] == 1012


async def test_a_stop_does_not_wait_for_a_client_longer_than_its_deadline() -> None:
    settings = attrs.evolve(
        SETTINGS,
        stop=StopSettings(deadline=Seconds(0.2)),
        limits=LimitSettings(handshake=Seconds(86_400)),
    )
    async with running(channel("beats"), settings=settings) as started:
        with socket.create_connection(("127.0.0.1", started.ports[0])) as silent:
            while (await started.statistics())["open_connections"] < 2:
                pass
            started.appliance.stop()
            await started.ended.wait()
            with contextlib.suppress(ConnectionResetError):
                while silent.recv(4096):  # what it was told, to the end
                    pass


async def test_a_reload_changes_limits_and_keys_for_those_who_are_there() -> None:
    async with running(channel("beats"), channel("others")) as started, started.client(KEY) as client:
        await client.say(type="subscribe", channels=["beats:all"])
        await client.hear_of("subscribed")
        limits = LimitSettings(subscriptions=1)
        started.appliance.reload(attrs.evolve(SETTINGS, limits=limits), (KEY, OTHER))
        await client.say(type="subscribe", channels=["others:all"])
        error = (await client.hear_of("error"))["error"]
        assert error["code"] == "RATE_LIMITED"
        assert "limits.subscriptions" in error["message"]
        before = (await events(client, "beats:all", 1))[0]["offset"]
        assert (await events(client, "beats:all", 1))[0]["offset"] == before + 1
        async with started.client(OTHER) as other:
            await other.say(type="auth", token=str(OTHER.key))
            assert (await other.hear_of("authenticated"))["data"]["name"] == "bob"
            started.appliance.reload(attrs.evolve(SETTINGS, limits=limits), (OTHER,))
            assert (await client.hear_of("error"))["error"]["code"] == "REVOKED_TOKEN"
            assert await client.close_frame() == (1008, "REVOKED_TOKEN")
            await other.say(type="ping")
            await other.hear_of("pong")
        async with started.client(KEY) as late:
            assert (await late.hear_of("error"))["error"]["code"] == "INVALID_TOKEN"


async def test_a_reload_with_bad_keys_leaves_all_as_it_was() -> None:
    async with running(channel("beats")) as started:
        with pytest.raises(SettingsError):
            started.appliance.reload(
                attrs.evolve(SETTINGS, limits=LimitSettings(subscriptions=1)), (KeySettings(name="nobody"),)
            )
        async with started.client(KEY) as client:
            await client.say(type="subscribe", channels=["beats:all", "beats:*"])
            assert len((await client.hear_of("subscribed"))["patterns"]) == 1


async def test_a_producer_that_fails_is_started_again_and_shown() -> None:
    runs = 0

    async def failing(feed: Feed, _settings: object) -> None:
        nonlocal runs
        runs += 1
        await feed.publish({"run": runs}, key="all")
        if runs < 4:
            raise OSError("the market is closed")
        await trio.sleep_forever()

    async with running(channel("faulty", failing), channel("beats")) as started, started.client() as client:
        await client.say(
            type="subscribe",
            channels=["faulty:all", "beats:all"],
            recover={"faulty:all": {"epoch": "gone", "offset": 0}},
        )
        found = await events(client, "faulty:all", 4)
        assert [event["data"]["run"] for event in found] == [1, 2, 3, 4]
        shown = (await started.statistics())["channels"]
        assert shown["faulty"]["is_healthy"]
        assert (shown["faulty"]["error_count"], shown["faulty"]["recovery_attempts"]) == (3, 3)
        assert shown["faulty"]["last_error"] == "OSError: the market is closed"
        assert (shown["beats"]["error_count"], shown["beats"]["last_error"]) == (0, None)
        assert await events(client, "beats:all", 1)


async def test_a_producer_that_is_down_is_unhealthy_and_so_is_the_appliance() -> None:
    async def failing(_feed: Feed, _settings: object) -> None:
        raise OSError("the market is closed")

    settings = attrs.evolve(
        SETTINGS, restart=RestartSettings(first=Seconds(PATIENCE), most=Seconds(PATIENCE))
    )
    async with running(channel("faulty", failing), settings=settings) as started:
        async with started.client() as client:
            await client.say(type="subscribe", channels=[STATUS_TOPIC])
            while (await client.hear_of("system_status"))["data"]["status"] != "degraded":
                pass
        statistics = await started.statistics()
        assert statistics["status"] == "degraded"
        assert not statistics["channels"]["faulty"]["is_healthy"]


async def test_cancelled_it_ends_at_once_and_closes_its_doors(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    settings = attrs.evolve(SETTINGS, listen=(OPEN, ListenSettings(url=f"unix:{path}")))
    with trio.CancelScope() as scope:
        async with running(channel("beats"), settings=settings) as started, started.client() as client:
            await client.say(type="subscribe", channels=["beats:all"])
            await events(client, "beats:all", 1)
            assert path.is_socket()
            scope.cancel()
            await trio.sleep_forever()
    assert not path.exists()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", started.ports[0]))


async def test_a_certificate_that_is_renewed_is_shown_to_who_comes_then(tmp_path: Path) -> None:
    def pair(now: float) -> tuple[Path, Path]:
        made = ensure(tmp_path, names=(), valid=30 * 86_400.0, renew_before=86_400.0, now=now)
        return made.certificate, made.key

    contexts = Contexts(*pair(1.7e9))
    before = contexts.current.fingerprint
    settings = attrs.evolve(SETTINGS, listen=(ListenSettings(url="tls://127.0.0.1:0"),))
    async with running(channel("beats"), settings=settings, contexts=contexts) as started:
        pair(1.8e9)
        started.appliance.reload(settings, (KEY,))
        assert contexts.current.fingerprint != before


def test_its_own_channel_is_no_plugins(tmp_path: Path) -> None:
    assert STATUS_TOPIC.partition(":")[0] == OWN
    (tmp_path / "mine.py").write_text(
        "from appliance.api import Channel, Mode, hookimpl\n\n\n@hookimpl\ndef register_channels():\n"
        f'    return [Channel(name="{OWN}", mode=Mode.LOG, message="mine", source="simulated")]\n'
    )
    with pytest.raises(PluginError, match="the appliance's own channel"):
        collect([tmp_path])
