"""The AsyncAPI document against its standard, the configured paths and the page with examples.

That sessions say nothing else is seen by all tests with a client: `tests/edge/promised.py`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from jsonschema_rs import Draft7Validator

from appliance.core.errors import ErrorCode
from appliance.dialects.messages import ara, trading
from appliance.edge.description import asyncapi as described
from appliance.edge.description.asyncapi import ARA_PREDICTIONS, CRYPTOINTEL, DATA_WS, DIALECTS, TRADING
from appliance.settings.tree import Settings, TradingSettings
from tests.dialects.protocol_page import steps
from tests.edge import promised
from tests.edge.description.described import asyncapi, misfits

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def standard(root: Path) -> Draft7Validator:
    """The schema of all AsyncAPI documents, as its makers publish it."""
    folder = root / "tests" / "e2e" / "clients" / "node_modules" / "@asyncapi" / "specs" / "schemas"
    schema = json.loads((folder / "3.0.0.json").read_text(encoding="utf-8"))
    return Draft7Validator(schema)


def test_the_standard_refuses_what_is_none(standard: Draft7Validator) -> None:
    for part, told in (("info", {"title": []}), ("channels", {"prices": {"address": 5}})):
        assert not standard.is_valid({**asyncapi(auth="required"), part: told})


CONFIGURATIONS: list[dict[str, Any]] = [
    {},
    {"paths": {"/ws": "cryptointel", "/a/b c": "trading", "/": "shared"}},
    {"paths": {"/ws": "shared", "/t": "trading"}, "trading": TradingSettings(enabled=False)},
    {"paths": {}},
]


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("auth", ["required", "optional", "none"])
@pytest.mark.parametrize("certificates", [False, True])
def test_it_is_an_asyncapi_document(
    standard: Draft7Validator,
    configuration: dict[str, Any],
    auth: str,
    certificates: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    document = asyncapi(Settings(**configuration), auth=auth, certificates=certificates)
    assert [error.message for error in standard.iter_errors(document)] == []
    del document["info"]["title"]
    assert not standard.is_valid(document)


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_every_reference_leads_somewhere(configuration: dict[str, Any]) -> None:
    document = asyncapi(Settings(**configuration))
    found = 0
    for reference in references(document):
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        found += 1
    assert found


def references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [found for each in part for found in references(each)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
    return own + [found for each in part.values() for found in references(each)]


def test_each_path_is_there_with_what_is_spoken_on_it() -> None:
    document = asyncapi(Settings(paths={"/ws": "shared", "/x": "cryptointel"}))
    spoken = {
        told["address"]: {name.partition(".")[0] for name in told["messages"]}
        for told in document["channels"].values()
    }
    assert spoken == {
        "/ws": {"cryptointel", "trading"},
        "/x": {"cryptointel"},
        "/api/v1/predictions/stream": {"data_ws"},
        "/ws/predictions/{symbol}": {"ara"},
        "/ws/market-data/{symbol}": {"ara"},
        "/ws/alerts": {"ara"},
    }


def test_what_is_not_spoken_is_not_described() -> None:
    settings = Settings(paths={"/ws": "shared", "/t": "trading"}, trading=TradingSettings(enabled=False))
    document = asyncapi(settings)
    assert "/t" not in {told["address"] for told in document["channels"].values()}
    assert not any(name.startswith("trading.") for name in document["components"]["messages"])


def test_the_appliance_hears_what_clients_say_and_sends_the_rest() -> None:
    document = asyncapi()
    operations = document["operations"]
    assert {told["action"] for told in operations.values()} == {"receive", "send"}
    heard = {each["$ref"].rpartition(".")[2] for each in operations["receive.ws.alerts"]["messages"]}
    assert heard == {"ping", "pong", "configureAlerts"}
    assert "receive.api.v1.predictions.stream" not in operations


def test_each_error_code_is_there() -> None:
    codes = asyncapi()["components"]["schemas"]["cryptointel.ErrorCode"]["enum"]
    assert sorted(codes) == sorted(ErrorCode)


def test_the_ways_to_show_a_key_are_those_of_http() -> None:
    document = asyncapi(auth="required", certificates=True)
    assert len(document["servers"]["listener"]["security"]) == 6
    assert document["components"]["securitySchemes"]["header"]["type"] == "httpApiKey"
    assert "security" not in asyncapi(auth="optional")["servers"]["listener"]


def test_the_address_is_that_of_who_asks() -> None:
    listener = asyncapi()["servers"]["listener"]
    assert (listener["host"], listener["protocol"]) == ("localhost:8443", "wss")


def test_topics_stand_there_for_who_may_read_them(standard: Draft7Validator) -> None:
    assert "BTC" not in json.dumps(asyncapi())
    document = asyncapi(topics=("price:BTC", "signals:all", "predictions:AAPL"))
    assert [error.message for error in standard.iter_errors(document)] == []
    (example,) = document["components"]["messages"]["cryptointel.subscribe"]["examples"]
    assert example["payload"]["channels"] == ["price:BTC", "signals:all", "predictions:AAPL"]
    assert misfits(document, message(document, "cryptointel.subscribe"), example["payload"]) == []
    for name, symbol in (("ws.market-data.symbol", "BTC"), ("ws.predictions.symbol", "AAPL")):
        assert document["channels"][name]["parameters"]["symbol"]["examples"] == [symbol]


def test_the_examples_of_the_protocol_page_are_as_described() -> None:
    document = asyncapi()
    kinds = {kind: message(document, name) for kind, name in SAID.items()}
    checked = {"client": 0, "told": 0}
    for step in steps():
        if step.mark == "client":
            said = json.loads(step.text)
            # Held open: what is not a list is shown as a mistake.
            if said.get("channels") != "price:BTC":
                assert misfits(document, kinds[said["type"]], said) == [], step
            checked["client"] += 1
        elif step.mark in {"server", "made"}:
            promised.keep((CRYPTOINTEL,), json.loads(step.text))
            checked["told"] += 1
    assert checked["client"] > 10
    assert checked["told"] > 20


@pytest.mark.parametrize(("page", "dialect"), [("cryptointel", CRYPTOINTEL), ("trading-stream", TRADING)])
def test_the_messages_of_the_replaced_systems_are_described(
    root: Path, page: str, dialect: described.Dialect
) -> None:
    text = (root / "tests" / "spec" / f"{page}.md").read_text(encoding="utf-8")
    shown = [json.loads(block) for block in BLOCK.findall(text)]
    assert len(shown) > 5
    document = asyncapi(Settings(paths={"/ws": "shared"}))
    said = {kind.__struct_config__.tag: kind for kind in dialect.said}  # type: ignore[attr-defined]
    for each in shown:
        kind = said.get(each.get("type"))
        if kind is not None:
            name = f"{dialect.name}.{described.message_name(kind)}"
            assert misfits(document, message(document, name), each) == []
        elif "type" in each:
            # What the appliance adds to the events of cryptointel; the topic of its status was not named there.
            more = (
                {"offset": 1, "channel": "system:status"} if dialect is CRYPTOINTEL and "data" in each else {}
            )
            promised.keep((dialect,), {**more, **each})


BLOCK = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
SAID = {kind: f"cryptointel.{kind}" for kind in ("auth", "history", "ping", "subscribe", "unsubscribe")}


def message(document: dict[str, Any], name: str) -> dict[str, Any]:
    payload: dict[str, Any] = document["components"]["messages"][name]["payload"]
    return payload


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.told[-1].__name__)
def test_each_message_says_what_it_is(dialect: described.Dialect) -> None:
    kinds = (*dialect.said, *dialect.told)
    assert [kind.__name__ for kind in kinds if not kind.__doc__] == []
    assert len({described.message_name(kind) for kind in kinds}) == len(set(kinds))


@pytest.mark.parametrize(
    ("dialect", "told"),
    [
        (TRADING, {"type": "pong", "more": 1}),
        (TRADING, {"type": "hello"}),
        (TRADING, {"type": "error", "error": 7, "timestamp": "2026-01-01T00:00:00Z"}),
        (DATA_WS, {"time": "2026-01-01T00:00:00Z"}),
        (ARA_PREDICTIONS, {"type": "ping", "timestamp": "yesterday"}),
        (CRYPTOINTEL, {"type": "pong", "data": {}}),
        (CRYPTOINTEL, {"type": "price_update", "channel": "price:BTC", "offset": -1, "data": {}}),
        (CRYPTOINTEL, {"type": "gap", "channel": "price:BTC", "from": 1, "to": 2, "reason": "bad luck"}),
    ],
)
def test_what_is_not_promised_is_caught(dialect: described.Dialect, told: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="is not as the AsyncAPI document says"):
        promised.keep((dialect,), told)


def test_what_is_promised_passes() -> None:
    promised.keep((TRADING, CRYPTOINTEL), msgspec.to_builtins(trading.Pong()))
    promised.keep((ARA_PREDICTIONS,), msgspec.to_builtins(ara.PingTold("2026-01-01T00:00:00Z")))
