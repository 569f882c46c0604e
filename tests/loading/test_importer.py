from __future__ import annotations

import gc
import importlib
import importlib.resources
import linecache
import os
import pickle
import pkgutil
import py_compile
import sys
import traceback
import weakref
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from appliance.core.errors import PluginError
from appliance.loading import importer
from appliance.loading.bundle import read
from tests.loading.dropping import pack, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.loading.importer import Imported


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """What a test imported, it forgot."""
    before, finders = dict(sys.modules), list(sys.meta_path)
    yield
    left = {name for name in sys.modules.keys() - before.keys() if name.startswith(importer.ALL)}
    for name in left:
        del sys.modules[name]
    sys.meta_path[:] = finders


def load(path: Path, *, changes: bool = True) -> Imported:
    return importer.load(read(path, most=1_000_000), changes=changes)


def refused(path: Path) -> str:
    before, finders = dict(sys.modules), list(sys.meta_path)
    with pytest.raises(PluginError) as caught:
        load(path)
    ours = {name for name in sys.modules.keys() - before.keys() if name.startswith(importer.ALL)}
    assert ours == set(), "what did not load is not there"
    assert sys.meta_path == finders
    return str(caught.value)


def test_a_file_is_a_module_of_its_own(tmp_path: Path) -> None:
    module = load(write(tmp_path / "json.py", "import json\nanswer = json.dumps(42)")).module
    assert module.answer == "42"
    assert sys.modules[module.__name__] is module
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
        load(write(tmp_path / folder / "price.py", text.format(own=f"{folder.title()}Number"))).module
        for folder in ("mine", "yours")
    ]
    for module in modules:
        assert attrs.fields(attrs.resolve_types(module.Settings)).count.type is int


def test_two_versions_of_a_file_run_side_by_side(tmp_path: Path) -> None:
    first = load(write(tmp_path / "fees.py", "class Fee: version = 1"))
    second = load(write(tmp_path / "fees.py", "class Fee: version = 2"))
    assert (first.module.Fee.version, second.module.Fee.version) == (1, 2)
    for each in (first, second):
        fee = each.module.Fee()
        assert type(pickle.loads(pickle.dumps(fee))) is each.module.Fee  # noqa: S301 - our own
    first.forget()
    assert sys.modules[second.module.__name__] is second.module


def test_no_bytecode_is_kept_that_could_be_taken_for_that_of_another(tmp_path: Path) -> None:
    for number in range(5):
        imported = load(write(tmp_path / "fees.py", f"version = {number}"))
        assert imported.module.version == number
        imported.forget()
    assert [path.name for path in tmp_path.iterdir()] == ["fees.py"]


@pytest.mark.parametrize("writes", [True, False])
def test_the_bytecode_of_what_does_not_change_is_kept_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, writes: bool
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", not writes)
    file = write(tmp_path / "fees.py", "version = 1")
    assert load(file, changes=False).module.version == 1
    assert {path.name for path in tmp_path.iterdir()} == {"fees.py", *(["__pycache__"] if writes else [])}
    before = file.stat()
    if not writes:
        py_compile.compile(str(file), doraise=True)
    write(file, "version = 2")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load(file, changes=False).module.version == 1
    assert load(file).module.version == 2


def test_a_package_imports_its_own(tmp_path: Path) -> None:
    write(
        tmp_path / "fees" / "__init__.py",
        """
        import fees.deep.er
        import fees.rows as mine
        from fees import rows as same
        from . import rows
        from .rows import number
        from .deep.er import depth

        def later():
            from fees.late import answer
            return answer

        assert mine is same is rows is fees.rows
        """,
    )
    write(tmp_path / "fees" / "rows.py", "number = 1")
    write(tmp_path / "fees" / "deep" / "er.py", "from ..rows import number\ndepth = number + 1")
    write(tmp_path / "fees" / "late.py", "answer = 42")
    imported = load(tmp_path / "fees")
    assert (imported.module.number, imported.module.depth, imported.module.later()) == (1, 2, 42)
    assert importlib.import_module(".late", imported.module.__name__).answer == 42
    assert "fees" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("fees")


def test_an_archive_has_dependencies_of_its_own(tmp_path: Path) -> None:
    pack(
        tmp_path / "fees.zip",
        {
            "fees.py": "import attr, dep, dep.inner, structlog\nfrom dep import inner, base as named\n"
            "import dep.inner as again\nassert again is inner is dep.inner\n",
            "dep/__init__.py": "from dep.inner import *\nbase = 1\n",
            "dep/inner.py": "import dep.other\nfrom . import other\nassert dep.other is other\n",
            "dep/other.py": "",
            "structlog.py": "raise ValueError('a copy')",
        },
    )
    imported = load(tmp_path / "fees.zip")
    assert imported.module.named == 1
    assert imported.module.structlog is sys.modules["structlog"]
    assert "dep" not in sys.modules


def test_what_an_archive_brings_hides_nothing_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "site" / "dep.py", "version = 'installed'")
    monkeypatch.syspath_prepend(tmp_path / "site")
    fees = load(pack(tmp_path / "fees.zip", {"fees.py": "import dep", "dep.py": "version = 'fees'"}))
    tides = load(pack(tmp_path / "tides.zip", {"tides.py": "import dep", "dep.py": "version = 'tides'"}))
    plain = load(write(tmp_path / "plain.py", "import dep"))
    found = [each.module.dep.version for each in (fees, tides, plain)]
    assert found == ["fees", "tides", "installed"]
    assert importlib.import_module("dep").version == "installed"
    del sys.modules["dep"]


