"""The hooks of plugins that are called while the appliance runs. What one of them does wrong stays its own trouble.

Must not know when plugins come and go: it is told which there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from appliance.api import DROP, Event, Grant
from appliance.runtime.watchman import BlockedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.api import SessionInfo
    from appliance.loading.plugin import Plugin

_log = structlog.get_logger()

_FAILED = object()


class Hooks:
    """A hook that fails is told of once, and called again the next time: it may have been the event."""

    def __init__(self) -> None:
        self.plugins: tuple[Plugin, ...] = ()
        self._told: set[tuple[str, str]] = set()
        self._callers: dict[str, list[tuple[Plugin, Callable[..., Any]]]] = {}

    def use(self, plugins: Iterable[Plugin]) -> None:
        """Call the hooks of these from now on, in their order."""
        self.plugins = tuple(plugins)
        self._told.clear()
        self._callers = {
            name: [
                (plugin, caller)
                for plugin in self.plugins
                if (caller := getattr(plugin.hooks, name)).get_hookimpls()
            ]
            for name in ("authenticate", "transform", "session_opened", "session_closed")
        }

    def transform(self, event: Event) -> Event | None:
        """Give what becomes of an event; None when it is to reach nobody."""
        for plugin, caller in self._callers.get("transform", ()):
            for result in self._call(plugin, "transform", caller, event=event):
                if result is DROP:
                    return None
                if isinstance(result, Event) and result.channel == event.channel:
                    event = result
                else:
                    self._blame(
                        plugin, "transform", f"returned {result!r}, which is no event of {event.channel}"
                    )
        return event

    def authenticate(self, credential: str) -> Grant | None:
        """Ask all in turn who shows this; the first that knows decides."""
        for plugin, caller in self._callers.get("authenticate", ()):
            for result in self._call(plugin, "authenticate", caller, credential=credential):
                if isinstance(result, Grant):
                    return result
                self._blame(plugin, "authenticate", "returned what is no Grant")
        return None

    def opened(self, session: SessionInfo) -> None:
        self._tell("session_opened", session)

    def closed(self, session: SessionInfo) -> None:
        self._tell("session_closed", session)

    def _tell(self, hook: str, session: SessionInfo) -> None:
        for plugin, caller in self._callers.get(hook, ()):
            self._call(plugin, hook, caller, session=session)

    def _call(self, plugin: Plugin, hook: str, caller: Callable[..., Any], **arguments: Any) -> list[Any]:  # noqa: ANN401 - those of the hook
        try:
            results: list[Any] = caller(**arguments)
        except (Exception, SystemExit, BlockedError) as error:  # noqa: BLE001 - a plugin may raise anything
            self._blame(plugin, hook, f"raised {type(error).__name__}: {error}", error)
            return []
        return results

    def _blame(self, plugin: Plugin, hook: str, problem: str, error: BaseException | None = None) -> None:
        if (plugin.name, hook) not in self._told:
            self._told.add((plugin.name, hook))
            _log.error(
                "hook failed",
                plugin=plugin.name,
                file=str(plugin.file),
                hook=hook,
                problem=problem,
                exc_info=error,
            )
