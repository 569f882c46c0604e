"""A file is told without being run: whole or not, ours or not, of which version, and whether its checksum fits."""

from __future__ import annotations

import hashlib
import re
import zipfile
from typing import TYPE_CHECKING

import attrs
import pytest

import appliance
from appliance.core.errors import UpgradeError
from appliance.ops.upgrade import package
from tests.e2e.other_version import other_version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.ops.upgrade.package import Package


@pytest.fixture
def file(zipapp: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "appliance.pyz"
    copy.write_bytes(zipapp.read_bytes())
    return copy


@pytest.fixture(scope="module")
def whole(zipapp: Path) -> Package:
    return package.read(zipapp)


@pytest.fixture
def apart(whole: Package, tmp_path: Path) -> Package:
    """The same as it would lie in a folder of its own."""
    return attrs.evolve(whole, path=tmp_path / "appliance.pyz")


def test_the_built_file_is_of_this_version(file: Path) -> None:
    found = package.read(file)
    assert (found.path, found.version) == (file, appliance.__version__)
    assert found.build.startswith(f"appliance-{appliance.__version__}-")
    assert found.digest == hashlib.sha256(file.read_bytes()).hexdigest()


def test_another_version_is_another_build(file: Path, tmp_path: Path) -> None:
    other = package.read(other_version(file, tmp_path / "other.pyz", "9.8.7"))
    assert other.version == "9.8.7"
    assert other.build != package.read(file).build


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_file_that_is_not_all_there_is_refused(file: Path, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UpgradeError, match=re.escape(f"{file} is no whole zipapp")):
        package.read(file)


def test_a_byte_that_is_another_is_found(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(UpgradeError, match=r"copy it anew"):
        package.read(file)


def test_a_zipapp_of_others_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.pyz"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("__main__.py", "print('hello')")
    with pytest.raises(UpgradeError, match="and not the appliance"):
        package.read(other)


@pytest.mark.parametrize("reads", [package.read, package.digest])
@pytest.mark.parametrize("name", ["nowhere.pyz", "."])
def test_what_cannot_be_read_is_told(tmp_path: Path, name: str, reads: Callable[[Path], object]) -> None:
    with pytest.raises(UpgradeError, match="cannot be read: "):
        reads(tmp_path / name)


def test_a_copy_is_known_by_its_digest(whole: Package, file: Path) -> None:
    assert package.digest(file) == whole.digest
    with file.open("ab") as opened:
        opened.write(b"more")
    assert package.digest(file) != whole.digest


@pytest.mark.parametrize(
    "line",
    [
        "{digest}  appliance.pyz",
        "{digest} *appliance.pyz",
        "{DIGEST}",
        "0000  other\n{digest}  dist/appliance.pyz",
    ],
)
def test_a_checksum_that_fits_contradicts_nothing(apart: Package, line: str) -> None:
    text = line.format(digest=apart.digest, DIGEST=apart.digest.upper())
    apart.path.with_name("appliance.pyz.sha256").write_text(f"{text}\n")
    assert package.contradiction(apart) is None


def test_a_file_without_a_checksum_is_not_contradicted(apart: Package) -> None:
    assert package.contradiction(apart) is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f"{'0' * 64}  appliance.pyz\n", "is not the file that"),
        (f"{'0' * 64}  appliance.pyz\nDIGEST  other.pyz\n", "is not the file that"),
        ("", "has no SHA-256"),
        ("never\n", "has no SHA-256"),
    ],
)
def test_a_checksum_that_does_not_fit_contradicts(apart: Package, content: str, says: str) -> None:
    apart.path.with_name("appliance.pyz.sha256").write_text(content.replace("DIGEST", apart.digest))
    told = package.contradiction(apart)
    assert told is not None
    assert says in told


def test_the_checksum_of_the_build_fits(zipapp: Path, whole: Package) -> None:
    beside = zipapp.with_name(f"{zipapp.name}.sha256")
    assert beside.exists()
    assert package.contradiction(whole) is None
