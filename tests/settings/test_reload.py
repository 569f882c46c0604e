"""What a running appliance takes of a new configuration."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from appliance.settings.access import AuthSettings, KeySettings
from appliance.settings.fields import Secret
from appliance.settings.limits import LimitSettings, ListenLimits
from appliance.settings.reload import Change, changes, merged
from appliance.settings.tree import ChannelSettings, ListenSettings, LogSettings, Settings

OLD = Settings()
PUBLIC = ListenSettings(url="tls://0.0.0.0:443")
LOCAL = ListenSettings(url="unix:socket", auth="none")


def key(name: str, secret: str) -> KeySettings:
    return KeySettings(name=name, key=Secret(secret))


def keys(*given: KeySettings) -> Settings:
    return Settings(auth=AuthSettings(keys=given))


def test_nothing_changes_between_equal_settings() -> None:
    assert changes(OLD, Settings()) == ()
    assert merged(OLD, Settings()) == OLD


def test_what_reloads_is_taken_and_the_rest_waits() -> None:
    new = Settings(
        state_dir="/srv",
        limits=LimitSettings(sessions=5, topics=7),
        log=LogSettings(level="debug", format="json"),
    )
    assert changes(OLD, new) == (
        Change("state_dir", reloads=False),
        Change("limits.sessions", reloads=True),
        Change("limits.topics", reloads=False),
        Change("log.level", reloads=True),
        Change("log.format", reloads=False),
    )
    assert merged(OLD, new) == Settings(limits=LimitSettings(sessions=5), log=LogSettings(level="debug"))


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ((), (key("a", "1"),), ["auth.keys[0]"]),
        ((key("a", "1"),), (), ["auth.keys[0]"]),
        ((key("a", "1"),), (key("a", "2"),), ["auth.keys[0].key"]),
        (
            (key("a", "1"), key("b", "2")),
            (key("b", "2"),),
            ["auth.keys[0].name", "auth.keys[0].key", "auth.keys[1]"],
        ),
    ],
)
def test_keys_are_taken_as_they_are_now(old: Any, new: Any, paths: list[str]) -> None:
    assert changes(keys(*old), keys(*new)) == tuple(Change(path, reloads=True) for path in paths)
    assert merged(keys(*old), keys(*new)) == keys(*new)


def test_the_policy_of_a_listener_reloads() -> None:
    changed = attrs.evolve(PUBLIC, auth="optional", origins=("self",), limits=ListenLimits(sessions=5))
    old, new = Settings(listen=(PUBLIC, LOCAL)), Settings(listen=(changed, LOCAL))
    assert changes(old, new) == (
        Change("listen[0].auth", reloads=True),
        Change("listen[0].origins[0]", reloads=True),
        Change("listen[0].limits.sessions", reloads=True),
    )
    assert merged(old, new) == new


def test_a_listener_never_gets_the_policy_of_another() -> None:
    old, new = Settings(listen=(PUBLIC, LOCAL)), Settings(listen=(LOCAL, PUBLIC))
    assert changes(old, new) == (Change("listen[0]", reloads=False), Change("listen[1]", reloads=False))
    assert merged(old, new) == old


def test_listeners_that_come_or_go_wait_for_the_next_start() -> None:
    one, two = Settings(listen=(PUBLIC,)), Settings(listen=(PUBLIC, LOCAL))
    assert changes(one, two) == changes(two, one) == (Change("listen[1]", reloads=False),)
    assert merged(one, two) == one
    assert merged(two, one) == two


def test_tables_by_name_are_compared_by_name() -> None:
    old = Settings(channels={"a": ChannelSettings(), "b": ChannelSettings(options={"x": {"y": [1, 2]}})})
    new = Settings(
        channels={"b": ChannelSettings(options={"x": {"y": [1, 3]}}, enabled=False), "c d": ChannelSettings()}
    )
    assert changes(old, new) == (
        Change("channels.a", reloads=True),
        Change("channels.b.enabled", reloads=True),
        Change("channels.b.x.y[1]", reloads=True),
        Change('channels."c d"', reloads=True),
    )
    assert merged(old, new) == new
