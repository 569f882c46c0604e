"""The routes of plugins, each plugin's below `/plugins/NAME`; what they do wrong is a 500 for who asked.

Must not know what plugins serve, nor when they come and go.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router

from appliance.edge.description.operation import Answer, Audience, Given, Operation
from appliance.runtime.watchman import BlockedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import Message, Receive, Scope, Send

    from appliance.access.principals import Principal
    from appliance.loading.plugin import Plugin

PREFIX = "/plugins"
ROUTES = f"{PREFIX}/{{plugin}}/{{path}}"
_log = structlog.get_logger()


def describe(_: Audience) -> Operation:
    """Say what all plugins' routes have in common; which they are, and by which methods, is each plugin's own."""
    return Operation(
        name="plugin",
        summary="A route of a plugin",
        tag="plugins",
        given=(
            Given(name="plugin", where="path", about="The plugin's name", required=True),
            Given(name="path", where="path", about="What it serves", required=True),
        ),
        answers={None: Answer("What the plugin answers", {"*/*": {}})},
        refusals={
            HTTPStatus.NOT_FOUND: "there is no such plugin, or it has no such route",
            HTTPStatus.INTERNAL_SERVER_ERROR: "the plugin failed",
        },
    )


class Extra:
    """To be mounted at PREFIX. `plugins` gives those of the moment; `admit` lets a request in or raises."""

    def __init__(
        self, plugins: Callable[[], Iterable[Plugin]], admit: Callable[[Request], Principal]
    ) -> None:
        self._plugins = plugins
        self._admit = admit
        self._routers: dict[int, tuple[Plugin, Router]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = self._admit(Request(scope, receive))
        name, _, rest = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/").partition("/")
        plugin = next((plugin for plugin in self._plugins() if plugin.name == name), None)
        router = None if plugin is None else self._router(plugin)
        if plugin is None or router is None:
            await _refuse(HTTPStatus.NOT_FOUND, f"no plugin here has routes by the name {name!r}")(
                scope, receive, send
            )
            return
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        inner = {
            **scope,
            "path": f"/{rest}",
            "root_path": "",
            "state": {**scope["state"], "principal": principal.name},
        }
        try:
            await router(inner, receive, sent)
        except HTTPException as error:
            await _refuse(HTTPStatus(error.status_code), error.detail)(scope, receive, send)
        except (Exception, BlockedError) as error:
            _log.exception(
                "route failed",
                plugin=plugin.name,
                file=str(plugin.file),
                path=scope["path"],
                error=str(error),
            )
            if begun:
                raise RuntimeError("the answer broke off") from error
            await _refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"the plugin {name!r} failed: its log says how")(
                scope, receive, send
            )

    def _router(self, plugin: Plugin) -> Router | None:
        """Ask a plugin for its routes, once while it is there."""
        known = self._routers.get(id(plugin))
        if known is not None:
            return known[1]
        if not plugin.hooks.register_routes.get_hookimpls():
            return None
        try:
            routes: list[Any] = [route for result in plugin.hooks.register_routes() for route in result]
            router = Router(routes)
        except (Exception, SystemExit, BlockedError) as error:  # noqa: BLE001 - a plugin may raise anything
            _log.exception(
                "hook failed",
                plugin=plugin.name,
                file=str(plugin.file),
                hook="register_routes",
                problem=str(error),
            )
            return None
        there = {id(other) for other in self._plugins()}
        self._routers = {key: value for key, value in self._routers.items() if key in there}
        self._routers[id(plugin)] = plugin, router
        return router


def _refuse(status: HTTPStatus, error: str) -> Response:
    body = msgspec.json.encode({"success": False, "data": None, "error": error})
    return Response(body, status_code=status, media_type="application/json")
