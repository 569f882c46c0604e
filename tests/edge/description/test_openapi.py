"""The OpenAPI document against its standard, the routes, the settings and the pages with examples."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from appliance.edge.http import app
from appliance.settings.limits import LimitSettings
from appliance.settings.tree import PublishSettings, Settings
from tests.dialects.protocol_page import steps
from tests.edge.description.described import ASSETS, answer, misfits, openapi, operation
from tests.edge.stage import KEY, plain_http, playing

if TYPE_CHECKING:
    from pathlib import Path

SENT = re.compile(r"^[^\n]*(?:--data|-d) '(\{.*?\})'", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^<!-- (request|answer) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("auth", ["required", "optional", "none"])
@pytest.mark.parametrize("certificates", [False, True])
@pytest.mark.parametrize("topics", [(), ("price:BTC", "signals:all")])
def test_it_is_an_openapi_document(auth: str, certificates: bool, topics: tuple[str, ...]) -> None:  # noqa: FBT001 - a parameter of the test
    from openapi_spec_validator import OpenAPIV31SpecValidator  # noqa: PLC0415 - seconds, in all that collect tests

    document = openapi(auth=auth, certificates=certificates, topics=topics)
    assert [*OpenAPIV31SpecValidator(document).iter_errors()] == []
    names = [told["operationId"] for methods in document["paths"].values() for told in methods.values()]
    assert len(names) == len(set(names))


async def test_each_route_is_described_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Route | Mount] = []

    def note(routes: list[Route | Mount], **more: Any) -> Starlette:
        made.extend(routes)
        return Starlette(routes=routes, **more)

    monkeypatch.setattr(app, "Starlette", note)
    async with playing(assets=ASSETS):
        pass
    routes = {
        (re.sub(r":\w+\}", "}", route.path), method)
        for route in made
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    mounted = {(f"{route.path}/{{plugin}}/{{path}}", "GET") for route in made if isinstance(route, Mount)}
    told = {(path, method.upper()) for path, methods in openapi()["paths"].items() for method in methods}
    assert mounted
    assert told == routes | mounted


def test_a_part_of_a_path_is_a_parameter() -> None:
    for path, methods in openapi()["paths"].items():
        for told in methods.values():
            parts = {each["name"] for each in told["parameters"] if each["in"] == "path"}
            assert parts == set(re.findall(r"\{(\w+)\}", path))


def test_who_must_show_a_key_is_told() -> None:
    for auth, stats in (("required", True), ("optional", True), ("none", False)):
        document = openapi(auth=auth)
        shown = [*operation(document, "GET", "/ws/stats")["security"]]
        assert bool(shown) is stats
        assert ({} in shown) is (auth == "optional")
        assert {} not in operation(document, "POST", "/api/v1/publish")["security"]
        assert operation(document, "POST", "/api/v1/publish")["security"]
        assert operation(document, "GET", "/health")["security"] == []
        assert "401" not in operation(document, "GET", "/health")["responses"]
        assert "401" in operation(document, "GET", "/ws/stats")["responses"]


def test_what_a_plugin_answers_is_its_own() -> None:
    told = operation(openapi(), "GET", "/plugins/x/y")["responses"]
    assert told["default"]["content"] == {"*/*": {"schema": {}}}
    assert "200" not in told
    assert "500" in told


def test_bounds_are_those_of_the_settings() -> None:
    settings = Settings(limits=LimitSettings(page=77), publish=PublishSettings(events=55))
    document = openapi(settings)
    events = operation(document, "GET", "/api/v1/topics/price:BTC/events")
    limit = next(each for each in events["parameters"] if each["name"] == "limit")
    assert limit["schema"]["default"] == 77
    rows = operation(document, "GET", "/api/v1/predictions")
    assert next(each for each in rows["parameters"] if each["name"] == "limit")["schema"]["default"] == 77
    body = operation(document, "POST", "/api/v1/publish")["requestBody"]["content"]["application/json"]
    assert 55 in [each.get("maxItems") for each in body["schema"]["anyOf"]]


def test_the_examples_of_bodies_are_as_described() -> None:
    document = openapi()
    body = operation(document, "POST", "/api/v1/publish")["requestBody"]["content"]["application/json"]
    assert len(body["examples"]) == len(body["schema"]["anyOf"])
    for example in body["examples"].values():
        assert misfits(document, body["schema"], example["value"]) == []


def test_a_refusal_for_now_says_when_to_come_back() -> None:
    for methods in openapi()["paths"].values():
        for told in methods.values():
            assert "Retry-After" in told["responses"]["429"]["headers"]


def test_topics_stand_there_for_who_may_read_them() -> None:
    assert "price:BTC" not in json.dumps(openapi())
    told = operation(openapi(topics=("price:BTC",)), "GET", "/api/v1/topics/price:BTC/latest")
    assert told["parameters"][0]["examples"] == {"price:BTC": {"value": "price:BTC"}}


def test_the_examples_of_the_protocol_page_are_as_described() -> None:
    document, asked, checked = openapi(), "", 0
    for step in steps():
        if step.mark == "get":
            asked = step.text.split()[1]
        elif step.mark == "answer":
            schema = answer(operation(document, "GET", asked), 200)
            assert misfits(document, schema, json.loads(step.text)) == [], step
            checked += 1
    assert checked >= 7


def test_the_examples_of_the_publishing_page_are_as_described(root: Path) -> None:
    document = openapi()
    told = operation(document, "POST", "/api/v1/publish")
    body = told["requestBody"]["content"]["application/json"]["schema"]
    blocks = BLOCK.findall((root / "docs" / "publishing.md").read_text(encoding="utf-8"))
    assert [mark for mark, _ in blocks] == ["request", "answer"] * 2
    for mark, text in blocks:
        if mark == "request":
            words = shlex.split(text)
            assert misfits(document, body, json.loads(words[words.index("--data") + 1])) == []
        else:
            status = 200 if json.loads(text)["success"] else 422
            assert misfits(document, answer(told, status), json.loads(text)) == []


def test_what_the_pages_publish_is_as_described(root: Path) -> None:
    document = openapi()
    told = operation(document, "POST", "/api/v1/publish")
    body = told["requestBody"]["content"]["application/json"]["schema"]
    shown = [
        (page.name, text)
        for page in sorted((root / "docs").glob("*.md"))
        for text in SENT.findall(page.read_text(encoding="utf-8"))
    ]
    assert {"migrate.md", "publishing.md"} <= {name for name, _ in shown}
    for name, text in shown:
        assert misfits(document, body, json.loads(text)) == [], f"docs/{name}: {text}"


@attrs.frozen
class Case:
    """A request, and how it is answered."""

    method: str
    target: str
    status: int
    content: Any = None
    key: str | None = KEY


@pytest.mark.parametrize(
    "case",
    [
        Case("GET", "/health", 200, key=None),
        Case("GET", "/ready", 200),
        Case("GET", "/ready", 200, key=None),
        Case("GET", "/ws/stats", 401, key=None),
        Case("GET", "/api/v1/topics/price:BTC/events", 200),
        Case("GET", "/api/v1/topics/price:BTC/events?after=0&times=true", 200),
        Case("GET", "/api/v1/topics/price:BTC/events?after=gone:7&times=true", 200),
        Case("GET", "/api/v1/topics/price:BTC/events?since=2020-01-01T00:00:00Z", 200),
        Case("GET", "/api/v1/topics/price:BTC/events?wait=soon", 400),
        Case("GET", "/api/v1/topics/nowhere:BTC/events", 404),
        Case("GET", "/api/v1/topics/price:BTC/latest", 200),
        Case("GET", "/api/v1/topics/price:ETH/latest", 200),
        Case("GET", "/api/v1/topics/price:BTC/latest?times=maybe", 400),
        Case("GET", "/api/v1/topics/nowhere:BTC/latest", 404),
        Case("GET", "/api/v1/predictions/latest", 200),
        Case("GET", "/api/v1/predictions", 404),
        Case("GET", "/api/v1/channels/price/rows?limit=0", 400),
        Case("GET", "/api/v1/channels/price/rows", 404),
        Case("GET", "/sse", 400),
        Case("GET", "/sse?channels=nowhere:BTC", 404),
        Case("GET", "/metrics", 401, key=None),
        Case("GET", "/plugins/none/x", 404),
        Case("POST", "/api/v1/publish", 401, key=None),
        Case("POST", "/api/v1/publish", 400, {"events": 1}),
        Case("POST", "/api/v1/publish", 422, {}),
        Case("POST", "/api/v1/publish", 403, {"channel": "price", "key": "BTC", "data": {}}),
        Case("GET", "/api/v1/openapi.json", 200),
        Case("GET", "/api/v1/asyncapi.json", 200, key=None),
    ],
    ids=lambda case: f"{case.method} {case.target} {case.status}",
)
async def test_real_answers_are_as_described(case: Case) -> None:
    document = openapi()
    told = operation(document, case.method, case.target.replace("/none/x", "/{plugin}/{path}"))
    async with playing() as stage:
        stage.publish("price", "BTC", price=1.0)
        stage.publish("price", "BTC", price=2.0)
        headers = {} if case.key is None else {"Authorization": f"Bearer {case.key}"}
        async with plain_http(stage.port, headers=headers) as http:
            found = await http.request(case.method, case.target, json=case.content)
    assert found.status_code == case.status, found.text
    schema = answer(told, case.status)
    assert misfits(document, schema, found.json()) == [] or schema == {"type": "object"}
    described = {name.lower() for name in told["responses"][f"{case.status}"].get("headers", {})}
    assert {"www-authenticate", "retry-after"} & found.headers.keys() <= described
