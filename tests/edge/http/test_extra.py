"""Routes of plugins, over real HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from appliance.api import hookimpl
from appliance.loading.plugin import Plugin, examined
from tests.edge.stage import KEY, Stage, plain_http, playing

if TYPE_CHECKING:
    from starlette.requests import Request


async def hello(request: Request) -> Response:
    return JSONResponse({"who": request.state.principal, "path": request.url.path, **request.path_params})


async def broken(_request: Request) -> Response:
    raise ValueError("broken within")


def plugin(name: str, *routes: Route) -> Plugin:
    implementation = type(name, (), {"register_routes": staticmethod(hookimpl(lambda: routes))})
    return examined(implementation, Path(f"/plugins/{name}.py"), name=name, origin="folder")


async def get(stage: Stage, path: str, key: str | None = KEY) -> tuple[int, dict[str, Any]]:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    async with plain_http(stage.port) as http:
        answer = await http.get(path, headers=headers)
    found: dict[str, Any] = json.loads(answer.content)
    return answer.status_code, found


async def test_a_plugins_routes_stand_below_its_name_while_it_is_there() -> None:
    async with playing() as stage:
        assert (await get(stage, "/plugins/tides/hello/5"))[0] == 404
        stage.around.hooks.use(
            [plugin("tides", Route("/hello/{n}", hello)), plugin("other", Route("/", hello))]
        )
        status, found = await get(stage, "/plugins/tides/hello/5")
        assert (status, found["who"], found["n"]) == (200, "alice", "5")
        assert (await get(stage, "/plugins/other/"))[0] == 200
        assert (await get(stage, "/plugins/tides/nothing"))[0] == 404
        stage.around.hooks.use([])
        status, found = await get(stage, "/plugins/tides/hello/5")
        assert (status, found["success"]) == (404, False)


async def test_they_are_for_who_is_let_in() -> None:
    async with playing() as stage:
        stage.around.hooks.use([plugin("tides", Route("/hello", hello))])
        assert (await get(stage, "/plugins/tides/hello", None))[0] == 401
        assert (await get(stage, "/plugins/tides/hello", "sk_wrong"))[0] == 401


async def test_one_that_fails_is_told_and_the_server_goes_on() -> None:
    async with playing() as stage:
        stage.around.hooks.use([plugin("bad", Route("/", broken)), plugin("good", Route("/", hello))])
        status, found = await get(stage, "/plugins/bad/")
        assert (status, found["error"]) == (500, "the plugin 'bad' failed: its log says how")
        assert (await get(stage, "/plugins/good/"))[0] == 200
