from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance.core.errors import Mistake
from appliance.loading.ledger import PluginState
from appliance.ops.doctor import configuration
from appliance.settings.load import load
from tests.ops.doctor.said import only, said

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.loading.ledger import Standing


def plugin(name: str, state: Standing = "loaded", error: str = "") -> PluginState:
    return PluginState(name=name, file=f"/p/{name}.py", origin="folder", state=state, error=error)


def test_each_mistake_is_a_problem() -> None:
    mistakes = [
        Mistake("limits.sessions", "must be at least 1, not 0", "a.toml", 3),
        Mistake("x", "is unknown"),
    ]
    found = list(configuration.judge("a.toml", mistakes, ()))
    assert said(found) == [("configuration", "problem")] * 2
    assert found[0].what == "a.toml:3: limits.sessions: must be at least 1, not 0"
    assert "appliance check a.toml" in found[0].remedy


def test_a_warning_is_told_with_its_remedy() -> None:
    first, good = configuration.judge(
        "", (), ["key can be read by everyone; take that away with `chmod o-r key`"]
    )
    assert (first.verdict, first.what) == ("warning", "key can be read by everyone")
    assert first.remedy == "take that away with `chmod o-r key`"
    assert said([good]) == [("configuration", "ok")]
    assert only(configuration.judge("", (), ["odd"])).what == "odd"


@pytest.mark.parametrize("state", ["refused", "incomplete", "quarantined"])
def test_a_plugin_that_is_not_loaded_is_a_problem_in_a_line(state: Standing) -> None:
    found = only(configuration.judge_plugins([plugin("good"), plugin("bad", state, "line 1\nline 2")]))
    assert (found.kind, found.verdict) == ("plugins", "problem")
    assert found.what == f"/p/bad.py is {state}: line 1 line 2"
    assert "appliance plugins check /p/bad.py" in found.remedy


def test_a_plugin_that_was_ended_while_running_is_warned_of() -> None:
    running = [plugin("good"), plugin("bad", "quarantined", "it floods")]
    findings = list(configuration.judge_plugins([plugin("good"), plugin("bad")], running))
    assert said(findings) == [("plugins", "warning"), ("plugins", "ok")]
    assert "it floods" in findings[0].what


@pytest.mark.parametrize(
    ("table", "has"),
    [
        ({}, False),
        ({"auth": {"keys": [{"name": "a", "key_file": "k"}]}}, False),
        ({"auth": {"keys": [{"name": "a", "key": "k"}]}}, True),
        ({"tls": {"key": "key.pem"}, "channels": {"trades": {"key": "symbol"}}}, False),
        ({"sources": {"main": {"password": "p"}}}, True),
        ({"sources": {"main": {"password_file": "p"}}}, False),
        ({"channels": {"mine": {"api_token": "t"}}}, True),
    ],
)
def test_secrets_in_the_file_itself_are_found(table: dict[str, Any], *, has: bool) -> None:
    assert configuration.holds_secrets(table) is has


def test_files_with_secrets_are_those_that_the_configuration_names(tmp_path: Path) -> None:
    for name in ("key", "password"):
        (tmp_path / name).write_text("secret")
    file = tmp_path / "appliance.toml"
    file.write_text(
        f'[[auth.keys]]\nname = "a"\nkey_file = "{tmp_path}/key"\n[[auth.keys]]\nname = "b"\nkey = "k"\n'
        f'[sources.main]\nkind = "postgres"\nhost = "db"\npassword_file = "{tmp_path}/password"\n'
        f'[channels.mine]\npassword_file = "{tmp_path}/password"\nsource = "main"\n'
    )
    settings = load(file=file, environment={}).settings
    assert configuration.secret_files(settings) == (f"{tmp_path}/key", f"{tmp_path}/password")
