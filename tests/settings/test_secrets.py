"""Secrets from files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.settings.fields import Secret
from appliance.settings.secrets import read_secret

if TYPE_CHECKING:
    from pathlib import Path


def secret_file(folder: Path, content: bytes, mode: int = 0o640) -> Path:
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("content", [b"hunter2", b"hunter2\n", b"hunter2\r\n"])
def test_one_line_break_at_the_end_does_not_count(tmp_path: Path, content: bytes) -> None:
    found = read_secret(secret_file(tmp_path, content))
    assert found.secret == "hunter2"
    assert isinstance(found.secret, Secret)
    assert found.warning is None


def test_other_white_space_belongs_to_the_secret(tmp_path: Path) -> None:
    assert read_secret(secret_file(tmp_path, b" a b \n\n")).secret == " a b \n"


def test_a_file_that_everyone_may_read_is_used_with_a_warning(tmp_path: Path) -> None:
    path = secret_file(tmp_path, b"hunter2", 0o644)
    found = read_secret(path)
    assert found.secret == "hunter2"
    assert found.warning == f"{path} can be read by everyone; take that away with `chmod o-r {path}`"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b"\n", "is empty"), (b"\xff\xfe", "not a text file"), (b"a" * 70_000, "is larger")],
)
def test_a_file_without_a_secret_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = secret_file(tmp_path, content)
    with pytest.raises(ValueError, match=said) as caught:
        read_secret(path)
    assert str(caught.value).startswith(str(path))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read: No such file or directory"):
        read_secret(tmp_path / "missing")
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        read_secret(tmp_path)


def test_a_path_with_a_null_byte_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read_secret(tmp_path / "a\0b")
