"""The files beside the one in place: whatever ends an upgrade, a whole one is there; the next sees how far it was."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from appliance.core.errors import UpgradeError
from appliance.ops.upgrade import shelf
from appliance.ops.upgrade.shelf import Shelf

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def files(tmp_path: Path) -> Shelf:
    folder = tmp_path / "lib"
    folder.mkdir()
    target = folder / "appliance.pyz"
    target.write_text("one")
    target.chmod(0o755)
    return Shelf(target)


def there(files: Shelf) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(files.target.parent.iterdir())}


def stage(files: Shelf, content: str) -> None:
    source = files.target.parent.parent / "source"
    source.write_text(content)
    files.stage(source)


def upgrade(files: Shelf, content: str, *, keep: int = 2) -> None:
    stage(files, content)
    files.swap()
    files.settle(keep)


def test_a_staged_file_is_like_the_one_in_place_and_changes_nothing(files: Shelf) -> None:
    files.target.chmod(0o750)
    stage(files, "two")
    assert there(files) == {"appliance.pyz": "one", "appliance.pyz.new": "two"}
    assert stat.S_IMODE(files.new.stat().st_mode) == 0o750
    files.discard()
    assert there(files) == {"appliance.pyz": "one"}


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_a_staged_file_belongs_to_the_owner_of_the_one_in_place(files: Shelf) -> None:
    os.chown(files.target, 12_345, 54_321)
    stage(files, "two")
    assert (files.new.stat().st_uid, files.new.stat().st_gid) == (12_345, 54_321)


def test_what_the_system_has_noted_of_the_file_stays(files: Shelf) -> None:
    try:
        os.setxattr(files.target, "user.label", b"executable")
    except OSError:
        pytest.skip("the file system keeps no notes")
    upgrade(files, "two")
    assert os.getxattr(files.target, "user.label") == b"executable"


def test_what_a_killed_upgrade_has_staged_is_written_over(files: Shelf) -> None:
    files.new.write_text("half of")
    stage(files, "two")
    assert there(files) == {"appliance.pyz": "one", "appliance.pyz.new": "two"}


def test_the_file_before_is_kept_once_the_new_one_has_proved_itself(files: Shelf) -> None:
    stage(files, "two")
    files.swap()
    assert files.is_unproven
    assert there(files) == {"appliance.pyz": "two", "appliance.pyz.old": "one"}
    files.settle(keep=2)
    assert there(files) == {"appliance.pyz": "two", "appliance.pyz.previous": "one"}
    assert files.last_good == files.target.with_name("appliance.pyz.previous")


def test_the_file_before_goes_back_when_it_has_not(files: Shelf) -> None:
    upgrade(files, "two")
    stage(files, "three")
    files.swap()
    files.put_back()
    assert there(files) == {"appliance.pyz": "two", "appliance.pyz.previous": "one"}
    assert not files.is_unproven


@pytest.mark.parametrize(
    ("keep", "kept"), [(0, []), (1, ["three"]), (2, ["three", "two"]), (9, ["three", "two", "one"])]
)
def test_so_many_are_kept_and_no_more(files: Shelf, keep: int, kept: list[str]) -> None:
    for content in ("two", "three"):
        upgrade(files, content, keep=9)
    upgrade(files, "four", keep=keep)
    names = ["appliance.pyz.previous", "appliance.pyz.previous-2", "appliance.pyz.previous-3"]
    assert there(files) == {"appliance.pyz": "four", **dict(zip(names, kept, strict=False))}


def test_to_and_fro_keeps_each_file_once(files: Shelf) -> None:
    upgrade(files, "two")
    upgrade(files, "three")
    for content in ("two", "three", "two"):
        assert files.last_good is not None
        assert files.last_good.read_text() == content
        upgrade(files, content)
    assert there(files) == {
        "appliance.pyz": "two",
        "appliance.pyz.previous": "three",
        "appliance.pyz.previous-2": "one",
    }


def test_one_that_was_kept_for_long_comes_back_and_leaves_no_double(files: Shelf) -> None:
    upgrade(files, "two")
    upgrade(files, "three")
    upgrade(files, "one")
    assert there(files) == {
        "appliance.pyz": "one",
        "appliance.pyz.previous": "three",
        "appliance.pyz.previous-2": "two",
    }


def test_without_a_file_before_there_is_nothing_to_go_back_to(files: Shelf) -> None:
    assert files.last_good is None


# --- Ended half-way: what the next upgrade finds. ---


def test_killed_before_the_swap_nothing_has_happened(files: Shelf) -> None:
    stage(files, "two")
    os.link(files.target, files.old)
    assert not files.is_unproven
    assert files.last_good is None
    upgrade(files, "three")
    assert there(files) == {"appliance.pyz": "three", "appliance.pyz.previous": "one"}


def test_killed_after_the_swap_the_next_one_goes_back_to_what_is_known_to_serve(files: Shelf) -> None:
    upgrade(files, "two")
    stage(files, "bad")
    files.swap()
    later = Shelf(files.target)
    assert later.is_unproven
    assert later.last_good == files.old
    stage(later, "worse")
    later.swap()
    assert there(later)["appliance.pyz.old"] == "two"
    later.put_back()
    assert there(later) == {"appliance.pyz": "two", "appliance.pyz.previous": "one"}


def test_killed_while_it_settled_nothing_is_lost(files: Shelf) -> None:
    upgrade(files, "two")
    stage(files, "three")
    files.swap()
    files.target.with_name("appliance.pyz.previous").rename(
        files.target.with_name("appliance.pyz.previous-2")
    )
    Shelf(files.target).settle(keep=2)
    assert there(files) == {
        "appliance.pyz": "three",
        "appliance.pyz.previous": "two",
        "appliance.pyz.previous-2": "one",
    }


DYING = """
import os, signal, sys
from pathlib import Path
from appliance.ops.upgrade.shelf import Shelf
files, left = Shelf(Path(sys.argv[1])), int(sys.argv[2])

