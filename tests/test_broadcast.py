"""The functions for applications, in a copy of their file, against real servers: under asyncio, Trio and neither."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import decimal
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from appliance import broadcast as original
from appliance.edge.certificates import ensure
from appliance.edge.tls import server_context
from appliance.settings.fields import Seconds
from appliance.settings.limits import LimitSettings
from tests.edge.http.publishing import KEY, READER, Office, elsewhere
from tests.edge.stage import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

    from appliance.edge.certificates import Paths

ALERT = {"type": "price_alert", "symbol": "AAPL", "message": "Price exceeded $150", "severity": "high"}
FILE = original.__file__


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The file, where an application that has no appliance installed would keep it."""
    copied = tmp_path / "broadcast.py"
    shutil.copy(FILE, copied)
    return copied


@pytest.fixture
def module(copied: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module, as new."""
    spec = importlib.util.spec_from_file_location("copied_broadcast", copied)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    yield module
    vars(module)["_line"].close()


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """A server, and the environment that says where it is."""
    with elsewhere(Office()) as office:
        monkeypatch.setenv("APPLIANCE_URL", office.url)
        monkeypatch.setenv("APPLIANCE_KEY", KEY)
        yield office


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    folder = tmp_path_factory.mktemp("pair")
    return ensure(folder, names=(), valid=30 * 86_400.0, renew_before=86_400.0, now=time.time())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


Answer = tuple[int, bytes] | None
"""Status and body of an answer; none: the connection is closed instead of it."""


@attrs.define(eq=False)
class Script:
    """A server that says what it is told to, an answer a request, and goes on to the next connection after none."""

    answers: list[Answer]
    allowed: threading.Event = attrs.field(factory=threading.Event)
    asked: threading.Event = attrs.field(factory=threading.Event)
    requests: list[bytes] = attrs.field(factory=list)
    port: int = 0

    def serve(self, door: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while self.answers:
                sock, _ = door.accept()
                with sock:
                    self._talk(sock)

    def _talk(self, sock: socket.socket) -> None:
        while self.answers and (request := self._request(sock)):
            self.requests.append(request)
            self.asked.set()
            self.allowed.wait(PATIENCE)
            answer = self.answers.pop(0) if self.answers else None
            if answer is None:
                return
            status, body = answer
            sock.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))

    def _request(self, sock: socket.socket) -> bytes:
        """Read a request; nothing, when the client has left."""
        with sock.makefile("rb") as file:
            head = b"".join(iter(file.readline, b"\r\n"))
            length = int(
                dict(line.lower().split(b": ") for line in head.splitlines()[1:]).get(b"content-length", 0)
            )
            return head and head + b"\r\n" + file.read(length)

    @property
    def keys(self) -> list[bytes]:
        """The idempotency keys that came."""
        return [
            line.partition(b": ")[2]
            for request in self.requests
            for line in request.split(b"\r\n")
            if line.startswith(b"Idempotency-Key")
        ]


@contextlib.contextmanager
def scripted(
    module: Any, *answers: Answer, waits: bool = False, timeout: float = PATIENCE
) -> Iterator[Script]:
    script = Script([*answers])
    if not waits:
        script.allowed.set()
    with socket.create_server(("127.0.0.1", 0)) as door:
        script.port = door.getsockname()[1]
        module.configure(f"http://127.0.0.1:{script.port}", key=KEY, timeout=timeout)
        thread = threading.Thread(target=script.serve, args=(door,))
        thread.start()
        try:
            yield script
        finally:
            script.allowed.set()
            script.answers.clear()
            vars(module)["_line"].close()
            with contextlib.suppress(OSError):
                door.shutdown(socket.SHUT_RDWR)
            thread.join()


GOOD = (200, b'{"success": true, "data": {"published": 1}, "error": null}')


# --- Where it is called. ---


def test_under_asyncio(module: Any, office: Office) -> None:
    async def application() -> None:
        receipt = await module.broadcast_prediction_update(
            symbol="aapl", prediction_data={"confidence": 0.85}
        )
        assert receipt["events"] == [{"topics": [{"topic": "predictions:AAPL", "epoch": "e", "offset": 1}]}]
        await module.broadcast_market_data(symbol="aapl", market_data={"price": 149.5})
        task = asyncio.create_task(module.send_alert(alert_data=ALERT))
        await asyncio.gather(task, *(module.publish("price", "MSFT", {"n": n}) for n in range(5)))

    asyncio.run(application())
    assert office.scene.published("predictions:AAPL") == [{"confidence": 0.85}]
    assert office.scene.published("price:AAPL") == [{"price": 149.5}]
    assert office.scene.published("alerts:symbol:AAPL") == [ALERT]
    assert sorted(data["n"] for data in office.scene.published("price:MSFT")) == [0, 1, 2, 3, 4]


def test_under_trio(module: Any, office: Office) -> None:
    async def application() -> None:
        await module.broadcast_prediction_update(symbol="aapl", prediction_data={"confidence": 0.85})
        async with trio.open_nursery() as nursery:  # ends with the last call
            nursery.start_soon(
                partial(module.broadcast_market_data, symbol="aapl", market_data={"price": 149.5})
            )
            nursery.start_soon(partial(module.send_alert, alert_data=ALERT))

    trio.run(application)
    assert office.scene.published("predictions:AAPL") == [{"confidence": 0.85}]
    assert office.scene.published("price:AAPL") == [{"price": 149.5}]
    assert office.scene.published("alerts:symbol:AAPL") == [ALERT]


def test_without_a_loop_the_call_itself_publishes(module: Any, office: Office) -> None:
    module.broadcast_prediction_update(symbol="aapl", prediction_data={"confidence": 0.85})
    assert office.scene.published("predictions:AAPL") == [{"confidence": 0.85}]
    assert module.publish("price", "BTC", {}).result["published"] == 1


def test_without_a_loop_the_result_can_be_awaited_all_the_same(module: Any, office: Office) -> None:
    async def waiting(done: Any) -> Any:
        return await done

    assert asyncio.run(module.publish("price", "BTC", {}))["published"] == 1
    assert trio.run(waiting, module.publish("price", "BTC", {}))["published"] == 1
    assert len(office.scene.published("price:BTC")) == 2
    done = module.publish("price", "BTC", {})
    done.close()
    with pytest.raises(KeyError):
        done.throw(KeyError("thrown"))


def test_a_thread_of_a_program_with_a_loop_has_none(module: Any, office: Office) -> None:
    async def application() -> None:
        await asyncio.to_thread(module.publish, "price", "BTC", {})

    asyncio.run(application())
    trio.run(trio.to_thread.run_sync, partial(module.publish, "price", "BTC", {}))
    assert len(office.scene.published("price:BTC")) == 2


def test_asyncio_goes_on_meanwhile(module: Any) -> None:
    with scripted(module, GOOD, waits=True) as script:

        async def application() -> None:
            async with asyncio.timeout(PATIENCE):
                task = asyncio.create_task(module.publish("price", "BTC", {}))
                await asyncio.to_thread(script.asked.wait, PATIENCE)
                assert not task.done()
                script.allowed.set()
                assert await task == {"published": 1}

        asyncio.run(application())


def test_trio_goes_on_meanwhile_and_can_cancel(module: Any) -> None:
    with scripted(module, GOOD, waits=True) as script:

        async def application() -> None:
            with trio.fail_after(PATIENCE):
                with trio.CancelScope() as scope:
                    async with trio.open_nursery() as nursery:  # ends when it is cancelled
                        nursery.start_soon(module.publish, "price", "BTC", {})
                        await trio.to_thread.run_sync(script.asked.wait, PATIENCE)
                        scope.cancel()
                assert scope.cancelled_caught
            script.allowed.set()

        trio.run(application)


async def test_inside_a_plugin_no_address_is_needed(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APPLIANCE_URL", raising=False)

    class Appliance:
        def __init__(self) -> None:
            self.events: list[tuple[Any, str | None]] = []

        async def publish(self, event: bytes, key: str | None) -> dict[str, Any]:
            self.events.append((json.loads(event), key))
            return {"published": 1}

        def publish_blocking(self, event: bytes, key: str | None) -> dict[str, Any]:
            return trio.from_thread.run(self.publish, event, key)

        def connections(self) -> dict[str, Any]:
            return {"total": 2, "channels": {"alerts": 2}}

    appliance = Appliance()
    with module.inside(appliance):
        assert await module.publish("price", "BTC", {}, idempotency_key="k") == {"published": 1}
        await trio.to_thread.run_sync(partial(module.send_alert, alert_data=ALERT))
        assert module.connection_manager.get_connection_count() == 2
    assert appliance.events == [
        ({"channel": "price", "key": "BTC", "data": {}}, "k"),
        ({"channel": "alerts", "key": "AAPL", "data": ALERT}, None),
    ]
    with pytest.raises(module.BroadcastError, match="APPLIANCE_URL"):
        await module.publish("price", "BTC", {})


# --- What is sent. ---


def test_an_alert_of_no_symbol_is_for_all(module: Any) -> None:
    with scripted(module, GOOD, GOOD) as script:
        module.send_alert(alert_data={"message": "closed"})
        module.send_alert(alert_data={"message": "closed", "symbol": None})
        assert [json.loads(request.partition(b"\r\n\r\n")[2])["key"] for request in script.requests] == [
            "all",
            "all",
        ]


def test_what_applications_have_at_hand_becomes_json(module: Any, office: Office) -> None:
    class Scalar:
        def tolist(self) -> float:
            return 1.5

    at = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
    data = {
        "at": at,
        "price": decimal.Decimal("1.25"),
        "score": Scalar(),
        "more": MappingProxyType({}),
        "n": (1, 2),
    }
    module.publish("price", "BTC", data, at=at)
    [entry] = office.scene.hub.topic("price:BTC").after(0)
    assert json.loads(entry.body) == {
        "at": "2024-01-01T12:00:00+00:00",
        "price": 1.25,
        "score": 1.5,
        "more": {},
        "n": [1, 2],
    }
    assert entry.at == at.timestamp()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_what_is_no_json_is_told_before_it_is_sent(module: Any, value: object) -> None:
    with pytest.raises(module.BroadcastError, match="no JSON"):
        module.publish("price", "BTC", {"value": value})


@pytest.mark.parametrize("symbol", [None, "", 5])
def test_a_symbol_is_text(module: Any, symbol: Any) -> None:
    with pytest.raises(module.BroadcastError, match="symbol is text"):
        module.broadcast_market_data(symbol=symbol, market_data={})


def test_a_key_of_ones_own_counts_once(module: Any, office: Office) -> None:
    receipts = [module.publish("price", "BTC", {}, idempotency_key="k").result for _ in range(2)]
    assert [receipt["duplicate"] for receipt in receipts] == [False, True]
    assert len(office.scene.published("price:BTC")) == 1


# --- Connections. ---


def test_connections_are_counted(module: Any, office: Office) -> None:
    counts = module.connection_manager
    assert counts.get_connection_count() == 3
    assert counts.get_connection_count("predictions") == 1
    assert counts.get_connection_count("market-data") == 0
    assert counts.get_connection_count("nowhere") == 0
    assert counts.get_channels() == ["predictions", "alerts"]
    assert office.requests == 5


def test_a_connection_is_used_again(module: Any, office: Office) -> None:
    for _ in range(3):
        module.publish("price", "BTC", {})
        thread = threading.Thread(target=module.publish, args=("price", "BTC", {}))
        thread.start()
        thread.join()
    assert office.connections == 1
    assert office.requests == 6


def test_a_connection_that_was_closed_meanwhile_is_opened_anew(module: Any) -> None:
    with elsewhere(Office(limits=LimitSettings(keep_alive=Seconds(0.05)))) as office:

        def has_left(times: int) -> bool:
            return office.left == times

        module.configure(office.url, key=KEY)
        for turn in range(1, 4):
            module.publish("price", "BTC", {})
            until(partial(has_left, turn))
        assert office.connections == 3
    assert len(office.scene.published("price:BTC")) == 3


def test_what_was_sent_on_a_lost_connection_is_sent_again_under_the_same_key(module: Any) -> None:
    with scripted(module, GOOD, None, GOOD) as script:
        module.publish("price", "BTC", {})
        module.publish("price", "BTC", {})
        first, second, again = script.keys
        assert second == again
        assert first != second


def test_it_is_sent_again_once(module: Any) -> None:
    with scripted(module, GOOD, None, None, GOOD) as script:
        module.publish("price", "BTC", {})
        with pytest.raises(module.BroadcastError, match="cannot be asked"):
            module.publish("price", "BTC", {})
        assert len(script.requests) == 3


def test_another_address_has_connections_of_its_own(module: Any, office: Office) -> None:
    module.publish("price", "BTC", {})
    with elsewhere(Office()) as other:
        module.configure(other.url, key=KEY)
        module.publish("price", "BTC", {})
        assert (office.connections, other.connections) == (1, 1)


@pytest.mark.usefixtures("office")
def test_an_answer_before_the_end_of_a_large_request_is_read(module: Any) -> None:
    with pytest.raises(module.BroadcastError, match=r"publish\.body_bytes"):
        module.publish("price", "BTC", {"text": "x" * 5_000_000})


def test_over_tls(module: Any, pair: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    with elsewhere(Office(tls=server_context(pair.certificate, pair.key))) as office:
        monkeypatch.setenv("APPLIANCE_URL", office.url)
        monkeypatch.setenv("APPLIANCE_KEY", KEY)
        with pytest.raises(
            module.BroadcastError, match=r"not trusted: .*certificate\.pem in the state folder"
        ):
            module.publish("price", "BTC", {})
        monkeypatch.setenv("APPLIANCE_CERTIFICATE", str(pair.certificate))
        for _ in range(2):
            module.publish("price", "BTC", {})
        module.configure(office.url, key=KEY, certificate=pair.certificate)
        module.publish("price", "BTC", {})
    assert len(office.scene.published("price:BTC")) == 3


# --- What goes wrong. ---


@pytest.mark.usefixtures("office")
def test_a_mistake_is_told_with_its_path(module: Any) -> None:
    with pytest.raises(module.BroadcastError, match=r"^data\.confidence: .* <= 1\.0$") as caught:
        module.broadcast_prediction_update(symbol="AAPL", prediction_data={"confidence": 2})
    assert caught.value.status == 422
    assert [error["path"] for error in caught.value.errors] == ["data.confidence"]


@pytest.mark.usefixtures("office")
def test_a_mistake_is_told_to_who_awaits(module: Any) -> None:
    async def application() -> None:
        with pytest.raises(module.BroadcastError, match="data"):
            await module.broadcast_prediction_update(symbol="AAPL", prediction_data={})

    asyncio.run(application())
    trio.run(application)


@pytest.mark.parametrize(
    ("key", "status", "part"),
    [(None, 401, "show an API key"), ("sk_wrong", 401, "not known"), (READER, 403, "reader may not publish")],
)
def test_a_key_that_does_not_do_is_told(
    module: Any, office: Office, key: str, status: int, part: str
) -> None:
    module.configure(office.url, key=key)
    with pytest.raises(module.BroadcastError, match=part) as caught:
        module.publish("price", "BTC", {})
    assert caught.value.status == status


def test_counts_need_a_key_too(module: Any, office: Office) -> None:
    module.configure(office.url)
    with pytest.raises(module.BroadcastError, match="show an API key"):
        module.connection_manager.get_connection_count()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8443",
        "wss://localhost",
        "https://",
        "https://h:port",
        "https://h:99999",
        "http://a@h",
        "http://h?x",
    ],
)
def test_an_odd_address_is_told(module: Any, url: str) -> None:
    with pytest.raises(module.BroadcastError, match="is no address"):
        module.configure(url)


@pytest.mark.parametrize("key", ["", "two words", "é", "line\nbreak"])
def test_an_odd_key_is_told_but_not_shown(module: Any, key: str) -> None:
    with pytest.raises(module.BroadcastError, match="no key") as caught:
        module.configure("https://localhost", key=key)
    assert not key or key not in str(caught.value)


def test_a_key_stays_out_of_reprs(module: Any) -> None:
    module.configure("https://localhost", key=KEY)
    assert KEY not in repr(vars(vars(module)["_line"]))


def test_nobody_said_where(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APPLIANCE_URL", raising=False)
    for ask in (partial(module.publish, "price", "BTC", {}), module.connection_manager.get_channels):
        with pytest.raises(module.BroadcastError, match=r"set APPLIANCE_URL, or call configure"):
            ask()


def test_nobody_is_there(module: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    module.configure(f"http://127.0.0.1:{port}", key=KEY)
    with pytest.raises(module.BroadcastError, match=f"127.0.0.1:{port} cannot be asked: .*refused"):
        module.publish("price", "BTC", {})


def test_a_certificate_that_is_not_there_is_told(module: Any, tmp_path: Path) -> None:
    module.configure("https://localhost:1", key=KEY, certificate=tmp_path / "none.pem")
    with pytest.raises(module.BroadcastError, match=r"none\.pem: no certificate can be read"):
        module.publish("price", "BTC", {})


def test_who_does_not_answer_is_not_waited_for(module: Any) -> None:
    with (
        scripted(module, GOOD, waits=True, timeout=0.1),
        pytest.raises(module.BroadcastError, match=r"did not answer within 0\.1 s"),
    ):
        module.publish("price", "BTC", {})


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        ((200, b"<html>"), "answered 200 and no JSON"),
        ((502, b"[]"), "answered 502 and no JSON"),
        ((200, b"{}"), "no `data`"),
        ((500, b'{"error": "down", "errors": 5}'), "down"),
        ((500, b'{"errors": [5, {"path": "a", "problem": "b"}]}'), "^a: b$"),
    ],
)
def test_an_answer_of_something_else_is_told(module: Any, answer: Answer, part: str) -> None:
    with scripted(module, answer), pytest.raises(module.BroadcastError, match=part):
        module.publish("price", "BTC", {})


@pytest.mark.parametrize("body", [b"{}", b'{"connections": 5}', b'{"connections": {}}'])
def test_statistics_of_something_else_are_told(module: Any, body: bytes) -> None:
    with scripted(module, (200, body)), pytest.raises(module.BroadcastError, match="no `connections`"):
        module.connection_manager.get_connection_count()


# --- On its own. ---


def run(script: str, folder: Path, **environment: str) -> str:
    """Run a program with the standard library alone."""
    done = subprocess.run(
        [sys.executable, "-S", "-W", "error", "-X", "dev", "-c", textwrap.dedent(script)],
        cwd=folder,
        env={**environment, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_copy_needs_the_standard_library_alone(copied: Path, office: Office) -> None:
    script = """
        import asyncio, broadcast
        broadcast.publish("price", "BTC", {"n": 1})
        asyncio.run(broadcast.publish("price", "BTC", {"n": 2}))
        async def application():
            await broadcast.publish("price", "BTC", {"n": 3})
        asyncio.run(application())
    """
    run(script, copied.parent, APPLIANCE_URL=office.url, APPLIANCE_KEY=KEY)
    assert [data["n"] for data in office.scene.published("price:BTC")] == [1, 2, 3]


def test_a_forked_process_has_connections_of_its_own(copied: Path, office: Office) -> None:
    script = """
        import broadcast, os
        broadcast.publish("price", "BTC", {"by": "parent"})
        if (child := os.fork()) == 0:
            for _ in range(3):
                broadcast.publish("price", "BTC", {"by": "child"})
        else:
            for _ in range(3):
                broadcast.publish("price", "BTC", {"by": "parent"})
            assert os.waitpid(child, 0)[1] == 0
    """
    run(script, copied.parent, APPLIANCE_URL=office.url, APPLIANCE_KEY=KEY)
    assert (
        sorted(data["by"] for data in office.scene.published("price:BTC")) == ["child"] * 3 + ["parent"] * 4
    )
    assert office.connections == 2
