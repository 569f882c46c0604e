"""The files of real folders, with the modes that they should not have."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs
import pytest

from appliance.ops.doctor import files
from tests.ops.doctor.said import only, said

if TYPE_CHECKING:
    from pathlib import Path


def facts(
    folder: Path, mode: int = 0o600, *, has_secrets: bool = False, secret: int | None = None
) -> files.Facts:
    file = folder / "appliance.toml"
    file.write_text("")
    file.chmod(mode)
    secrets = []
    if secret is not None:
        secrets = [folder / "key"]
        secrets[0].write_text("k")
        secrets[0].chmod(secret)
    return files.gather(file, secrets, has_secrets=has_secrets)


def test_files_of_this_user_alone_are_good(own_folder: Path) -> None:
    found = files.judge(facts(own_folder, secret=0o600))
    assert said(found) == [("configuration-file", "ok"), ("secret-file", "ok")]


def test_without_files_there_is_nothing_to_say() -> None:
    assert list(files.judge(files.gather(None, (), has_secrets=False))) == []


@pytest.mark.parametrize(("mode", "verdict"), [(0o660, "warning"), (0o606, "problem"), (0o666, "problem")])
def test_who_else_can_write_it_is_told(own_folder: Path, mode: int, verdict: str) -> None:
    found = only(files.judge(facts(own_folder, mode)))
    assert (found.kind, found.verdict) == ("configuration-file", verdict)
    assert f"mode {mode:04o}" in found.what
    assert found.remedy == f"`chmod go-w {own_folder}/appliance.toml`"
    secret = only(files.judge(facts(own_folder, secret=mode)))
    assert (secret.kind, secret.verdict) == ("secret-file", verdict)


def test_a_folder_that_others_can_write_counts_unless_it_is_sticky(own_folder: Path) -> None:
    own_folder.chmod(0o777)
    assert only(files.judge(facts(own_folder))).what.startswith(f"{own_folder} can be written")
    own_folder.chmod(0o1777)
    assert said(files.judge(facts(own_folder))) == [("configuration-file", "ok")]


def test_secrets_that_everybody_may_read_are_warned_of(own_folder: Path) -> None:
    found = only(files.judge(facts(own_folder, 0o644, has_secrets=True)))
    assert (found.kind, found.verdict) == ("configuration-file", "warning")
    assert "chmod o-r" in found.remedy
    for good in (facts(own_folder, 0o644), facts(own_folder, 0o640, has_secrets=True)):
        assert said(files.judge(good)) == [("configuration-file", "ok")]


def test_a_file_of_somebody_else_is_noted(own_folder: Path) -> None:
    found = facts(own_folder)
    theirs = attrs.evolve(found, user=os.geteuid() + 1)
    assert said(files.judge(theirs)) == [("configuration-file", "note")] * 2
