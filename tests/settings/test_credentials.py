"""The systemd credential with API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.settings.credentials import Credentials, credentials

if TYPE_CHECKING:
    from pathlib import Path


def test_each_line_is_a_key_with_or_without_a_name(tmp_path: Path) -> None:
    (tmp_path / "auth.keys").write_text("# for partners\nalice hunter2\n\n  swordfish  \n", encoding="utf-8")
    found = credentials({"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert [(key.name, key.key) for key in found.keys] == [("alice", "hunter2"), ("credential", "swordfish")]
    assert found.mistakes == ()
    assert "hunter2" not in repr(found)


def test_without_the_credential_there_are_no_keys(tmp_path: Path) -> None:
    assert credentials({}) == Credentials()
    assert credentials({"CREDENTIALS_DIRECTORY": ""}) == Credentials()
    assert credentials({"CREDENTIALS_DIRECTORY": str(tmp_path)}) == Credentials()


def test_a_wrong_line_is_named_and_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "auth.keys"
    path.write_text("alice hunter2\nbob sword fish\n", encoding="utf-8")
    (mistake,) = credentials({"CREDENTIALS_DIRECTORY": str(tmp_path)}).mistakes
    assert str(mistake) == f"{path}:2: expected `NAME KEY`, or only `KEY`"


def test_a_credential_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "auth.keys").mkdir()
    (mistake,) = credentials({"CREDENTIALS_DIRECTORY": str(tmp_path)}).mistakes
    assert "cannot be read: Is a directory" in str(mistake)
