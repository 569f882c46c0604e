"""Every block of the ara document that a client or an application uses, against its profile."""

from __future__ import annotations

import ast
import contextlib
import itertools
import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from websockets.sync.client import connect

from tests.e2e.dialogue import Dialogue
from tests.e2e.documents import application
from tests.e2e.documents.blocks import Block, block, blocks
from tests.e2e.documents.programs import Example, Program, Stage, in_node, python, says
from tests.e2e.documents.systems import free_port, profile, publish, with_real_rows, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from tests.e2e.conftest import Start
    from tests.e2e.running import Running

NAME = "ara"
PUBLISHER = "ara"
"""The owner of the key, in the profile, that the application publishes with."""

OPENED = "const ws = new WebSocket('{}');\n"
"""What blocks use, and do not open."""

SHOWN = "const showNotification = (alert) => console.log('Shown:', alert);\n"
"""What a block calls, and does not define."""

COUNTED = "\nimport json\nprint(json.dumps([total, predictions_count, channels]))\n"
"""What becomes of a block's counts."""

TRADER = "key-of-the-trader"


@pytest.fixture(scope="module")
def running(start_shared: Start) -> Running:
    """The profile, but for the time after which a silent client is asked for a sign of life: half a minute there.

    An application may add signals, so that no test waits for the market to give one that is worth an alert.
    """
    publishing = (
        f'auth.keys=[{{name="trader", key="{TRADER}", publish=["signals"]}}]',
        "channels.signals.publish=true",
    )
    soon = (
        'sources.simulated.symbols=["AAPL", "MSFT"]',
        "sources.simulated.interval=250ms",
        "heartbeat.interval=200ms",
    )
    return start_shared(*words(profile(NAME), *publishing, *soon), key=TRADER)


def place(running: Running) -> str:
    return running.addresses[0].partition("://")[2]


@attrs.frozen
class Scene:
    """A block, and where it runs."""

    block: Block
    stage: Stage
    running: Running
    start: Start
    """Starts another appliance."""

    @property
    def text(self) -> str:
        return self.block.here(place(self.running), self.running.key)

    def address(self, path: str) -> str:
        return f"{self.running.url('ws', path)}?token={self.running.key}"

    def run(self, before: str = "") -> Example:
        return self.stage.run(before + self.text)


def about(symbol: str) -> Callable[[list[Any]], bool]:
    """Pass a prediction for this symbol that is handed to the client's own function."""
    return lambda words: words[0] == "New prediction:" and bool(words[1]["symbol"] == symbol)


def ping(words: list[Any]) -> bool:
    return words[0] == "Received:" and bool(words[1]["type"] == "ping")


def follow_predictions(scene: Scene) -> None:
    example = scene.run()
    example.hear(says("Connected to predictions stream"))
    example.hear(lambda words: words[0] == "Received:" and words[1]["type"] == "connected")
    example.hear_different(about("AAPL"))
    example.hear(ping, times=3)  # who does not answer one gets no second one

    example.do("ws.close()")
    example.hear(says("Disconnected from predictions stream"))
    assert example.complaints() == []


def show_alerts(scene: Scene) -> None:
    numbers = itertools.count()
    example = scene.run(SHOWN)
    alerts = example.hear_different(
        says("Alert:"),
        meanwhile=lambda: worth_an_alert(scene.running, f"{scene.stage.engine}-{next(numbers)}"),
    )
    notified = example.hear_different(says("Shown:"))

    assert [alert for _, alert in notified][:2] == [alert for _, alert in alerts][:2]
    for _, alert in alerts:
        assert alert.keys() >= {"type", "symbol", "message", "severity"}
    assert example.complaints() == []


def worth_an_alert(running: Running, symbol: str) -> None:
    """Publish a signal for which the appliance's own rules raise an alert, once in a while for each symbol."""
    signal = {"symbol": symbol, "confidence": 0.85, "severity": "high", "description": "It goes up"}
    publish(running, TRADER, {"channel": "signals", "key": symbol, "data": signal})


