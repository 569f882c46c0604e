"""The hooks that a plugin may implement, each with what it returns. `docs/plugins.md` shows them in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.routing import BaseRoute

    from appliance.api import Channel, Event, Grant, SessionInfo, Source

hookspec = pluggy.HookspecMarker("appliance")


@hookspec
def register_channels() -> Iterable[Channel]:  # type: ignore[empty-body]
    """Return the channels that this plugin adds."""


@hookspec
def register_sources() -> Iterable[Source]:  # type: ignore[empty-body]
    """Return the kinds of source that this plugin adds."""


@hookspec
def register_routes() -> Iterable[BaseRoute]:  # type: ignore[empty-body]
    """Return Starlette routes; they are served below `/plugins/NAME`, to whom the listener lets in.

    `request.state.principal` names who that is.
    """


@hookspec
def authenticate(credential: str) -> Grant | None:
    """Return who shows this credential, which is no API key of the configuration; None when you do not know it.

    Compare secrets with `hmac.compare_digest`. Called in the loop: look nothing up that takes time.
    """


@hookspec
def transform(event: Event) -> Event | object | None:
    """Return another event in its place (`attrs.evolve`), `appliance.api.DROP` for none, or None to leave it as it is.

    Called for each event before it is published, and before it is checked against its channel's schema.
    """


@hookspec
def session_opened(session: SessionInfo) -> None:
    """Take note of a client that has been let in."""


@hookspec
def session_closed(session: SessionInfo) -> None:
    """Take note of a client that has left."""
