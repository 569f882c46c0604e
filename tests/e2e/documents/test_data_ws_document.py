"""Every block of the data-ws document that a client or an operator uses, against its profile."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.documents.blocks import Block, block, blocks
from tests.e2e.documents.programs import Stage, python, shell
from tests.e2e.documents.shapes import shortfalls
from tests.e2e.documents.systems import free_port, profile, variables
from tests.e2e.running import PATIENCE
from tests.postgres import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.conftest import Start
    from tests.e2e.running import Running

NAME = "data-ws"
VARIABLES = block(NAME, "bash", "Environment Variables")
HEALTH = block(NAME, "bash", "GET /health")
LATEST = block(NAME, "bash", "GET /api/v1/predictions/latest")
RESPONSE = block(NAME, "json", "GET /api/v1/predictions/latest")

IMPORT = "import asyncio\n"
"""What the Python block uses, and does not import."""


TABLE = """
CREATE TABLE ml_predictions (
    time timestamptz NOT NULL, current_price numeric NOT NULL,
    predicted_1min numeric, predicted_5min numeric, predicted_15min numeric,
    confidence_1min real, confidence_5min real, confidence_15min real, model_version text
) PARTITION BY RANGE (time);
CREATE INDEX ON ml_predictions (time);
CREATE ROLE mltrader LOGIN PASSWORD 'password';
GRANT SELECT ON ml_predictions TO mltrader;
"""
ROW = """
INSERT INTO ml_predictions VALUES
    (clock_timestamp(), 50000 + random()::numeric(8, 2), 50010.5, 50050, 50125.42, 0.9, 0.85, 0.78, 'v1.0')
"""


def predict(server: Database, done: threading.Event) -> None:
    """Write rows as the model does, a few a second, into partitions that are made when their time comes."""
    second = 0.0
    with server.session("btc_ml_production") as session:
        while not done.is_set():
            if time.time() > second:
                begins, second = int(time.time()), int(time.time()) + 3.0
                for start in (begins, begins + 3):
                    session.execute(
                        f"CREATE TABLE IF NOT EXISTS rows_{start // 3} PARTITION OF ml_predictions FOR VALUES FROM"
                        f" (to_timestamp({start // 3 * 3})) TO (to_timestamp({start // 3 * 3 + 3}))"
                    )
            session.execute(ROW)
            done.wait(0.3)


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """The document's database, in which rows come while the tests run."""
    done = threading.Event()
    with Database() as server:
        server.execute("CREATE DATABASE btc_ml_production")
        with server.session("btc_ml_production") as session:
            session.execute(TABLE)
        writer = threading.Thread(target=predict, args=(server, done))
        writer.start()
        yield server
        done.set()
        writer.join()


@pytest.fixture(scope="module")
def running(start_shared: Start, database: Database) -> Running:
    """The profile, with the document's variables set by a shell as they stand there, but for the addresses.

    It asks the database more often than data-ws did, as its clients would wait for the next row otherwise.
    """
    here = VARIABLES.text.replace("0.0.0.0:8443", f"127.0.0.1:{free_port()}")
    here = here.replace("DB_PORT=5432", f"DB_PORT={database.port}")
    key = dict(line.split("=") for line in here.splitlines())["API_KEY"]
    often = ("--set", "channels.predictions.every=300ms")
    return start_shared("--config", str(profile(NAME)), *often, before=variables(here), key=key)


def place(running: Running) -> str:
    return f"localhost:{running.port}"


def answers(running: Running, line: Block, folder: Path) -> Iterator[Any]:
    """Give what the line of `curl` gets, again and again."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        yield json.loads(shell(line.here(place(running), running.key), folder=folder))
    raise AssertionError("the answers stayed the same")


@pytest.mark.parametrize("block", [VARIABLES], ids=str)
def test_the_variables_say_where_it_listens_and_which_key_opens_it(block: Block, running: Running) -> None:
    assert "API_KEY=your_secure_api_key_here" in block.text
    assert running.key == "your_secure_api_key_here"
    assert running.get("/api/v1/predictions/latest")[0] == 200
    assert running.get("/api/v1/predictions/latest", key="another")[0] == 401
    assert running.addresses == (f"tls://127.0.0.1:{running.port}",)


@pytest.mark.parametrize("block", [HEALTH], ids=str)
def test_curl_asks_for_the_health(block: Block, running: Running, tmp_path: Path) -> None:
    told = answers(running, block, tmp_path)
    health = next(told)
    later = next(answer for answer in told if answer != health)

    for answer in (health, later):
        assert (answer["status"], answer["service"]) == ("healthy", "data-ws")
    assert health["timestamp"] < later["timestamp"]


@pytest.mark.parametrize("block", [LATEST], ids=str)
def test_curl_gets_the_latest_prediction_and_then_a_newer_one(
    block: Block, running: Running, tmp_path: Path
) -> None:
    told = answers(running, block, tmp_path)
    latest = next(answer for answer in told if answer["success"])
    newer = next(answer for answer in told if answer != latest)

    assert latest["data"]["time"] < newer["data"]["time"]


@pytest.mark.parametrize("block", [RESPONSE], ids=str)
def test_the_answer_has_the_shape_of_the_document(block: Block, running: Running, tmp_path: Path) -> None:
    answer = next(answer for answer in answers(running, LATEST, tmp_path) if answer["success"])

    assert [*shortfalls(block.message, answer)] == []
    assert answer.keys() == {"success", "data", "error"}


@pytest.mark.parametrize("block", blocks(NAME, "javascript"), ids=str)
def test_the_javascript_client_sees_every_newer_row(block: Block, stage: Stage, running: Running) -> None:
    script = block.here(place(running))
    # Where the block has a comment, a page can only show its key in the query.
    with_key = script.replace("/stream'", f"/stream?api_key={running.key}'")
    assert with_key != script
    example = stage.run(with_key)
    rows = [row for (row,) in example.hear_different(lambda words: isinstance(words[0], dict))]

    for row in rows:
        assert [*shortfalls(RESPONSE.message["data"], row)] == []
    times = [row["time"] for row in rows]
    assert times == sorted(set(times))
    assert example.complaints() == []


@pytest.mark.parametrize("block", blocks(NAME, "python"), ids=str)
def test_the_python_client_prints_prices(
    block: Block, running: Running, websockets_13: Path, tmp_path: Path
) -> None:
    """With the release that it is written for: later ones call `extra_headers` otherwise."""
    script = tmp_path / "client.py"
    script.write_text(IMPORT + block.here(place(running), running.key), encoding="utf-8")
    with python(script, websockets_13) as program:
        lines = program.wait_for(r"Price: ([\d.]+) → ([\d.]+)", times=2)

    for price, predicted in (line.groups() for line in lines):
        assert float(predicted) == pytest.approx(float(price), rel=0.2)
