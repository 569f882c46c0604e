"""State folders as they are found: made, to be made, another's, open, closed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs
import pytest

from appliance.ops.doctor import state_folder
from tests.ops.doctor.said import only, said

if TYPE_CHECKING:
    from pathlib import Path


def judged(folder: Path) -> state_folder.Facts:
    return state_folder.gather(folder, private=("api_key",))


def test_one_that_is_this_users_alone_is_good(own_folder: Path) -> None:
    (own_folder / "api_key").touch(0o600)
    (own_folder / "certificate.pem").touch(0o644)
    assert said(state_folder.judge(judged(own_folder))) == [("state-folder", "ok")]


def test_one_that_can_be_made_is_good(own_folder: Path) -> None:
    facts = judged(own_folder / "lib" / "appliance")
    assert facts.above == own_folder
    assert said(state_folder.judge(facts)) == [("state-folder", "ok")]


def test_one_that_cannot_be_made_is_a_problem(own_folder: Path) -> None:
    own_folder.chmod(0o500)
    found = only(state_folder.judge(judged(own_folder / "appliance")))
    assert found.verdict == "problem"
    assert f"mkdir -p -m 700 {own_folder}/appliance" in found.remedy


def test_a_file_in_its_place_is_a_problem(own_folder: Path) -> None:
    (own_folder / "file").touch()
    found = only(state_folder.judge(judged(own_folder / "file")))
    assert (found.verdict, found.what) == ("problem", f"{own_folder}/file is a file")


def test_one_that_is_not_writable_is_a_problem(own_folder: Path) -> None:
    own_folder.chmod(0o500)
    found = only(state_folder.judge(judged(own_folder)))
    assert (found.verdict, found.what) == ("problem", f"{own_folder} is not writable")


def test_one_that_others_can_write_is_a_problem(own_folder: Path) -> None:
    own_folder.chmod(0o770)
    found = only(state_folder.judge(judged(own_folder)))
    assert found.verdict == "problem"
    assert found.remedy == f"`chmod 700 {own_folder}`"


def test_a_secret_that_others_can_read_is_a_problem(own_folder: Path) -> None:
    (own_folder / "api_key").touch()
    (own_folder / "api_key").chmod(0o640)
    found = only(state_folder.judge(judged(own_folder)))
    assert found.verdict == "problem"
    assert found.remedy == f"`chmod 600 {own_folder}/api_key`"


@pytest.mark.parametrize(("root", "verdict"), [(False, "problem"), (True, "note")])
def test_one_of_another_user_is_told(own_folder: Path, verdict: str, *, root: bool) -> None:
    facts = attrs.evolve(judged(own_folder), user=0 if root else os.geteuid() + 1)
    found = only(state_folder.judge(facts))
    assert found.verdict == verdict
    assert f"belongs to {os.geteuid()}" in found.what


def test_what_another_user_has_left_in_it_is_a_problem(own_folder: Path) -> None:
    (own_folder / "store.db").touch(0o600)
    facts = judged(own_folder)
    [left] = facts.inside
    found = only(state_folder.judge(attrs.evolve(facts, inside=[attrs.evolve(left, owner=0)])))
    assert found.verdict == "problem"
    assert found.what.startswith(f"store.db in {own_folder} belong to root")
    assert f"chown -R {os.geteuid()} {own_folder}" in found.remedy
