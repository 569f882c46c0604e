"""The state folder and its secrets, on a real file system."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.core.errors import StartError
from appliance.ops.state import State, open_state, state_folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refused(path: Path) -> str:
    with pytest.raises(StartError) as caught:
        open_state(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def refused_secret(state: State, name: str) -> str:
    with pytest.raises(StartError) as caught:
        state.secret(name, lambda: "new")
    message = str(caught.value)
    assert str(state.folder / name) in message
    assert "\n" not in message
    return message


@pytest.fixture
def state(tmp_path: Path) -> State:
    return open_state(tmp_path / "state")


@pytest.mark.parametrize(
    ("explicit", "environment", "expected"),
    [
        ("/srv/state", {"STATE_DIRECTORY": "/var/lib/a", "HOME": "/home/u"}, "/srv/state"),
        ("~/state", {"HOME": "/home/u"}, "/home/u/state"),
        ("~", {"HOME": "/home/u"}, "/home/u"),
        (None, {"STATE_DIRECTORY": "/var/lib/a", "XDG_STATE_HOME": "/x", "HOME": "/home/u"}, "/var/lib/a"),
        (None, {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, "/var/lib/a"),
        (None, {"XDG_STATE_HOME": "/x", "HOME": "/home/u"}, "/x/appliance"),
        (None, {"XDG_STATE_HOME": "relative", "HOME": "/home/u"}, "/home/u/.local/state/appliance"),
        (None, {"STATE_DIRECTORY": "", "HOME": "/home/u"}, "/home/u/.local/state/appliance"),
        ("", {"HOME": "/home/u"}, "/home/u/.local/state/appliance"),
    ],
)
def test_where_the_folder_is(explicit: str | None, environment: dict[str, str], expected: str) -> None:
    assert state_folder(explicit, environment) == Path(expected)


def test_a_relative_folder_is_that_of_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert state_folder("state", {}) == tmp_path / "state"


def test_without_a_home_in_the_environment_the_account_has_one() -> None:
    assert state_folder(None, {}).is_absolute()


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_the_folder_and_its_parents_are_made_for_the_owner_only(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        opened = open_state(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    assert [mode(folder) for folder in (opened.folder, *opened.folder.parents[:2])] == [0o700] * 3


def test_opening_again_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    tmp_path.chmod(0o755)
    assert open_state(tmp_path) == open_state(tmp_path)
    assert (tmp_path / "kept").read_text() == "x"
    assert mode(tmp_path) == 0o755
    assert [found.name for found in tmp_path.iterdir()] == ["kept"]


def test_a_link_to_a_folder_will_do(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    open_state(tmp_path / "link").secret("key", lambda: "x")
    assert (tmp_path / "real" / "key").exists()


@pytest.mark.parametrize("inside", ["file", "file/state", "file/deep/state"])
def test_a_file_in_the_way_is_told(tmp_path: Path, inside: str) -> None:
    (tmp_path / "file").write_text("")
    assert "file stands in its way" in refused(tmp_path / inside)


def test_a_link_to_nowhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    refused(tmp_path / "link")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is a file system that nobody can write")
def test_a_folder_that_cannot_be_made_is_told() -> None:
    assert "--state-dir" in refused(Path("/proc/appliance/state"))


def test_a_folder_of_somebody_else_is_told(tmp_path: Path) -> None:
    folder = Path("/")
    if os.geteuid() == 0:
        folder = tmp_path / "theirs"
        folder.mkdir()
        os.chown(folder, 12345, -1)
    assert f"chown {os.geteuid()}" in refused(folder)


def test_a_folder_without_write_permission_is_told(own_folder: Path) -> None:
    own_folder.chmod(0o500)
    assert "chmod u+rwx" in refused(own_folder)


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="needs /proc, which belongs to us and takes no file"
)
def test_a_folder_that_takes_no_file_is_told() -> None:
    assert "not writable" in refused(Path(f"/proc/{os.getpid()}"))


def test_a_secret_is_made_once_and_then_read(state: State) -> None:
    assert state.secret("key", lambda: "first") == ("first", True)
    assert state.secret("key", lambda: "second") == ("first", False)
    assert open_state(state.folder).secret("key", lambda: "third") == ("first", False)
    assert state.secret("other", lambda: "fourth") == ("fourth", True)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_secret_is_for_its_owner_only_and_leaves_nothing_beside_it(state: State, mask: int) -> None:
    before = os.umask(mask)
    try:
        state.secret("key", lambda: "x")
    finally:
        os.umask(before)
    assert mode(state.folder / "key") == 0o600
    assert [found.name for found in state.folder.iterdir()] == ["key"]


def test_a_secret_made_meanwhile_counts(state: State) -> None:
    def slow() -> str:
        assert State(state.folder).secret("key", lambda: "theirs") == ("theirs", True)
        return "ours"

    assert state.secret("key", slow) == ("theirs", False)
    assert [found.name for found in state.folder.iterdir()] == ["key"]


RACER = """
import secrets, sys
from pathlib import Path
from appliance.ops.state import State
print("ready", flush=True)
sys.stdin.readline()
secret, made = State(Path(sys.argv[1])).secret("key", lambda: secrets.token_hex(16))
print(secret, made)
"""


def test_processes_that_start_at_once_agree(state: State) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(state.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    results = [racer.communicate(timeout=30)[0].split() for racer in racers]
    assert len({secret for secret, _ in results}) == 1
    assert sorted(made for _, made in results) == ["False", "False", "False", "True"]


def test_a_secret_that_the_operator_wrote_is_read_without_its_line_end(state: State) -> None:
    path = state.folder / "key"
    path.write_text("  mine \r\n")
    path.chmod(0o600)
    assert state.secret("key", lambda: "new") == ("mine", False)


@pytest.mark.parametrize("bits", [0o644, 0o640, 0o604, 0o610])
def test_a_secret_that_others_could_read_is_refused(state: State, bits: int) -> None:
    path = state.folder / "key"
    path.write_text("mine")
    path.chmod(bits)
    assert f"chmod 600 {path}" in refused_secret(state, "key")
    assert path.read_text() == "mine"


@pytest.mark.parametrize("content", [b"", b" \n", b"a\0b", b"\xff\xfe\xfd", b"two\nlines", b"x" * 70_000])
def test_a_file_that_holds_no_secret_is_refused_and_kept(state: State, content: bytes) -> None:
    path = state.folder / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    assert "remove it" in refused_secret(state, "key")
    assert path.read_bytes() == content


def test_what_is_no_file_is_refused(state: State) -> None:
    (state.folder / "folder").mkdir()
    os.mkfifo(state.folder / "fifo", 0o600)
    (state.folder / "link").symlink_to("nowhere")
    assert "remove" in refused_secret(state, "folder")
    assert "remove" in refused_secret(state, "fifo")
    assert "leads nowhere" in refused_secret(state, "link")


def test_an_unreadable_secret_is_told(own_folder: Path) -> None:
    state = open_state(own_folder)
    state.secret("key", lambda: "x")
    (state.folder / "key").chmod(0o000)
    assert "cannot be read" in refused_secret(state, "key")


def test_a_secret_that_cannot_be_written_is_told(state: State) -> None:
    state.folder.rmdir()
    assert "cannot be written" in refused_secret(state, "key")


def test_a_remedy_can_be_pasted_for_odd_paths(tmp_path: Path) -> None:
    state = open_state(tmp_path / "my state")
    state.secret("key", lambda: "x")
    (state.folder / "key").chmod(0o644)
    assert f"`chmod 600 '{state.folder}/key'`" in refused_secret(state, "key")