def answer_pings(scene: Scene) -> None:
    example = scene.run(OPENED.format(scene.address("/ws/alerts")))
    example.do("ws.addEventListener('message', ({ data }) => console.log('Received:', JSON.parse(data)))")
    example.hear(ping, times=3)
    assert example.complaints() == []


def come_back(scene: Scene) -> None:
    """The block shows nothing of what it receives, so that the appliance has to say that it came."""
    port = free_port()
    profiled = words(profile(NAME), port=port)
    first = scene.start(*profiled)
    example = scene.stage.run(scene.block.here(place(first)))
    first.wait_for("session opened", path="/ws/predictions/AAPL")
    assert first.stop() == 0
    example.hear(says("Connection closed, reconnecting in 5 seconds..."))

    scene.start(*profiled).wait_for("session opened", path="/ws/predictions/AAPL")


def tell_of_errors(scene: Scene) -> None:
    example = scene.run(OPENED.format(scene.address("/ws/predictions/AAPL")))
    example.do("ws.addEventListener('message', () => console.log('Open'), { once: true })")
    example.hear(says("Open"))
    example.do("ws.send('{')")
    example.hear(says("Server error:", "Invalid JSON format"))
    example.do("ws.send(JSON.stringify({ type: 'dance' }))")
    example.hear(says("Server error:", "Unknown message type: dance"))

    nobody = scene.run(OPENED.format(f"ws://127.0.0.1:{free_port()}/ws/alerts"))
    nobody.hear(says("WebSocket error:"))


def change_symbol_and_come_back(scene: Scene) -> None:
    example = scene.run()
    example.hear(says("Connected"))
    example.hear_different(about("AAPL"))
    example.do("client.subscribe('MSFT')")
    example.hear_different(about("MSFT"))
    example.do("console.log('Asked')")
    example.hear(says("Asked"))
    example.do("client.ws.send('{')")
    example.hear(says("Server error:", "Invalid JSON format"))

    example.do("client.disconnect()")
    example.hear(says("Disconnected, reconnecting..."))
    example.hear(says("Connected"), times=2)
    seen = len(example.hear_different(about("MSFT")))
    example.hear_different(about("MSFT"), times=seen + 2)
    after = example.said().index(["Asked"])
    assert not any(about("AAPL")(words) for words in example.said()[after:])


JAVASCRIPT = {
    "1. Predictions WebSocket": follow_predictions,
    "3. Alerts WebSocket": show_alerts,
    "Heartbeat": answer_pings,
    "Reconnection": come_back,
    "Error Handling": tell_of_errors,
    "Example: Complete Client": change_symbol_and_come_back,
}
"""What each block has to see, by the heading above it."""


SCRIPTS = blocks(NAME, "javascript")


@pytest.fixture(scope="module", autouse=True)
def in_the_background(
    running: Running, start_shared: Start, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[Block, Future[None]]]:
    """What the blocks see in Node."""

    def see(block: Block, stage: Stage) -> None:
        start = partial(start_shared, state=stage.folder / "state")
        JAVASCRIPT[block.title](Scene(block, stage, running, start))

    folder = tmp_path_factory.mktemp("in-node")
    with in_node(see, SCRIPTS, folder=folder, certificate=running.certificate) as seen:
        yield seen


@pytest.mark.parametrize("block", SCRIPTS, ids=str)
def test_each_javascript_block_sees_what_it_is_for(
    block: Block,
    stage: Stage,
    running: Running,
    start: Start,
    in_the_background: Mapping[Block, Future[None]],
) -> None:
    if stage.engine == "node":
        in_the_background[block].result()
    else:
        JAVASCRIPT[block.title](Scene(block, stage, running, start))


