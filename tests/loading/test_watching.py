from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import inotify_simple  # type: ignore[import-untyped]
import pytest
import structlog
import trio

from appliance.loading.watching import Watching
from tests.loading.dropping import remove, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def watching() -> Iterator[Watching]:
    with contextlib.closing(Watching()) as opened:
        opened.open()
        yield opened


async def told(watching: Watching) -> None:
    with trio.fail_after(10):
        await watching.changed()


async def silent(watching: Watching) -> bool:
    """What has happened by now would be told at once."""
    with trio.move_on_after(0.05):
        await watching.changed()
        return False
    return True


CHANGES: dict[str, Callable[[Path], object]] = {
    "new": lambda folder: write(folder / "new.py"),
    "changed": lambda folder: write(folder / "fees.py", "a = 2"),
    "removed": lambda folder: remove(folder / "fees.py"),
    "moved away": lambda folder: (folder / "fees.py").rename(folder.parent / "fees.py"),
    "another mode": lambda folder: (folder / "fees.py").chmod(0o600),
    "gone with the folder": remove,
    "the folder's mode": lambda folder: folder.chmod(0o700),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_what_happens_in_a_folder_is_told(
    tmp_path: Path, watching: Watching, change: Callable[[Path], object]
) -> None:
    folder = write(tmp_path / "plugins" / "fees.py").parent
    watching.follow([folder])
    assert await silent(watching)
    change(folder)
    await told(watching)
    assert await silent(watching), "a burst is told once"


async def test_reading_is_no_change(tmp_path: Path, watching: Watching) -> None:
    file = write(tmp_path / "fees.py")
    watching.follow([tmp_path])
    file.read_text()
    assert await silent(watching)


async def test_a_folder_that_is_followed_no_more_is_not_told_of(tmp_path: Path, watching: Watching) -> None:
    one, two = (write(tmp_path / name / "a.py").parent for name in ("one", "two"))
    watching.follow([one, two])
    watching.follow([two])
    await told(watching)  # of the watch that ended
    write(one / "b.py")
    assert await silent(watching)
    write(two / "b.py")
    await told(watching)


async def test_a_folder_that_another_took_the_place_of_is_followed_anew(
    tmp_path: Path, watching: Watching
) -> None:
    folder = write(tmp_path / "plugins" / "a.py").parent
    watching.follow([folder])
    folder.rename(tmp_path / "old")
    write(folder / "a.py")
    watching.follow([folder])
    await told(watching)
    assert await silent(watching)
    write(folder / "b.py")
    await told(watching)


async def test_folders_that_are_not_there_are_passed_over(tmp_path: Path, watching: Watching) -> None:
    watching.follow([tmp_path / "nowhere", write(tmp_path / "file"), tmp_path])
    write(tmp_path / "a.py")
    await told(watching)


async def test_where_there_is_no_inotify_it_is_said_once_and_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(**_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(inotify_simple, "INotify", none_left)
    with structlog.testing.capture_logs() as logs, contextlib.closing(Watching()) as watching:
        watching.open()
        watching.follow([tmp_path])
        write(tmp_path / "a.py")
        assert await silent(watching)
    assert [entry["event"] for entry in logs] == [
        "folders are not watched, only looked at (plugins.look_every)"
    ]
