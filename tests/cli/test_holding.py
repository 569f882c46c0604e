"""Which appliance a command is about, and what of its work stands in the audit log."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from appliance.cli.holding import opened
from appliance.cli.main import cli
from tests.access.issuing import SECRET
from tests.authoring import Done
from tests.cli.test_serving import write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


@pytest.fixture
def config(tmp_path: Path, trail: Path) -> Path:
    return write(
        tmp_path,
        f'state_dir = "{tmp_path / "state"}"\n'
        f'[audit]\nfile = "{trail}"\n'
        '[[auth.keys]]\nname = "configured"\nkey = "sk_of-the-configuration"\n'
        f'[[auth.tokens]]\nname = "own"\nalgorithms = ["HS256"]\nsecret = "{SECRET}"\n',
    )


def ran(*words: str) -> Done:
    done = CliRunner().invoke(cli, list(words), prog_name="appliance")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.stderr
    return Done(done.exit_code, done.stdout, done.stderr)


def lines(trail: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in trail.read_text().splitlines()]


def test_the_files_of_an_appliance_are_those_of_its_configuration(config: Path, tmp_path: Path) -> None:
    held = opened(config, None)
    assert held.configured == {"configured"}
    assert held.keys.path == tmp_path / "state" / "keys.json"
    assert held.revocations.path == tmp_path / "state" / "revocations.json"
    assert (tmp_path / "state").is_dir()
    assert opened(config, str(tmp_path / "other")).keys.path.parent == tmp_path / "other"


def test_each_change_stands_in_the_audit_log_with_who_made_it_and_no_secret(
    config: Path, trail: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "ann")
    which = ("--config", str(config))
    shown = [ran("keys", "create", "desk", *which).output, ran("keys", "rotate", "desk", *which).output]
    ran("keys", "revoke", "desk", *which)
    shown.append(ran("token", "create", "--sub", "bob", "--expires", "1h", *which).output)
    ran("token", "revoke", "--principal", "own/bob", *which)
    ran("token", "revoke", "--principal", "own/bob", "--undo", *which)
    told = lines(trail)
    assert [line["event"] for line in told] == [
        *("key made", "key rotated", "key revoked", "key revoked"),
        *("token made", "revoked", "revocation undone"),
    ]
    assert {(line["uid"], line["sudo_user"], line["audit"]) for line in told} == {(os.getuid(), "ann", True)}
    assert all(text.strip() not in trail.read_text() for text in shown)


def test_a_change_that_cannot_be_told_is_made_and_the_operator_is_told(
    config: Path, trail: Path, tmp_path: Path
) -> None:
    trail.mkdir()
    done = ran("keys", "create", "desk", "--config", str(config))
    assert "warning: this is not in the audit log" in done.errors
    assert opened(config, None).keys.read().named("desk")
    assert (tmp_path / "state" / "keys.json").exists()
