from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import appliance
from appliance.core.errors import PluginError
from appliance.loading.files import builtin_folder, look, plugin_files
from tests.loading.dropping import pack, remove, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_the_plugins_of_a_folder_come_in_order(tmp_path: Path) -> None:
    for name in ("b.py", "a.py", "_shared.py", ".#a.py", "a.pyc", "README", "a.py.bak", "c.py~"):
        write(tmp_path / name)
    for name in ("c/__init__.py", "_d/__init__.py", ".e/__init__.py", "tests/test_c.py", "__pycache__/a.pyc"):
        write(tmp_path / name)
    pack(tmp_path / "d.zip", {"d.py": ""})
    pack(tmp_path / "e-1.0-py3-none-any.whl", {"e.py": ""})
    found = [path.name for path in plugin_files(tmp_path)]
    assert found == ["a.py", "b.py", "c", "d.zip", "e-1.0-py3-none-any.whl"]


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_that_is_none_is_named_with_the_setting(tmp_path: Path, *, there: bool) -> None:
    folder = write(tmp_path / "file") if there else tmp_path / "nowhere"
    with pytest.raises(PluginError, match=r"cannot be read \(No.* directory\): .* plugins_dir") as caught:
        list(plugin_files(folder))
    assert str(folder) in str(caught.value)


def test_the_built_in_plugins_stand_beside_the_package_in_a_checkout(root: Path) -> None:
    assert builtin_folder() == root / "plugins"


def test_the_built_in_plugins_stand_in_the_package_once_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "appliance/plugins/price.py")
    monkeypatch.setattr(appliance, "__file__", str(write(tmp_path / "appliance/__init__.py")))
    assert builtin_folder() == tmp_path / "appliance" / "plugins"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("fees.py", "waves/__init__.py", "waves/rows/one.py", "waves/notes.txt"):
        write(tmp_path / "plugins" / name, "a = 1")
    return tmp_path / "plugins"


CHANGES: dict[str, Callable[[Path], object]] = {
    "written": lambda folder: write(folder / "fees.py", "a = 2"),
    "replaced": lambda folder: write(folder / "new", "a = 1").rename(folder / "fees.py"),
    "another mode": lambda folder: (folder / "fees.py").chmod(0o600),
    "a submodule": lambda folder: write(folder / "waves/rows/one.py", "a = 2"),
    "one submodule more": lambda folder: write(folder / "waves/rows/two.py"),
    "one submodule less": lambda folder: remove(folder / "waves/rows/one.py"),
    "the mode of a folder within": lambda folder: (folder / "waves/rows").chmod(0o777),
    "the mode of a file beside": lambda folder: (folder / "waves/notes.txt").chmod(0o666),
    "the mode of the folder": lambda folder: folder.chmod(0o777),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_shows_in_the_print(folder: Path, change: Callable[[Path], object]) -> None:
    before = look([folder]).plugins
    assert look([folder]).plugins == before
    change(folder)
    assert look([folder]).plugins != before


@pytest.mark.parametrize("name", ["waves/notes.txt", "waves/__pycache__/one.pyc", "waves/.one.swp", "README"])
def test_what_is_no_source_is_no_change(folder: Path, name: str) -> None:
    write(folder / name)
    before = look([folder]).plugins
    write(folder / name, "something else altogether")
    assert look([folder]).plugins == before


def test_the_folders_to_be_watched_are_those_that_hold_sources(folder: Path) -> None:
    real = write(folder.parent / "elsewhere" / "tides.py")
    (folder / "tides.py").symlink_to(real)
    assert look([folder]).folders == {folder, folder / "waves", folder / "waves" / "rows", real.parent}


def test_a_link_that_leads_elsewhere_is_a_change(folder: Path) -> None:
    link = folder / "tides.py"
    link.symlink_to(write(folder.parent / "one.py"))
    before = look([folder]).plugins
    _link(folder.parent / "two.py").replace(link)
    assert look([folder]).plugins != before


def _link(to: Path) -> Path:
    link = to.with_suffix(".link")
    link.symlink_to(write(to))
    return link


def test_of_a_folder_that_is_not_there_it_is_said(tmp_path: Path) -> None:
    sight = look([tmp_path / "nowhere", write(tmp_path / "file")])
    assert sight.plugins == {}
    assert list(sight.missing) == [tmp_path / "nowhere"]
    assert list(sight.unreadable) == [tmp_path / "file"]


def test_a_folder_that_cannot_be_read_may_have_plugins_all_the_same(own_folder: Path) -> None:
    write(own_folder / "plugins" / "fees.py").parent.chmod(0)
    assert list(look([own_folder / "plugins"]).unreadable) == [own_folder / "plugins"]
    (own_folder / "plugins").chmod(0o700)