def test_resources_are_found_in_folders_and_archives(tmp_path: Path) -> None:
    write(tmp_path / "fees" / "__init__.py")
    write(tmp_path / "fees" / "data" / "rows.txt", "one")
    pack(tmp_path / "tides.zip", {"tides/__init__.py": "", "tides/data/rows.txt": "two"})
    for path, text in ((tmp_path / "fees", "one"), (tmp_path / "tides.zip", "two")):
        module = load(path).module
        assert importlib.resources.files(module).joinpath("data/rows.txt").read_text() == text
        assert pkgutil.get_data(module.__name__, "data/rows.txt") == text.encode()
        with pytest.raises(FileNotFoundError):
            pkgutil.get_data(module.__name__, "nothing.txt")


def test_what_is_loaded_is_what_was_read(tmp_path: Path) -> None:
    file = write(tmp_path / "fees.py", "version = 1")
    bundle = read(file, most=1_000)
    write(file, "broken (")
    assert importer.load(bundle).module.version == 1


def test_a_plugin_that_is_forgotten_leaves_nothing(tmp_path: Path) -> None:
    pack(
        tmp_path / "fees.zip",
        {
            "fees.py": "import attrs, dep\n@attrs.define\nclass Fee:\n  x: int = 1\ndef fail(): 1 / 0",
            "dep.py": "",
        },
    )
    modules, finders, lines = set(sys.modules), list(sys.meta_path), set(linecache.cache)
    imported = load(tmp_path / "fees.zip")
    try:
        imported.module.fail()
    except ZeroDivisionError:
        assert "def fail(): 1 / 0" in traceback.format_exc(), "its lines are shown, be they in an archive"
    gone: list[Any] = [weakref.ref(imported.module.Fee), weakref.ref(imported.module.fail)]
    imported.forget()
    del imported
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
    assert set(sys.modules) == modules
    assert sys.meta_path == finders
    assert {name for name in set(linecache.cache) - lines if "fees" in name} == set()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a = 1\ndef broken(:\n", 2, "SyntaxError: invalid syntax"),
        (
            "a = 1\n\nimport no_such_module\n",
            3,
            "ModuleNotFoundError: No module named 'no_such_module': install it",
        ),
        ("from appliance.api import Chanel\n", 1, "ImportError: cannot import name 'Chanel'"),
        ("def fail():\n    raise ValueError('no luck')\n\nfail()\n", 2, "ValueError: no luck"),
        ("import sys\nsys.exit('enough')\n", 2, "SystemExit: enough: a plugin must not end the process"),
        ("assert not 1\n", 1, "AssertionError"),
        ("import json\njson.loads('?')\n", 2, "JSONDecodeError: Expecting value"),
        ("a = '\udcff'\n", 1, "SyntaxError"),
    ],
)
def test_a_file_that_does_not_load_is_named_with_the_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    file = write(tmp_path / "broken.py")
    file.write_bytes(text.encode(errors="surrogateescape"))
    told = refused(file)
    assert told.startswith((f"{file}:{line}: {words}", f"{file}: {words}"))


def test_a_channel_that_is_none_is_told_in_a_line(tmp_path: Path) -> None:
    file = write(
        tmp_path / "broken.py",
        """
        from appliance.api import Channel

        Channel(name="fees", mode="state", message="fee_update", source="simulated")
        """,
    )
    told = refused(file)
    assert told.startswith(f"{file}:3: TypeError: 'mode' must be <enum 'Mode'> (got 'state'")
    assert "Attribute(" not in told


def test_the_line_is_one_of_the_plugin_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "other_module.py", "a = 1\nbroken(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    file = write(tmp_path / "broken.py", "import other_module\n")
    assert refused(file) == f"{file}:1: SyntaxError: invalid syntax (other_module.py, line 2)"


def test_the_file_within_a_package_or_an_archive_is_named(tmp_path: Path) -> None:
    write(tmp_path / "fees" / "__init__.py", "from . import rows")
    write(tmp_path / "fees" / "rows.py", "\n1 / 0")
    assert refused(tmp_path / "fees").startswith(f"{tmp_path}/fees/rows.py:1: ZeroDivisionError")
    write(tmp_path / "fees" / "rows.py", "a = (")
    assert refused(tmp_path / "fees").startswith(f"{tmp_path}/fees/rows.py:1: SyntaxError")
    write(tmp_path / "fees" / "__init__.py", "from .rowes import *")
    assert "No module named 'fees.rowes'" in refused(tmp_path / "fees")
    write(tmp_path / "fees" / "rows.py")
    write(tmp_path / "fees" / "__init__.py", "from .rows import nothing")
    assert "ImportError: cannot import name 'nothing'" in refused(tmp_path / "fees")
    pack(tmp_path / "tides.zip", {"tides.py": "import dep", "dep.py": "1 / 0"})
    assert refused(tmp_path / "tides.zip").startswith(f"{tmp_path}/tides.zip/dep.py:1: ZeroDivisionError")