def step(event, about):
    global left
    if event in ("open", "os.rename", "os.link", "os.remove", "os.chmod", "os.utime"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(step)
files.discard()
files.stage(files.target.parent.parent / "source")
files.swap()
files.settle(2)
"""


def test_killed_before_any_step_a_whole_file_is_in_place_and_the_next_upgrade_tidies_up(
    tmp_path: Path,
) -> None:
    ended = False
    for steps in range(100):
        folder = tmp_path / str(steps) / "lib"
        folder.mkdir(parents=True)
        target = folder / "appliance.pyz"
        target.write_text("one")
        files = Shelf(target)
        upgrade(files, "two")
        (folder.parent / "source").write_text("three")
        done = subprocess.run([sys.executable, "-c", DYING, target, str(steps)], check=False)
        in_place = target.read_text()
        assert in_place in ("two", "three")
        if ended := done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        assert in_place == "two" or files.last_good is not None
        files.discard()
        upgrade(files, "four", keep=9)
        left = there(files)
        assert left.pop("appliance.pyz") == "four"
        assert next(iter(left)) == "appliance.pyz.previous"
        assert {"one", "two"} <= set(left.values()) <= {"one", "two", "three"}
        assert set(left) <= {"appliance.pyz.previous", "appliance.pyz.previous-2", "appliance.pyz.previous-3"}
    assert ended
    assert steps > 8


# --- Two at once, and disks that do not take it. ---


def test_two_at_once_are_one_too_many(files: Shelf) -> None:
    with (
        shelf.locked(files.target) as first,
        pytest.raises(UpgradeError, match=r"another upgrade of .*appliance\.pyz is under way"),
        shelf.locked(files.target),
    ):
        pass
    with shelf.locked(files.target) as second:
        assert second == first
    assert list(there(files)) == ["appliance.pyz"]


def test_the_lock_goes_with_its_process(files: Shelf) -> None:
    holding = (
        "import sys; from pathlib import Path; from appliance.ops.upgrade import shelf\n"
        "with shelf.locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", holding, str(files.target)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UpgradeError), shelf.locked(files.target):
            pass
        process.kill()
        process.wait()
    with shelf.locked(files.target):
        pass


def test_a_folder_that_takes_no_file_is_told(own_folder: Path) -> None:
    target = own_folder / "appliance.pyz"
    target.write_text("one")
    own_folder.chmod(0o500)
    with shelf.locked(target) as files, pytest.raises(UpgradeError, match=r"Permission denied: be root"):
        files.stage(target)


def test_a_full_disk_is_told_and_what_is_in_place_stays(tmp_path: Path) -> None:
    filling = (
        "import sys; from pathlib import Path; from appliance.ops.upgrade.shelf import Shelf\n"
        "files = Shelf(Path(sys.argv[1])); files.target.write_text('one')\n"
        "try:\n    files.stage(Path(sys.argv[2]))\nexcept Exception as error:\n    print(error)\n"
        "files.discard(); print(*[path.read_text() for path in files.target.parent.iterdir()])"
    )
    source = tmp_path / "source"
    source.write_bytes(bytes(1_000_000))
    folder = tmp_path / "lib"
    folder.mkdir()
    mounted = 'mount -t tmpfs -o size=64k none "$0"; exec "$@"'
    words = ["unshare", "-rm", "sh", "-euc", mounted, str(folder)]
    words += [sys.executable, "-c", filling, str(folder / "appliance.pyz"), str(source)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    told, left = done.stdout.splitlines()
    assert "No space left on device: be root, and look at the disk and its mount" in told
    assert left == "one"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(UpgradeError, match="No such file"),
        shelf.locked(tmp_path / "nowhere" / "appliance.pyz"),
    ):
        pass
