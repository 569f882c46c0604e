from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.core.errors import PluginError
from appliance.loading.trust import judge, judge_way
from tests.loading.dropping import write

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
SOMEBODY = 12_345


def refused(path: Path) -> str:
    with pytest.raises(PluginError) as caught:
        judge(path, path.stat())
    return str(caught.value)


def way_refused(path: Path, top: Path) -> str:
    with pytest.raises(PluginError) as caught:
        judge_way(path, top)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "plugins" / "fees.py").parent


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o755, 0o444, 0o640])
def test_what_only_its_owner_can_write_is_trusted(folder: Path, mode: int) -> None:
    (folder / "fees.py").chmod(mode)
    judge(folder / "fees.py", (folder / "fees.py").stat())
    judge_way(folder / "fees.py", folder)


@pytest.mark.parametrize(
    ("mode", "who"),
    [
        (0o664, "its group"),
        (0o646, "others"),
        (0o666, "its group and others"),
        (0o1777, "its group and others"),
    ],
)
def test_what_others_can_write_is_refused_with_the_command_that_mends_it(
    folder: Path, mode: int, who: str
) -> None:
    file = folder / "fees.py"
    file.chmod(mode)
    told = refused(file)
    assert told.startswith(f"{file}: can be written by {who} (mode {mode:04o})")
    assert told.endswith(f"run `chmod go-w {file}`")
    os.system(told.rpartition("run `")[2].rstrip("`"))  # noqa: S605 - what the message says, done
    judge(file, file.stat())


@AS_ROOT
def test_what_belongs_to_another_is_refused_with_the_command_that_mends_it(folder: Path) -> None:
    file = folder / "fees.py"
    os.chown(file, SOMEBODY, -1)
    told = refused(file)
    assert told.startswith(
        f"{file}: belongs to user {SOMEBODY}, and a plugin is loaded only when it is root's"
    )
    os.system(told.rpartition("run `")[2].rstrip("`"))  # noqa: S605 - as above
    judge(file, file.stat())


def test_root_s_and_one_s_own_are_trusted(own_folder: Path) -> None:
    mine = write(own_folder / "fees.py")
    judge(mine, mine.stat())
    judge(mine, Path("/etc/passwd").stat())


def test_a_name_that_a_shell_would_take_apart_is_quoted(tmp_path: Path) -> None:
    file = write(tmp_path / "my fees.py")
    file.chmod(0o666)
    assert refused(file).endswith(f"run `chmod go-w '{file}'`")


def test_the_folders_on_the_way_are_judged_and_those_above_are_not(tmp_path: Path) -> None:
    file = write(tmp_path / "top" / "fees" / "rows" / "one.py")
    tmp_path.chmod(0o777)
    judge_way(file, tmp_path / "top")
    for folder in (tmp_path / "top", tmp_path / "top" / "fees", tmp_path / "top" / "fees" / "rows"):
        folder.chmod(0o1777)
        assert way_refused(file, tmp_path / "top").startswith(f"{folder}: can be written by")
        folder.chmod(0o755)


def test_a_link_is_judged_by_the_folder_it_stands_in_and_that_of_what_it_leads_to(tmp_path: Path) -> None:
    real = write(tmp_path / "elsewhere" / "fees.py")
    there = write(tmp_path / "half_way" / "nothing").parent
    (there / "fees.py").symlink_to(real)
    folder = write(tmp_path / "plugins" / "nothing").parent
    (folder / "fees.py").symlink_to("../half_way/fees.py")
    judge_way(folder / "fees.py", folder)
    for swappable in (folder, there, real.parent):
        swappable.chmod(0o777)
        assert f"{swappable.name}: can be written by" in way_refused(folder / "fees.py", folder)
        swappable.chmod(0o755)
