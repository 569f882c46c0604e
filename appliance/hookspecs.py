"""The hooks that a plugin may implement, each with what it returns. `docs/plugins.md` shows them in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.api import Channel, Source

hookspec = pluggy.HookspecMarker("appliance")


@hookspec
def register_channels() -> Iterable[Channel]:  # type: ignore[empty-body]
    """Return the channels that this plugin adds."""


@hookspec
def register_sources() -> Iterable[Source]:  # type: ignore[empty-body]
    """Return the kinds of source that this plugin adds."""
