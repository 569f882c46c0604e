"""Hooks that plugins implement, good and bad, called as the appliance calls them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from structlog.testing import capture_logs

from appliance.api import DROP, Event, Grant, SessionInfo, hookimpl
from appliance.loading.plugin import examined
from appliance.runtime.hooks import Hooks
from appliance.runtime.watchman import BlockedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.loading.plugin import Plugin

EVENT = Event("price", "BTC", {"price": 1.5}, 5.0)
SESSION = SessionInfo(client="127.0.0.1", path="/ws", dialect="cryptointel", principal="alice", details={})


def plugin(name: str, **hooks: Callable[..., Any]) -> Plugin:
    implementation = type(name, (), {hook: staticmethod(hookimpl(call)) for hook, call in hooks.items()})
    return examined(implementation, Path(f"/plugins/{name}.py"), name=name, origin="folder")


def using(*plugins: Plugin) -> Hooks:
    hooks = Hooks()
    hooks.use(plugins)
    return hooks


def double(event: Event) -> Event | None:
    return attrs.evolve(event, data={"price": 2 * event.data["price"]}) if event.key == "BTC" else None


def hide(event: Event) -> object:
    return DROP if event.data["price"] > 2.5 else None


def test_without_plugins_an_event_stays_as_it_is() -> None:
    assert Hooks().transform(EVENT) is EVENT
    assert using(plugin("p", authenticate=lambda credential: None)).transform(EVENT) is EVENT  # noqa: ARG005 - a hook's name


def test_each_plugin_transforms_what_the_one_before_it_has_left() -> None:
    hooks = using(plugin("one", transform=double), plugin("two", transform=hide))
    assert hooks.transform(EVENT) is None
    assert using(plugin("two", transform=hide), plugin("one", transform=double)).transform(EVENT) == Event(
        "price", "BTC", {"price": 3.0}, 5.0
    )
    other = attrs.evolve(EVENT, key="ETH")
    assert hooks.transform(other) is other


def raises(error: BaseException) -> Callable[[Event], object]:
    def transform(event: Event) -> object:  # noqa: ARG001 - a hook's name
        raise error

    return transform


@pytest.mark.parametrize(
    "bad",
    [
        raises(ValueError("no")),
        raises(SystemExit(1)),
        raises(BlockedError("slow")),
        lambda event: "text",  # noqa: ARG005 - a hook's name
        lambda event: attrs.evolve(event, channel="trades"),
    ],
)
def test_what_a_hook_does_wrong_is_told_once_and_changes_nothing(bad: Callable[[Event], object]) -> None:
    hooks = using(plugin("bad", transform=bad), plugin("good", transform=double))
    with capture_logs() as log:
        for _ in range(3):
            assert hooks.transform(EVENT) == attrs.evolve(EVENT, data={"price": 3.0})
    [told] = log
    assert (told["plugin"], told["file"], told["hook"]) == ("bad", "/plugins/bad.py", "transform")


def test_the_first_plugin_that_knows_a_credential_decides() -> None:
    grants = [Grant(name="first"), Grant(name="second")]
    hooks = using(
        plugin("none", authenticate=lambda credential: None),  # noqa: ARG005 - a hook's name
        plugin("wrong", authenticate=lambda credential: "alice"),  # noqa: ARG005 - a hook's name
        plugin("one", authenticate=lambda credential: grants[0] if credential == "a" else None),
        plugin("two", authenticate=lambda credential: grants[1]),  # noqa: ARG005 - a hook's name
    )
    assert [hooks.authenticate(text) for text in "ab"] == grants
    assert Hooks().authenticate("a") is None


def test_sessions_are_told_of() -> None:
    told: list[tuple[str, SessionInfo]] = []
    hooks = using(
        plugin("bad", session_opened=lambda session: 1 / 0),  # noqa: ARG005 - a hook's name
        plugin(
            "good",
            session_opened=lambda session: told.append(("opened", session)),
            session_closed=lambda session: told.append(("closed", session)),
        ),
    )
    hooks.opened(SESSION)
    hooks.closed(SESSION)
    assert told == [("opened", SESSION), ("closed", SESSION)]
    hooks.use(())
    hooks.opened(SESSION)
    assert len(told) == 2
