"""The hooks of a dropped plugin, in the built file: what it changes, whom it knows, what it serves, what it is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.e2e import running as processes
from tests.e2e.dropped import Dropped, make_folder
from tests.e2e.running import ANY_PORT

if TYPE_CHECKING:
    from pathlib import Path

HOOKS = """\
import hmac

import attrs
from starlette.responses import JSONResponse
from starlette.routing import Route

from appliance.api import DROP, Grant, hookimpl

told = []


async def seen(request):
    return JSONResponse({"who": request.state.principal, "told": told})


@hookimpl
def register_routes():
    return [Route("/seen", seen)]


@hookimpl
def authenticate(credential):
    return Grant(name="guest", read=("price:*",)) if hmac.compare_digest(credential, "open-sesame") else None


@hookimpl
def transform(event):
    if event.channel == "price":
        return DROP if event.key == "ETH" else attrs.evolve(event, data={**event.data, "price": -1.0})


@hookimpl
def session_opened(session):
    told.append(["opened", session.dialect, session.principal])


@hookimpl
def session_closed(session):
    told.append(["closed", session.dialect, session.principal])
"""


def test_the_hooks_of_a_dropped_plugin_work_while_it_is_there(zipapp: Path, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "plugins")
    words = ("--set", f'plugins_dir=["{folder}"]', "--set", "sources.simulated.interval=100ms")
    running = processes.start(zipapp, "--listen", ANY_PORT, *words, state=tmp_path / "state")
    try:
        dropped = Dropped(running, folder)
        assert running.get("/plugins/hooks/seen")[0] == 404
        dropped.load("hooks", HOOKS)

        with running.connect(key="open-sesame") as client:
            client.send(
                json.dumps({"type": "subscribe", "channels": ["price:BTC", "price:ETH", "trades:all"]})
            )
            messages = [json.loads(client.recv()) for _ in range(12)]
        errors = [message["error"]["channel"] for message in messages if message["type"] == "error"]
        assert errors == ["trades:all"]
        prices = [message for message in messages if message["type"] == "price_update"]
        fresh = [message["data"]["price"] for message in prices[2:]]
        assert set(fresh) == {-1.0}
        assert {message["channel"] for message in prices[2:]} == {"price:BTC"}

        def told() -> list[list[str]]:
            status, found = running.get("/plugins/hooks/seen")
            assert status == 200
            events: list[list[str]] = found["told"]
            return events

        running.wait_for("session closed", principal="guest")
        assert told() == [["opened", "trading", "guest"], ["closed", "cryptointel", "guest"]]
        dropped.remove("hooks")
        assert running.get("/plugins/hooks/seen")[0] == 404
    finally:
        assert running.stop() == 0
