"""The documents as they are served."""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from appliance.access.entrance import Entrance
from appliance.settings.access import AuthSettings, KeySettings
from appliance.settings.fields import Secret
from appliance.settings.limits import LimitSettings
from tests.anew import printed
from tests.edge.stage import KEY, Stage, configuration, plain_http, playing

if TYPE_CHECKING:
    import httpx

OPENAPI, ASYNCAPI = "/api/v1/openapi.json", "/api/v1/asyncapi.json"


async def fetch(stage: Stage, path: str, key: str | None = None, **headers: str) -> httpx.Response:
    shown = {} if key is None else {"authorization": f"Bearer {key}"}
    async with plain_http(stage.port) as http:
        return await http.get(path, headers={**shown, **headers})


@pytest.mark.parametrize(("path", "mark"), [(OPENAPI, "openapi"), (ASYNCAPI, "asyncapi")])
@pytest.mark.parametrize("key", [None, KEY, "sk_wrong"])
async def test_anybody_is_given_them(path: str, mark: str, key: str | None) -> None:
    async with playing() as stage:
        found = await fetch(stage, path, key)
    assert (found.status_code, found.headers["content-type"]) == (200, "application/json")
    assert found.headers["cache-control"] == "no-store"
    assert mark in found.json()


async def test_topics_are_told_to_who_may_read_them() -> None:
    keys = (
        KeySettings(name="all", key=Secret("sk_reads-everything")),
        KeySettings(name="some", key=Secret("sk_reads-some"), read=("trades:*", "price:ETH")),
    )
    settings = configuration()
    auth = AuthSettings(keys=keys)
    entrance = Entrance(auth, auth.keys, lambda _: None)
    async with playing(attrs.evolve(settings, auth=auth), entrance=entrance) as stage:
        for topic in ("BTC", "ETH"):
            stage.publish("price", topic, price=1.0)
        stage.publish("trades", "x", size=1)
        shown = (None, "sk_reads-everything", "sk_reads-some")
        told = {key: examples((await fetch(stage, OPENAPI, key)).json()) for key in shown}
    assert told[None] == []
    assert {"price:BTC", "trades:x", "signals:all"} <= {*told["sk_reads-everything"]}
    assert told["sk_reads-some"] == ["price:ETH", "trades:x"]


def examples(document: dict[str, Any]) -> list[str]:
    (topic, *_) = document["paths"]["/api/v1/topics/{topic}/latest"]["get"]["parameters"]
    return [*topic.get("examples", {})]


async def test_a_reload_shows() -> None:
    async with playing() as stage:
        before = (await fetch(stage, OPENAPI)).json()
        assert (await fetch(stage, OPENAPI)).json() == before
        stage.change(page=7)
        after = (await fetch(stage, OPENAPI)).json()
    assert before != after
    assert '"default": 7' in json.dumps(after)
    assert LimitSettings().page != 7


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ("example.org:9443", "example.org:9443"),
        ("[::1]:8443", "[::1]:8443"),
        ("a b<x>", "localhost"),
        ("[", "localhost"),
        ("a:b:c", "localhost"),
    ],
)
async def test_the_sockets_are_where_somebody_came_to(shown: str, told: str) -> None:
    async with playing() as stage:
        document = (await fetch(stage, ASYNCAPI, host=shown)).json()
    assert document["servers"]["listener"] == {
        **document["servers"]["listener"],
        "host": told,
        "protocol": "ws",
    }


async def test_who_names_many_hosts_costs_no_memory() -> None:
    async with playing() as stage:
        for number in range(40):
            host = f"h{number}.example"
            document = (await fetch(stage, ASYNCAPI, host=host)).json()
            assert document["servers"]["listener"]["host"] == host


def test_a_start_does_not_load_what_writes_them() -> None:
    code = "import sys\nfrom appliance.cli import serving\nprint([*sys.modules])"
    loaded = {
        name for name in ast.literal_eval(printed(code)) if name.startswith("appliance.edge.description.")
    }
    assert loaded == {"appliance.edge.description.operation"}
