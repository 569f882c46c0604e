"""The environment and `--set`."""

from __future__ import annotations

from typing import Any

from appliance.settings.environment import (
    Applied,
    apply_environment,
    apply_overrides,
    apply_state_dir,
    environment_name,
)
from appliance.settings.tree import Settings


def told(environment: dict[str, str]) -> list[str]:
    return [str(mistake) for mistake in apply_environment(Settings, {}, environment).mistakes]


def test_a_name_sets_the_value_at_its_path() -> None:
    table: dict[str, Any] = {"limits": {"sessions": 5, "topics": 6}}
    applied = apply_environment(Settings, table, {"APPLIANCE_LIMITS__SESSIONS": "7", "HOME": "/root"})
    assert table == {"limits": {"sessions": "7", "topics": 6}}
    assert applied.origins == {"limits.sessions": "APPLIANCE_LIMITS__SESSIONS"}
    assert applied.mistakes == []


def test_wholes_come_before_their_parts_in_any_order() -> None:
    table: dict[str, Any] = {}
    apply_environment(
        Settings,
        table,
        {"APPLIANCE_LISTEN__0__AUTH": "none", "APPLIANCE_LISTEN": '[{url = "tcp://127.0.0.1:0"}]'},
    )
    assert table == {"listen": [{"url": "tcp://127.0.0.1:0", "auth": "none"}]}


def test_an_unknown_name_is_told_the_nearest() -> None:
    said = "no setting has this name; did you mean"
    assert told({"APPLIANCE_LIMITS_SESSIONS": "5"}) == [
        f"APPLIANCE_LIMITS_SESSIONS: {said} APPLIANCE_LIMITS__SESSIONS?"
    ]
    assert told({"APPLIANCE_LIMIT__SESSIONS": "5"}) == [
        f"APPLIANCE_LIMIT__SESSIONS: {said} APPLIANCE_LIMITS__SESSIONS?"
    ]
    assert told({"APPLIANCE_CHANNELS__PRICE__HISTORY__CUONT": "5"}) == [
        f"APPLIANCE_CHANNELS__PRICE__HISTORY__CUONT: {said} APPLIANCE_CHANNELS__PRICE__HISTORY__COUNT?"
    ]
    assert told({"APPLIANCE_STOP__": "5"}) == [f"APPLIANCE_STOP__: {said} APPLIANCE_STOP__RETRY?"]


def test_a_name_near_nothing_is_told_what_there_is() -> None:
    (mistake,) = told({"APPLIANCE_XXXXXXXXXXXXXXXXXXX": "5"})
    assert mistake.startswith(
        "APPLIANCE_XXXXXXXXXXXXXXXXXXX: no setting has this name (known there: state_dir,"
    )


def test_a_value_is_never_quoted() -> None:
    (mistake,) = told({"APPLIANCE_AUTH__KEYS__9__KEY": "hunter2"})
    assert mistake == "APPLIANCE_AUTH__KEYS__9__KEY: `9` is no place in this list; the next free one is 0"


def test_names_are_in_upper_case() -> None:
    assert environment_name(["limits", "message_bytes"]) == "APPLIANCE_LIMITS__MESSAGE_BYTES"


def test_overrides_follow_one_another() -> None:
    table: dict[str, Any] = {}
    applied = apply_overrides(
        Settings,
        table,
        ["limits.sessions=5", "limits.sessions=6", 'aliases.price."x=y"=a=b', "listen[0].auth=none"],
    )
    assert table["limits"] == {"sessions": "6"}
    assert table["aliases"]["price"]["x=y"] == "a=b"
    assert table["listen"][0]["auth"] == "none"
    assert applied.mistakes == []
    assert applied.origins["limits.sessions"] == "--set limits.sessions"


def test_wrong_overrides_are_told_without_their_values() -> None:
    overrides = ["limits", "=hunter2", "limits.sesions=hunter2", "log.level.x=hunter2", '"\\x"=hunter2']
    assert [str(mistake) for mistake in apply_overrides(Settings, {}, overrides).mistakes] == [
        "--set limits: write --set PATH=VALUE, as in --set limits.sessions=500",
        "--set : write --set PATH=VALUE, as in --set limits.sessions=500",
        "--set limits.sesions: limits.sesions: is not a known key; did you mean `sessions`?",
        "--set log.level.x: log.level holds one value, and no keys",
        '--set "\\x": "\\x" is not a quoted key: Invalid \\escape',
    ]


def test_the_state_folder_of_the_command_line_goes_before_all_else() -> None:
    table: dict[str, Any] = {"state_dir": "/elsewhere"}
    assert apply_state_dir(table, None).origins == {}
    assert table == {"state_dir": "/elsewhere"}
    assert apply_state_dir(table, "~/x = 5").origins == {"state_dir": "--state-dir"}
    assert table == {"state_dir": "~/x = 5"}


def test_what_applications_are_told_in_the_environment_is_no_setting() -> None:
    environment = dict.fromkeys(("APPLIANCE_URL", "APPLIANCE_KEY", "APPLIANCE_CERTIFICATE"), "anything")
    table: dict[str, Any] = {}
    assert apply_environment(Settings, table, environment) == Applied()
    assert table == {}
