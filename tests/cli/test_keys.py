"""The commands for API keys as somebody types them, and an appliance that runs meanwhile."""

from __future__ import annotations

import http.client
import json
import time
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from appliance.access.key_file import KeyFile
from appliance.access.secret_text import identify
from appliance.cli.main import cli
from appliance.core.errors import StartError
from tests.authoring import PATIENCE, Done
from tests.cli.test_serving import served, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def ran(state: Path, *arguments: str) -> Done:
    command = ["keys", *arguments, "--state-dir", str(state)]
    done = CliRunner().invoke(cli, command, prog_name="appliance")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


def made(state: Path, *arguments: str) -> str:
    """Run a command that makes a key, which is all that is on standard output."""
    done = ran(state, *arguments)
    assert done.status == 0, done.errors
    text = done.output.removesuffix("\n")
    assert identify(text)
    assert text not in done.errors
    return text


def test_a_key_is_printed_once_and_kept_as_a_digest(state: Path) -> None:
    text = made(state, "create", "ann", "--read", "price:*", "--publish", "alerts", "--expires", "90d")
    file = state / "keys.json"
    assert text not in file.read_text()
    (key,) = KeyFile(file).read().keys
    secret = text.partition(f"{key.id}_")[2]
    assert len(secret) > 30
    assert secret not in ran(state, "list").output + ran(state, "show", "ann").output
    assert (key.name, key.read, key.publish) == ("ann", ("price:*",), ("alerts",))
    assert (state.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)


def test_what_was_made_is_told_beside_it(state: Path) -> None:
    done = ran(state, "create", "ann", "--sessions", "2", "--subscriptions", "3", "--address", "10.0.0.0/8")
    for part in ("ann, key", "most sessions     2", "3 of a session", "10.0.0.0/8", "keys.json"):
        assert part in done.errors


def test_keys_are_listed_for_people_and_for_programs(state: Path) -> None:
    assert json.loads(ran(state, "list", "--json").output) == []
    made(state, "create", "ann")
    made(state, "create", "bob", "--expires", "2999-01-31")
    lines = ran(state, "list").output.splitlines()
    assert [line.split()[1] for line in lines] == ["NAME", "ann", "bob"]
    listed = json.loads(ran(state, "list", "--json").output)
    assert [(key["name"], key["state"], key["expires"]) for key in listed] == [
        ("ann", "active", None),
        ("bob", "active", "2999-01-31T00:00:00Z"),
    ]
    (shown,) = json.loads(ran(state, "show", "bob", "--json").output)
    assert shown == listed[1]


def test_a_key_is_rotated_and_revoked(state: Path) -> None:
    first = made(state, "create", "ann", "--read", "price:*")
    second = made(state, "rotate", "ann", "--overlap", "1d")
    assert first != second
    third = made(state, "rotate", identify(second) or "", "--overlap", "0")
    keys = json.loads(ran(state, "list", "--json").output)
    assert [key["state"] for key in keys] == ["active", "expired", "active"]
    assert [key["read"] for key in keys] == [["price:*"]] * 3
    done = ran(state, "revoke", identify(third) or "")
    assert (done.status, done.output) == (0, f"ann: key {identify(third)} is revoked\n")
    assert ran(state, "revoke", "ann").output.count("is revoked") == 2
    assert {key["state"] for key in json.loads(ran(state, "list", "--json").output)} == {"revoked"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("create", "taken"), "'taken' has a key: rotate it"),
        (("create", ""), "1 to 200 characters"),
        (("create", "two\nlines"), "1 to 200 characters"),
        (("create", "new", "--read", "price"), "'price' is no topic"),
        (("create", "new", "--publish", "a:b"), "'a:b' is no channel"),
        (("create", "new", "--address", "here"), "'here' is no network"),
        (("create", "new", "--sessions", "0"), "--sessions"),
        (("create", "new", "--expires", "2001-01-01"), "is no time to come"),
        (("show", "nobody"), "'nobody' has no key"),
        (("rotate", "nobody"), "'nobody' has no key"),
        (("rotate", "taken", "--overlap", "a while"), "is no time"),
        (("revoke", "nobody"), "'nobody' has no key"),
    ],
)
def test_mistakes_are_told_and_change_nothing(state: Path, arguments: tuple[str, ...], says: str) -> None:
    made(state, "create", "taken")
    before = (state / "keys.json").read_bytes()
    done = ran(state, *arguments)
    assert done.status != 0
    assert done.output == ""
    assert says in done.errors
    assert (state / "keys.json").read_bytes() == before


