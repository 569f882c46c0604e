"""The hooks of a dropped plugin, in the built file: what it changes, whom it knows, what it serves, what it is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.e2e import running as processes
from tests.e2e.dropped import Dropped, make_folder
from tests.e2e.running import ANY_PORT, PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

HOOKS = """\
import hmac
import time

import attrs
from starlette.responses import JSONResponse
from starlette.routing import Route

from appliance.api import DROP, Grant, View, hookimpl

told = []


async def seen(request):
    return JSONResponse({"who": request.state.principal, "told": told})


@hookimpl
def register_routes():
    return [Route("/seen", seen)]


@hookimpl
def authenticate(credential):
    if hmac.compare_digest(credential, "open-sesame"):
        return Grant(name="guest", read=("price:*",), views=[View(hide=["volume"])])
    if hmac.compare_digest(credential, "soon-over"):
        return Grant(name="brief", read=("price:*",), expires=time.time() + 2)


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
        assert [message["data"] for message in prices if "volume" in message["data"]] == []
        with running.connect() as whole:
            whole.send(json.dumps({"type": "subscribe", "channels": ["price:BTC"]}))
            while (message := json.loads(whole.recv()))["type"] != "price_update":
                pass
            assert "volume" in message["data"]

        def told() -> list[list[str]]:
            status, found = running.get("/plugins/hooks/seen")
            assert status == 200
            events: list[list[str]] = found["told"]
            return events

        running.wait_for("session closed", principal="guest")
        of_guest = [each for each in told() if each[2] == "guest"]
        assert of_guest == [["opened", "trading", "guest"], ["closed", "cryptointel", "guest"]]

        with running.connect(key="soon-over") as brief:
            brief.send(json.dumps({"type": "subscribe", "channels": ["price:BTC"]}))
            while (message := json.loads(brief.recv(PATIENCE)))["type"] != "error":
                pass
            assert message["error"]["code"] == "EXPIRED_TOKEN"
        dropped.remove("hooks")
        assert running.get("/plugins/hooks/seen")[0] == 404
    finally:
        assert running.stop() == 0
