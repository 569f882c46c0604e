from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

import attrs
import pytest

import appliance
from appliance.core.errors import PluginError
from appliance.loading.files import builtin_folder, load, plugin_files

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, name: str, text: str = "") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    return file


def refused(file: Path) -> str:
    before = dict(sys.modules)
    with pytest.raises(PluginError) as caught:
        load(file)
    assert sys.modules.keys() == before.keys(), "what did not load is not there"
    return str(caught.value)


def test_a_file_is_a_module_of_its_own(tmp_path: Path) -> None:
    module = load(write(tmp_path, "json.py", "answer = 42"))
    assert module.answer == 42
    assert sys.modules[module.__name__] is module
    assert "json" in sys.modules
    assert sys.modules["json"] is not module


def test_files_of_one_name_do_not_meet(tmp_path: Path) -> None:
    text = """
        from __future__ import annotations
        import attrs

        {own} = int

        @attrs.frozen
        class Settings:
            count: {own} = 1
    """
    modules = [
        load(write(tmp_path / folder, "price.py", text.format(own=f"{folder.title()}Number")))
        for folder in ("mine", "yours")
    ]
    for module in modules:
        assert attrs.fields(attrs.resolve_types(module.Settings)).count.type is int


def test_a_path_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, "broken.py", "\n1 / 0")
    monkeypatch.chdir(tmp_path)
    assert refused(file.relative_to(tmp_path)) == f"{file}:1: ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a = 1\ndef broken(:\n", 2, "SyntaxError: invalid syntax"),
        ("a = 1\n\nimport no_such_module\n", 3, "ModuleNotFoundError: No module named 'no_such_module'"),
        ("from appliance.api import Chanel\n", 1, "ImportError: cannot import name 'Chanel'"),
        ("def fail():\n    raise ValueError('no luck')\n\nfail()\n", 2, "ValueError: no luck"),
        ("import sys\nsys.exit('enough')\n", 2, "SystemExit: enough"),
        ("assert not 1\n", 1, "AssertionError"),
        ("import json\njson.loads('?')\n", 2, "JSONDecodeError: Expecting value"),
    ],
)
def test_a_file_that_does_not_load_is_named_with_the_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    file = write(tmp_path, "broken.py", text)
    assert refused(file).startswith(f"{file}:{line}: {words}")


def test_a_channel_that_is_none_is_told_in_a_line(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "broken.py",
        """
        from appliance.api import Channel

        Channel(name="fees", mode="state", message="fee_update", source="simulated")
        """,
    )
    told = refused(file)
    assert told.startswith(f"{file}:3: TypeError: 'mode' must be <enum 'Mode'> (got 'state'")
    assert "Attribute(" not in told


def test_the_line_is_one_of_the_file_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "other_module.py", "a = 1\nbroken(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    file = write(tmp_path, "broken.py", "import other_module\n")
    assert refused(file) == f"{file}:1: SyntaxError: invalid syntax (other_module.py, line 2)"


def test_a_file_that_cannot_be_read_is_named_without_a_line(tmp_path: Path) -> None:
    folder = tmp_path / "folder.py"
    folder.mkdir()
    assert refused(folder).startswith(f"{folder}: IsADirectoryError: ")


def test_the_plugin_files_of_a_folder_come_in_order(tmp_path: Path) -> None:
    for name in ("b.py", "a.py", "_shared.py", ".#a.py", "a.pyc", "README", "a.py.bak"):
        write(tmp_path, name)
    assert list(plugin_files(tmp_path)) == [tmp_path / "a.py", tmp_path / "b.py"]


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_that_is_none_is_named_with_the_setting(tmp_path: Path, *, there: bool) -> None:
    folder = write(tmp_path, "file") if there else tmp_path / "nowhere"
    with pytest.raises(PluginError, match=r"cannot be read \(No.* directory\): .* plugins_dir") as caught:
        list(plugin_files(folder))
    assert str(folder) in str(caught.value)


def test_the_built_in_plugins_stand_beside_the_package_in_a_checkout(root: Path) -> None:
    assert builtin_folder() == root / "plugins"


def test_the_built_in_plugins_stand_in_the_package_once_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "appliance/plugins/price.py")
    monkeypatch.setattr(appliance, "__file__", str(write(tmp_path, "appliance/__init__.py")))
    assert builtin_folder() == tmp_path / "appliance" / "plugins"