def test_a_name_of_the_configuration_is_taken(state: Path, tmp_path: Path) -> None:
    file = write(tmp_path, '[[auth.keys]]\nname = "ann"\nkey = "sk_of-ann"\n')
    done = ran(state, "create", "ann", "--config", str(file))
    assert "has a key in the configuration" in done.errors
    assert not (state / "keys.json").exists()


def test_the_file_may_be_elsewhere(state: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    file = write(tmp_path, f'[auth]\nkeys_file = "{elsewhere}"\n')
    made(state, "create", "ann", "--config", str(file))
    assert [key.name for key in KeyFile(elsewhere).read().keys] == ["ann"]
    assert not state.exists()


def test_a_damaged_file_is_not_written_over(state: Path) -> None:
    made(state, "create", "ann")
    (state / "keys.json").write_text("{")
    with pytest.raises(StartError, match="is not what `appliance keys` writes"):
        ran(state, "create", "bob")
    assert (state / "keys.json").read_text() == "{"


def status(port: int, key: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/ws/stats", headers={"authorization": f"Bearer {key}"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_an_appliance_that_runs_takes_changes_up_and_notes_the_last_use(tmp_path: Path) -> None:
    state = tmp_path / "state"
    write(tmp_path, '[[listen]]\nurl = "tcp://127.0.0.1:0"\n[log]\nformat = "json"\n')
    first = made(state, "create", "ann")
    with served(tmp_path) as running:
        [address] = running.wait_for("serving")["listeners"]
        port = int(address.rpartition(":")[2])
        assert not (state / "api_key").exists()
        assert status(port, first) == 200
        second = made(state, "create", "bob")
        told = running.wait_for("keys changed")
        assert (told["made"], told["ended"]) == ([f"bob ({identify(second)})"], [])
        assert (status(port, first), status(port, second)) == (200, 200)
        began = time.monotonic()
        ran(state, "revoke", "ann")
        running.wait_for("keys changed")
        assert time.monotonic() - began < PATIENCE
        assert (status(port, first), status(port, second)) == (401, 200)
        refused = running.wait_for("refused")
        assert (refused["code"], refused["way"]) == ("INVALID_TOKEN", "header")
        assert f"the key {identify(first)} of 'ann' is revoked" in refused["why"]
        running.process.terminate()
        assert running.process.wait(PATIENCE) == 0
    assert {
        key["name"]: key["last_used"] is None for key in json.loads(ran(state, "list", "--json").output)
    } == {
        "ann": False,
        "bob": False,
    }


def test_a_key_that_is_shown_a_part_is_so_after_it_was_rotated(state: Path) -> None:
    options = ("--hide", "note", "--only", 'account = "A1"', "--rate", "2", "--no-monitor")
    made(state, "create", "ann", *options)
    shown = ran(state, "show", "ann").output
    wanted = (
        'is shown          not the fields note; events with account = "A1"; at most 2 a second of each topic'
    )
    assert wanted in shown
    assert "metrics           are not told" in shown
    made(state, "rotate", "ann")
    first, second = KeyFile(state / "keys.json").read().keys
    assert (first.views, first.monitor) == (second.views, second.monitor)
    assert second.principal().entitlements.scope.view("price:BTC").rate == 2.0
    (entry, _) = json.loads(ran(state, "list", "--json").output)
    assert entry["views"] == [
        {"topics": ["*"], "hide": ["note"], "only": 'account = "A1"', "rate": 2.0},
    ]
    assert entry["read"] == ["*"]
