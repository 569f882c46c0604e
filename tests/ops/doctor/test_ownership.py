from __future__ import annotations

import os
from typing import TYPE_CHECKING

from appliance.ops.doctor.ownership import look, seen

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_told_with_owner_and_mode(own_folder: Path) -> None:
    file = own_folder / "file"
    file.write_text("")
    file.chmod(0o640)
    entry = look(file)
    assert entry is not None
    assert (entry.path, entry.owner, entry.mode, entry.is_folder) == (file, os.geteuid(), 0o640, False)
    folder = look(own_folder)
    assert folder is not None
    assert folder.is_folder


def test_what_is_not_there_is_left_out(own_folder: Path) -> None:
    assert look(own_folder / "nothing") is None
    assert [entry.path for entry in seen([own_folder, own_folder / "nothing"])] == [own_folder]
