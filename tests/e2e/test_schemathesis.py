"""Made-up requests, good and bad, to the built file: none is answered but as its own description says.

`--examples 1000` makes many, `--first-seed` others.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st

from tests.e2e.running import PATIENCE
from tests.edge.description.described import misfits

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Start
    from tests.e2e.running import Running

DOCUMENT = "/api/v1/openapi.json"
KEY = "sk_of-the-robot"
CONFIGURATION = f"""
plugins_dir = ["plugins"]

[[listen]]
url = "tcp://127.0.0.1:0"

[[auth.keys]]
name = "robot"
key = "{KEY}"
publish = ["*"]

[limits]  # those of rates would answer in place of what is asked for
wait = "10ms"
messages_per_minute = 100_000_000
connections_per_minute = 100_000_000
failed_logins = 100_000_000

[channels.alerts]
publish = true

[channels.predictions]
source = "shelf"
publish = true
"""
PLUGIN = '''
"""Rows that are there to page through, and a route."""

import trio
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from appliance.api import Page, Row, Source, hookimpl


class Shelf:
    async def produce(self, feed, settings):
        feed.declare("AAPL")
        feed.ready()
        await trio.sleep_forever()

    async def page(self, channel, query, settings):
        if query.cursor not in (None, "more"):
            raise ValueError("this is no cursor of ours")
        rows = [Row("AAPL", {"current_price": 150.25, "predicted_1min": None}, at=1.0)]
        return Page(rows, "more" if query.cursor is None else None)


def open_shelf(settings):
    return Shelf()


@hookimpl
def register_sources():
    return (Source(kind="shelf", open=open_shelf),)


async def hello(request):
    return PlainTextResponse("hello")


@hookimpl
def register_routes():
    return (Route("/hello", hello),)
'''
PLUGINS = "GET /plugins/{plugin}/{path}"
"""What plugins serve is not described, and hardly found by chance."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "ignored_auth",
)
TOPICS = [
    "price:BTC",
    "price:*",
    "signals:all",
    "signals:type:x",
    "system:status",
    "*",
    "nowhere:x",
    "price:%",
]


@pytest.fixture(scope="module")
def plain(start_shared: Start, tmp_path_factory: pytest.TempPathFactory) -> Running:
    folder = tmp_path_factory.mktemp("plain")
    plugin, file = folder / "plugins" / "shelf.py", folder / "appliance.toml"
    plugin.parent.mkdir()
    plugin.write_text(PLUGIN, encoding="utf-8")
    file.write_text(CONFIGURATION.replace('"plugins"', json.dumps(str(plugin.parent))), encoding="utf-8")
    started = start_shared("--config", str(file), key=KEY)
    deadline = time.monotonic() + PATIENCE
    while b"predictions:AAPL" not in ask(started, DOCUMENT, key=KEY)[2]:
        assert time.monotonic() < deadline, "the plugin's topic is not there"
        time.sleep(0.05)
    return started


def test_whatever_is_asked_is_answered_as_described(
    plain: Running, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    """Streams, which have no end, are asked for in the next test."""
    report = tmp_path / "report.ndjson"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", plain.url("http", DOCUMENT)),
            *("--header", f"Authorization: Bearer {KEY}", "--checks", ",".join(CHECKS)),
            *("--exclude-path", "/sse", "--request-timeout", f"{PATIENCE:g}"),
            *("--max-examples", f"{pytestconfig.getoption('--examples')}"),
            *("--seed", f"{pytestconfig.getoption('--first-seed')}", "--generation-database", "none"),
            *("--continue-on-failure", "--no-color", "--suppress-health-check", "all"),
            *("--report", "ndjson", "--report-ndjson-path", str(report)),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    asked = statuses(report)
    assert sum(map(len, asked.values())) > 300
    assert [each for each, answers in asked.items() if http.HTTPStatus.OK not in answers] == [PLUGINS]
    assert not [line for line in plain.log if line.get("level") in {"error", "critical"}]


def statuses(report: Path) -> dict[str, list[int]]:
    """Give how often each operation was answered with what."""
    found: dict[str, list[int]] = {}
    for line in report.read_text(encoding="utf-8").splitlines():
        match json.loads(line):
            case {"ScenarioFinished": {"recorder": {"label": label, "interactions": interactions}}}:
                answers = [each["response"] for each in interactions.values() if each["response"]]
                found.setdefault(label, []).extend(answer["status_code"] for answer in answers)
    return found


def test_a_stream_is_given_or_refused_as_described(plain: Running, pytestconfig: pytest.Config) -> None:
    document = json.loads(ask(plain, DOCUMENT)[2])
    (told,) = document["paths"]["/sse"].values()
    places = st.sampled_from(["7", "e-7", "e-7.5~s-3", "e:7", "x" * 700, "%"]) | st.text(max_size=20)
    names = st.lists(st.sampled_from(TOPICS) | st.text(max_size=8), max_size=4).map(",".join)
    asked = st.fixed_dictionaries(
        {},
        optional={
            "channels": names,
            "times": st.sampled_from(["true", "false", "", "maybe"]),
            "last_event_id": places,
            "lastEventId": places,
        },
    )
    found: set[int] = set()

    @seed(pytestconfig.getoption("--first-seed"))
    @settings(
        max_examples=4 * pytestconfig.getoption("--examples"),
        deadline=None,
        database=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(asked)
    @example({"channels": "price:BTC"})
    @example({"channels": ""})
    @example({"channels": "nowhere:x"})
    def stream(parameters: dict[str, str]) -> None:
        status, kind, text = ask(plain, f"/sse?{urlencode(parameters)}", key=KEY)
        found.add(status)
        response = told["responses"][f"{status}"]
        assert kind.partition(";")[0] in response["content"]
        if status != http.HTTPStatus.OK:
            schema = response["content"]["application/json"]["schema"]
            assert misfits(document, schema, json.loads(text)) == []

    stream()
    assert found >= {200, 400, 404}


def ask(plain: Running, target: str, *, key: str | None = None) -> tuple[int, str, bytes]:
    """Give the status, the media type and what there is to read: of a stream, what is there at once."""
    client = http.client.HTTPConnection("127.0.0.1", plain.port, timeout=PATIENCE)
    try:
        client.request("GET", target, headers={} if key is None else {"Authorization": f"Bearer {key}"})
        answer = client.getresponse()
        kind = answer.headers["content-type"]
        return answer.status, kind, answer.read1() if kind.startswith("text/event-stream") else answer.read()
    finally:
        client.close()


def test_a_route_of_a_plugin_is_there(plain: Running) -> None:
    assert ask(plain, "/plugins/shelf/hello", key=KEY) == (200, "text/plain; charset=utf-8", b"hello")
