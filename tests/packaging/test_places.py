"""Where the file unpacks itself: whose folder, in which order, and that nobody else can write there."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from _launch import places

if TYPE_CHECKING:
    from pathlib import Path

BUILD = "appliance-1.0-0123456789abcdef"


def test_the_one_named_goes_before_all(own_folder: Path) -> None:
    named = own_folder / "a" / "b"
    environment = {"SHIV_ROOT": str(named), "CACHE_DIRECTORY": "/var/cache/x", "HOME": "/home/x"}
    assert places.choose(environment, BUILD) == (named, "")
    assert stat.S_IMODE(named.stat().st_mode) == 0o700
    assert stat.S_IMODE(named.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("environment", "chosen"),
    [
        ({"CACHE_DIRECTORY": "{}/cache"}, "cache/unpacked"),
        ({"CACHE_DIRECTORY": "{}/cache:{}/other", "XDG_CACHE_HOME": "{}/xdg"}, "cache/unpacked"),
        ({"XDG_CACHE_HOME": "{}/xdg", "HOME": "{}/home"}, "xdg/appliance/unpacked"),
        ({"XDG_CACHE_HOME": "not/absolute", "HOME": "{}/home"}, "home/.cache/appliance/unpacked"),
        ({"SHIV_ROOT": "", "CACHE_DIRECTORY": "", "HOME": "{}/home"}, "home/.cache/appliance/unpacked"),
    ],
)
def test_else_it_is_the_one_of_systemd_or_of_the_user(
    environment: dict[str, str], chosen: str, own_folder: Path
) -> None:
    given = {name: value.replace("{}", str(own_folder)) for name, value in environment.items()}
    assert places.choose(given, BUILD) == (own_folder / chosen, "")


def test_without_a_home_it_is_a_temporary_one_and_that_is_told(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(own_folder))
    missing = own_folder / "home"
    missing.write_text("no folder")
    folder, notice = places.choose({"HOME": str(missing)}, BUILD)
    assert folder == own_folder / f"appliance-{os.geteuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert notice.startswith(f"unpacked in {folder}, which may not last: {missing}")
    assert notice.endswith("SHIV_ROOT=DIR")


def test_a_home_that_cannot_be_written_is_passed_over(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(own_folder))
    kept = own_folder / "home" / ".cache" / "appliance" / "unpacked"
    kept.mkdir(parents=True)
    kept.chmod(0o500)
    environment = {"HOME": str(own_folder / "home")}
    folder, notice = places.choose(environment, BUILD)
    assert folder == own_folder / f"appliance-{os.geteuid()}"
    assert f"{kept} cannot be written" in notice

    kept.chmod(0o700)
    (kept / BUILD).mkdir()
    kept.chmod(0o500)
    assert places.choose(environment, BUILD) == (kept, "")


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o707])
def test_a_folder_that_others_can_write_is_not_used(mode: int, own_folder: Path) -> None:
    folder = own_folder / "open"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(places.NowhereError, match=f"others may write in {folder}"):
        places.choose({"SHIV_ROOT": str(folder)}, BUILD)


def test_nor_is_one_that_others_can_put_another_in_the_place_of(own_folder: Path) -> None:
    above = own_folder / "above"
    (above / "folder").mkdir(parents=True, mode=0o700)
    above.chmod(0o777)
    with pytest.raises(places.NowhereError, match=f"others may write in {above}"):
        places.choose({"SHIV_ROOT": str(above / "folder")}, BUILD)
    above.chmod(0o1777)
    assert places.choose({"SHIV_ROOT": str(above / "folder")}, BUILD)[0] == above / "folder"


def test_a_link_is_judged_by_where_it_leads(own_folder: Path) -> None:
    (own_folder / "open").mkdir()
    (own_folder / "open").chmod(0o777)
    (own_folder / "link").symlink_to(own_folder / "open")
    with pytest.raises(places.NowhereError, match=f"others may write in {own_folder / 'open'}"):
        places.choose({"SHIV_ROOT": str(own_folder / "link")}, BUILD)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, 54_321, -1)
    with pytest.raises(places.NowhereError, match=f"{folder} belongs to user 54321"):
        places.choose({"SHIV_ROOT": str(folder)}, BUILD)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_group_may_write_where_it_is_nobody_else(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o770)
    os.chown(folder, 0, 0)
    assert places.choose({"SHIV_ROOT": str(folder)}, BUILD) == (folder, "")
    os.chown(folder, 0, 54_321)
    with pytest.raises(places.NowhereError, match=f"others may write in {folder}"):
        places.choose({"SHIV_ROOT": str(folder)}, BUILD)


def test_where_nothing_can_be_written_the_remedy_is_told(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = own_folder / f"appliance-{os.geteuid()}"
    taken.write_text("no folder")
    monkeypatch.setattr("tempfile.tempdir", str(own_folder))
    with pytest.raises(places.NowhereError, match=r"(?s)nowhere to unpack: .*SHIV_ROOT=DIR"):
        places.choose({"HOME": str(taken)}, BUILD)
