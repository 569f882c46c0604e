"""Revocations as they are kept: taken up when they change, and never lost to a broken file."""

from __future__ import annotations

import datetime as dt
import stat
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from appliance.access.principals import Principal
from appliance.access.revocations import Revocation
from appliance.access.revoked import FILE_NAME, RevocationFile, Revoked
from appliance.core.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
ANN = Principal("own/ann", kind="token", credential="1")


@pytest.fixture
def file(tmp_path: Path) -> RevocationFile:
    return RevocationFile(tmp_path / FILE_NAME)


def take_back(file: RevocationFile, identifier: str) -> None:
    file.change(lambda before: (before.add(Revocation(made=NOW, id=identifier)), None))


def test_nothing_is_taken_back_without_a_file(file: RevocationFile) -> None:
    revoked = Revoked(file)
    assert revoked.hit(ANN) is None
    assert not revoked.look()


def test_a_change_is_in_force_once_it_is_seen(file: RevocationFile) -> None:
    revoked = Revoked(file)
    take_back(file, "1")
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    with capture_logs() as log:
        assert revoked.look()
        assert not revoked.look()
    assert revoked.hit(ANN) is not None
    assert Revoked(file).hit(ANN) is not None
    assert [(line["event"], line["added"], line["dropped"]) for line in log] == [
        ("revocations changed", ["the credential 1"], [])
    ]


@pytest.mark.parametrize("damage", ["{", '{"entries": [{"made": "2030-01-01T00:00:00Z"}]}', "open to others"])
def test_a_broken_file_leaves_what_was_in_force(file: RevocationFile, damage: str) -> None:
    take_back(file, "1")
    revoked = Revoked(file)
    good = file.path.read_text()
    if damage == "open to others":
        file.path.chmod(0o644)
    else:
        file.path.write_text(damage)
    with capture_logs() as log:
        assert not revoked.look()
        assert not revoked.look()
    assert revoked.hit(ANN) is not None
    assert [(line["event"], line["log_level"]) for line in log] == [
        ("revocations refused, those before stay", "error")
    ]
    assert revoked.problem is not None
    assert str(file.path) in revoked.problem
    file.path.write_text(good)
    file.path.chmod(0o600)
    revoked.look()
    assert revoked.problem is None


def test_a_start_with_a_broken_file_fails(file: RevocationFile) -> None:
    file.path.write_text("{")
    file.path.chmod(0o600)
    with pytest.raises(StartError, match="appliance token revoke"):
        Revoked(file)