@pytest.mark.parametrize("release", ["of its time", "of today"])
@pytest.mark.parametrize("block", [block(NAME, "python", "2. Market Data WebSocket")], ids=str)
def test_the_python_client_prints_market_data(
    block: Block, release: str, running: Running, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    script = tmp_path / "client.py"
    script.write_text(block.here(place(running), running.key), encoding="utf-8")
    paths = [request.getfixturevalue("websockets_13")] if release == "of its time" else []
    with python(script, *paths) as program:
        program.wait_for("Connected to market data stream")
        lines = program.wait_for(r"Price update: (\{.*\})", times=2)

    rows = [ast.literal_eval(found[1]) for found in lines]
    assert [row["symbol"] for row in rows[:2]] == ["AAPL", "AAPL"]
    assert rows[0]["timestamp"] < rows[1]["timestamp"]


@pytest.mark.parametrize("block", blocks(NAME, "", "Authentication"), ids=str)
def test_each_address_with_a_token_leads_to_predictions(block: Block, running: Running) -> None:
    with connect(block.here(place(running), running.key).strip(), proxy=None) as socket:
        client = Dialogue(socket)
        first, second = (client.hear("prediction_update") for _ in range(2))

    assert first["symbol"] == second["symbol"] == "AAPL"
    assert first["data"]["time"] < second["data"]["time"]


# --- The blocks of an application. ---


@attrs.frozen
class Application:
    """Runs blocks as a part of ARA's application, beside an appliance that tells what it publishes and nothing else."""

    folder: Path
    running: Running
    key: str

    @contextlib.contextmanager
    def run(self, text: str) -> Iterator[Program]:
        (self.folder / "block.py").write_text(text, encoding="utf-8")
        (self.folder / "awaiting.py").write_text(application.AWAITING, encoding="utf-8")
        told = {"APPLIANCE_URL": self.running.url("http"), "APPLIANCE_KEY": self.key}
        command = (sys.executable, "-u", "awaiting.py", "block.py")
        with Program.running(*command, folder=self.folder, variables=told) as program:
            yield program


@pytest.fixture(scope="module")
def ara(start_shared: Start, tmp_path_factory: pytest.TempPathFactory) -> Application:
    """The profile with the lines for real rows in use, and the application that gives them."""
    above = tmp_path_factory.mktemp("ara")
    folder = above / "application"
    file, keys = with_real_rows(NAME, above)
    running = start_shared(*words(file), key=keys["clients"], state=above / "state")
    assert application.write(folder) == [
        "ara/api/websocket/handlers.py",
        "ara/api/websocket/connection_manager.py",
    ]
    return Application(folder, running, keys[PUBLISHER])


@pytest.fixture(scope="module")
def clients(ara: Application) -> Iterator[dict[str, Dialogue]]:
    """A client on each path, by the type of the updates that it gets."""
    paths = {
        "prediction_update": "/ws/predictions/AAPL",
        "market_data_update": "/ws/market-data/AAPL",
        "alert": "/ws/alerts",
    }
    with contextlib.ExitStack() as stack:
        opened = {}
        for kind, path in paths.items():
            address = f"{ara.running.url('ws', path)}?token={ara.running.key}"
            opened[kind] = Dialogue(stack.enter_context(connect(address, proxy=None)))
            opened[kind].hear("connected")
        yield opened


def given(block: Block) -> dict[str, Any]:
    """Read from a block what it publishes, by the argument that it is given as."""
    return {
        keyword.arg: ast.literal_eval(keyword.value)
        for node in ast.walk(ast.parse(block.text))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg is not None
    }


@pytest.mark.parametrize("block", [block(NAME, "python", "Broadcasting Updates")], ids=str)
def test_broadcasts_reach_the_clients(block: Block, ara: Application, clients: dict[str, Dialogue]) -> None:
    with ara.run(block.text) as program:
        messages = {kind: client.hear(kind) for kind, client in clients.items()}
        assert program.process.wait() == 0, program.lines

    published = given(block)
    assert messages["prediction_update"]["data"] == published["prediction_data"]
    assert messages["market_data_update"]["data"] == published["market_data"]
    assert messages["alert"]["data"] == published["alert_data"]
    assert {message.get("symbol", published["symbol"]) for message in messages.values()} == {"AAPL"}


@pytest.mark.parametrize("block", [block(NAME, "python", "Connection Statistics")], ids=str)
def test_the_statistics_count_the_clients(
    block: Block, ara: Application, clients: dict[str, Dialogue]
) -> None:
    assert len(clients) == 3
    with ara.run(block.text + COUNTED) as program:
        [found] = program.wait_for(r"(\[.*\])")

    assert json.loads(found[1]) == [3, 1, ["alerts", "market-data", "predictions"]]
