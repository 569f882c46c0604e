"""What the appliance logs: JSON for machines, lines for people, each session's begin and end, and never a key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.running import ANY_PORT, PATIENCE, SECRET
from tests.e2e.terminal import Terminal
from tests.e2e.wire import dial

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Start
    from tests.e2e.running import Running

WRONG = f"wrong-{SECRET}"


def test_a_session_is_logged_when_it_opens_and_when_it_closes_with_what_it_got(start: Start) -> None:
    running = start()
    with running.connect() as client:
        client.send(json.dumps({"type": "subscribe", "channels": ["price:BTC"]}))
        while "price_update" not in client.recv(PATIENCE):
            pass
        client.send('{"type": "ping"}')
        client.send("no JSON")
        client.close(1000, "enough")
    closed = running.wait_for("session closed")
    assert running.stop() == 0

    assert [line["event"] for line in running.log] == [
        *("serving", "let in", "session opened", "session closed", "stopping", "stopped")
    ]
    opened = running.log[2]
    assert (opened["client"], opened["path"], opened["principal"]) == ("127.0.0.1", "/ws", "default")
    assert (closed["client"], closed["path"], closed["principal"]) == ("127.0.0.1", "/ws", "default")
    assert (closed["code"], closed["reason"], closed["messages"]) == (1000, "enough", 3)
    assert closed["events"] >= 1
    assert closed["bytes_sent"] > 0
    assert closed["bytes_received"] > 0
    assert closed["seconds"] >= 0


@pytest.fixture(scope="module", params=["debug", "info"])
def visited(
    request: pytest.FixtureRequest, start_shared: Start, tmp_path_factory: pytest.TempPathFactory
) -> Running:
    """One that was shown its key and a wrong one in every way, and was told what is no JSON. It has stopped."""
    running = start_shared(
        *("--listen", ANY_PORT, "--listen", "tcp://127.0.0.1:0"),
        *("--set", f"log.level={request.param}", "--set", "auth.timeout=1s"),
        state=tmp_path_factory.mktemp(request.param),
    )
    for shown in (running.key, WRONG):
        show(running, shown)
    before = len(running.log)
    with running.connect() as client:
        client.send("no JSON")
        assert "error" in client.recv(PATIENCE)
    running.wait_for("session closed", after=before, principal="default")
    assert running.stop() == 0
    return running


def show(running: Running, shown: str) -> None:
    for path in (f"/ws?token={shown}", f"/nowhere?api_key={shown}", f"/ws/{shown}"):
        with dial(running, listener=1) as wire:
            wire.request("", path)
    for header in (f"X-API-Key: {shown}", f"Sec-WebSocket-Protocol: appliance.v1, bearer.{shown}"):
        with dial(running, listener=1) as wire:
            wire.request("", "/ws", header)
    with dial(running, listener=1) as wire:
        wire.upgrade("")
        wire.say({"type": "auth", "token": shown})
        wire.say({"type": shown, "token": shown})
        wire.message()
    running.get(f"/health?token={shown}", key=shown)
    running.get(f"/ws/stats?token={shown}", key=shown)
    running.get(f"/sse?token={shown}&channels=nothing:{shown}", key=shown)
    with dial(running, listener=1) as wire:
        wire.send(f"GET /ws?token={shown} HTTP/1.1\nbroken\r\n\r\n".encode())
        wire.rest()


def test_every_line_is_json_with_time_level_and_event(visited: Running) -> None:
    assert [line for line in visited.log if not {"timestamp", "level", "event"} <= line.keys()] == []
    assert {line["level"] for line in visited.log} <= {"debug", "info", "warning", "error"}


def test_no_key_is_logged_whatever_way_it_travels(visited: Running) -> None:
    written = json.dumps(visited.log) + visited.hello
    assert visited.key not in written
    assert WRONG not in written


def test_a_terminal_shows_lines_for_people(zipapp: Path, tmp_path: Path) -> None:
    words = ("serve", "--state-dir", str(tmp_path / "state"), "--listen", ANY_PORT)
    with Terminal.start(zipapp, *words) as terminal:
        terminal.wait_for("/sse?channels")
        shown = terminal.stop()

    key = (tmp_path / "state" / "api_key").read_text().strip()
    log = [line for line in shown.splitlines() if "\x1b[" in line]
    assert [
        word for word in ("serving", "stopping", "stopped") if not any(word in line for line in log)
    ] == []
    assert [line for line in shown.splitlines() if line.startswith("{")] == []
    assert [line for line in log if key in line] == []
