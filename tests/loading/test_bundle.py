from __future__ import annotations

import os
import pickle
import zipfile
from typing import TYPE_CHECKING

import pytest

from appliance.core.errors import PluginError
from appliance.loading.bundle import Bundle, read
from tests.loading.dropping import pack, write

if TYPE_CHECKING:
    from pathlib import Path

MOST = 1_000_000


def refused(path: Path, *, most: int = MOST, folder: Path | None = None) -> str:
    with pytest.raises(PluginError) as caught:
        read(path, most=most, folder=folder)
    return str(caught.value)


def names(bundle: Bundle) -> set[str]:
    return set(bundle.modules)


def test_a_file_is_one_module(tmp_path: Path) -> None:
    bundle = read(write(tmp_path / "fees.v2.py", "a = 1"), most=MOST)
    assert (bundle.name, names(bundle), set(bundle.private)) == ("fees_v2", {"fees_v2"}, set())


def test_a_package_is_all_its_sources(tmp_path: Path) -> None:
    for name in ("__init__.py", "rows.py", "deep/__init__.py", "deep/er/one.py", "a b.py", "data.json"):
        write(tmp_path / "fees" / name)
    bundle = read(tmp_path / "fees", most=MOST)
    assert bundle.name == "fees"
    assert names(bundle) == {"fees", "fees.rows", "fees.deep", "fees.deep.er.one"}
    assert bundle.private == {"fees"}


def test_an_archive_is_all_that_is_in_it(tmp_path: Path) -> None:
    files = {"fees.py": "", "dep/__init__.py": "", "dep/data.txt": "", "dep-1.0.dist-info/METADATA": ""}
    bundle = read(pack(tmp_path / "fees.zip", files), most=MOST)
    assert (bundle.name, names(bundle), set(bundle.private)) == ("fees", {"fees", "dep"}, {"fees", "dep"})


def test_what_plugins_and_the_appliance_share_is_never_a_copy(tmp_path: Path) -> None:
    files = {"fees.py": "", "trio/__init__.py": "", "attr/__init__.py": "", "appliance/api.py": ""}
    assert read(pack(tmp_path / "fees.zip", files), most=MOST).private == {"fees"}


@pytest.mark.parametrize(
    ("archive", "files", "entry"),
    [
        ("fees.zip", {"fees/__init__.py": "", "dep.py": ""}, "fees"),
        ("my_fees-1.0-py3-none-any.whl", {"my_fees/__init__.py": "", "dep.py": ""}, "my_fees"),
        ("anything.zip", {"fees.py": ""}, "fees"),
        (
            "anything-1.0-py3-none-any.whl",
            {
                "one/__init__.py": "",
                "one/hooks.py": "",
                "two.py": "",
                "one-1.0.dist-info/entry_points.txt": "[appliance.plugins]\nfees = one.hooks\n[other]\nx = y\n",
            },
            "one.hooks",
        ),
    ],
)
def test_an_archive_tells_which_module_is_the_plugin(
    tmp_path: Path, archive: str, files: dict[str, str], entry: str
) -> None:
    assert read(pack(tmp_path / archive, files), most=MOST).name == entry


@pytest.mark.parametrize("files", [{}, {"one.py": "", "two.py": ""}, {"__init__.py": ""}])
def test_an_archive_that_does_not_tell_is_refused(tmp_path: Path, files: dict[str, str]) -> None:
    told = refused(pack(tmp_path / "fees.zip", files))
    assert "does not tell which module of it is the plugin" in told
    assert "call it `fees.py`" in told


def test_an_archive_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "is no whole zip archive" in refused(write(tmp_path / "fees.zip", "half a"))
    whole = pack(tmp_path / "whole.zip", {"fees.py": "a = 1\n" * 1000})
    content = bytearray(whole.read_bytes())
    content[50:60] = b"0123456789"
    whole.write_bytes(content)
    assert "is no whole zip archive" in refused(whole)


def test_compiled_code_in_an_archive_is_refused(tmp_path: Path) -> None:
    told = refused(pack(tmp_path / "fees.zip", {"fees.py": "", "dep/_speed.cpython-311.so": ""}))
    assert "holds compiled code (dep/_speed.cpython-311.so)" in told
    assert "-m pip install" in told


def test_what_is_larger_unpacked_than_may_be_is_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "fees.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("fees.py", "#" * 10 * MOST)
    assert bomb.stat().st_size < MOST / 10
    assert "makes the plugin larger than 1000000 bytes (plugins.bytes)" in refused(bomb)
    assert "plugins.bytes" in refused(write(tmp_path / "large.py", "#" * 100), most=50)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fees.py")
    assert "fees.py: is no file: remove it" in refused(tmp_path / "fees.py")
    (tmp_path / "folder.py").mkdir()
    assert "folder.py: is no file: remove it" in refused(tmp_path / "folder.py")


def test_what_is_gone_is_told(tmp_path: Path) -> None:
    assert f"{tmp_path}/fees.py: cannot be read (No such file" in refused(tmp_path / "fees.py")


@pytest.mark.parametrize(
    ("name", "swapped"),
    [
        ("fees.py", "fees.py"),
        ("fees.py", "."),
        ("fees", "fees"),
        ("fees", "fees/rows.py"),
        ("fees", "fees/deep"),
        ("fees", "fees/data.json"),
        ("fees.zip", "fees.zip"),
    ],
)
def test_all_that_belongs_to_a_plugin_is_judged(tmp_path: Path, name: str, swapped: str) -> None:
    folder = tmp_path / "plugins"
    for file in ("fees.py", "fees/__init__.py", "fees/rows.py", "fees/deep/one.py", "fees/data.json"):
        write(folder / file)
    pack(folder / "fees.zip", {"fees.py": ""})
    read(folder / name, most=MOST, folder=folder)
    (folder / swapped).chmod(0o777)
    told = refused(folder / name, folder=folder)
    assert told.startswith(f"{(folder / swapped).resolve()}: can be written by")
    read(folder / name, most=MOST)


def test_a_link_is_judged_by_what_it_leads_to(tmp_path: Path) -> None:
    real = write(tmp_path / "elsewhere" / "fees.py")
    link = write(tmp_path / "plugins" / "nothing").parent / "fees.py"
    link.symlink_to(real)
    read(link, most=MOST, folder=link.parent)
    real.chmod(0o666)
    assert refused(link, folder=link.parent).startswith(f"{link}: can be written by")


def test_the_digest_is_that_of_what_is_in_it(tmp_path: Path) -> None:
    file = write(tmp_path / "fees.py", "a = 1")
    first = read(file, most=MOST).digest
    write(file, "a = 2")
    assert read(file, most=MOST).digest != first
    write(file, "a = 1")
    assert read(file, most=MOST).digest == first


def test_a_bundle_can_be_sent_to_another_process(tmp_path: Path) -> None:
    bundle = read(pack(tmp_path / "fees.zip", {"fees.py": "a = 1"}), most=MOST)
    assert pickle.loads(pickle.dumps(bundle)) == bundle  # noqa: S301 - our own
