"""The settings in force, without their secrets."""

from __future__ import annotations

import attrs

from appliance.settings.access import AuthSettings, KeySettings
from appliance.settings.fields import Bytes, Seconds, Secret
from appliance.settings.listing import redacted
from appliance.settings.literals import Bare
from appliance.settings.tree import ChannelSettings, LogSettings, Settings


def test_each_setting_has_its_row_as_one_would_write_it() -> None:
    listed = dict(redacted(Settings(log=LogSettings(level="debug"), plugins_dir=("/srv/plugins",))))
    assert listed["log.level"] == '"debug"'
    assert listed["listen[0].url"] == '"tls://127.0.0.1:8443"'
    assert listed["limits.message_bytes"] == '"64KiB"'
    assert listed["stop.deadline"] == '"10s"'
    assert listed["plugins_dir"] == '["/srv/plugins"]'
    assert listed["aliases.price.bitcoin"] == '"BTC"'
    assert "state_dir" not in listed


def test_what_is_secret_is_hidden() -> None:
    settings = Settings(
        auth=AuthSettings(keys=(KeySettings(name="alice", key=Secret("hunter2"), key_file="/etc/alice"),)),
        channels={"price": ChannelSettings(options={"password": "hunter2", "token": Bare("hunter2")})},
    )
    listed = dict(redacted(settings))
    assert listed["auth.keys[0].name"] == '"alice"'
    assert listed["auth.keys[0].key"] == "(hidden)"
    assert listed["auth.keys[0].key_file"] == '"/etc/alice"'
    assert listed["channels.price.password"] == "(hidden)"
    assert "hunter2" not in repr(listed)
    assert "hunter2" not in repr(settings)


@attrs.frozen
class Plugin:
    keys: dict[str, Secret]
    wait: Seconds = attrs.field(default=Seconds(0.5))
    cache: Bytes | None = None
    password: Secret = attrs.field(default=Secret("hunter2"))


def test_the_settings_of_a_plugin_are_listed_too() -> None:
    assert list(redacted(Plugin({"a": Secret("hunter2")}), "sources.pg")) == [
        ("sources.pg.keys.a", "(hidden)"),
        ("sources.pg.wait", '"500ms"'),
        ("sources.pg.password", "(hidden)"),
    ]
