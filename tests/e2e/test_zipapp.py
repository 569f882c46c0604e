"""The built file on machines as they are: a first start, two at once, a full disk, the wrong Python, a bare user."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import appliance
from tests.booted import booted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.booted import Machine

PATIENCE = 120.0
VERSION = f"appliance {appliance.__version__}\n"
INTERPRETERS = ("2.7", *(f"3.{minor}" for minor in range(6, 16)))


def command(zipapp: Path, *words: str, python: str = sys.executable) -> list[str]:
    return [python, str(zipapp), *words]


def surroundings(root: Path | None = None, **variables: str) -> dict[str, str]:
    """All that the environment says. Bytecode is compiled where the file itself has it compiled, and nowhere else."""
    named = {} if root is None else {"SHIV_ROOT": str(root)}
    return {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **named, **variables}


def uncompiled(home: Path) -> tuple[dict[str, str], Path]:
    """An environment in which bytecode is compiled as it is used, which is soon; and the folder of what is unpacked."""
    root = home / "appliance" / "unpacked"
    root.mkdir(parents=True)
    return {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(home)}, root


def start(
    zipapp: Path, environment: dict[str, str], before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, *command(zipapp, "version")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def builds(root: Path) -> list[Path]:
    return sorted(root.glob("appliance-*"))


@pytest.fixture(scope="module")
def zipapp(zipapp: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, which stays the same build while another is built."""
    return Path(shutil.copy(zipapp, tmp_path_factory.mktemp("copy")))


@pytest.fixture(scope="module")
def unpacked(zipapp: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the file has been unpacked, as it was named."""
    root = tmp_path_factory.mktemp("unpacked")
    done = start(zipapp, {"PATH": os.environ["PATH"], "SHIV_ROOT": str(root)})
    assert (done.returncode, done.stdout, done.stderr) == (0, VERSION, "")
    return root


@pytest.fixture
def filled(unpacked: Path, tmp_path: Path) -> Path:
    """A folder of the test's own in which the file has been unpacked."""
    return Path(shutil.copytree(unpacked, tmp_path / "root", copy_function=os.link))


def test_nobody_else_gets_at_what_is_unpacked(unpacked: Path) -> None:
    (build,) = builds(unpacked)
    assert stat.S_IMODE(build.stat().st_mode) == 0o700
    assert {entry.name for entry in unpacked.iterdir()} == {build.name, ".lock"}


@pytest.fixture(scope="module")
def kept_nowhere(zipapp: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the file has been unpacked by a Python that is told to keep no bytecode: by four, at once."""
    home = tmp_path_factory.mktemp("home")
    processes = [
        subprocess.Popen(
            command(zipapp, "version"),
            env=surroundings(HOME=str(home)),
            umask=0,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(4)
    ]
    assert [process.communicate(timeout=PATIENCE)[0] for process in processes] == [VERSION] * 4
    return home / ".cache" / "appliance" / "unpacked"


def test_first_starts_at_once_share_what_one_of_them_unpacks(kept_nowhere: Path) -> None:
    """And whatever their umask, others cannot write in it."""
    (build,) = builds(kept_nowhere)
    assert [path for path in build.rglob("*") if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)] == []


def test_a_first_start_that_is_killed_leaves_nothing_in_the_way(zipapp: Path, tmp_path: Path) -> None:
    environment, root = uncompiled(tmp_path)
    # To compile all takes seconds, in which it can be killed.
    compiling = {**environment, "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(command(zipapp, "version"), env=compiling)
    deadline = time.monotonic() + PATIENCE
    while not list(root.glob("*.tmp/*/site-packages/*")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert [build.suffix for build in builds(root)] == [".tmp"]
    done = start(zipapp, environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, VERSION, "")
    assert [build.suffix == ".tmp" for build in builds(root)] == [False]


def test_a_full_disk_is_told_in_a_line_and_left_as_it_was(zipapp: Path, tmp_path: Path) -> None:
    mounted = 'mount -t tmpfs -o size=4m,mode=700 none "$SHIV_ROOT"; "$@"; echo "$?"; ls "$SHIV_ROOT"'
    done = start(zipapp, surroundings(tmp_path), before=("unshare", "-rm", "sh", "-uc", mounted, "sh"))
    told = f"appliance.pyz: cannot unpack in {tmp_path}: No space left on device. Name another folder: SHIV_ROOT=DIR\n"
    assert (done.stdout, done.stderr) == ("1\n", told)


def test_old_builds_go_but_for_the_last_one_and_those_in_use(zipapp: Path, tmp_path: Path) -> None:
    environment, root = uncompiled(tmp_path)
    names = ("appliance-0.1-in-use", "appliance-0.2-old", "appliance-0.3-old", "appliance-0.4-last")
    for age, name in enumerate(reversed(names)):
        (root / name / "site-packages").mkdir(parents=True)
        os.utime(root / name, (0, 1_000_000_000 - age))
    (root / "other.pyz_0123" / "site-packages").mkdir(parents=True)
    (root / "appliance-0.5-killed.tmp").mkdir()
    held = os.open(root / names[0], os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_SH)
        done = start(zipapp, environment)
    finally:
        os.close(held)
    assert (done.stdout, done.stderr) == (VERSION, "")
    kept = {build.name for build in builds(root)}
    assert kept & {*names, "appliance-0.5-killed.tmp"} == {names[0], names[3]}
    assert len(kept) == 3
    assert (root / "other.pyz_0123" / "site-packages").is_dir()


def test_what_a_process_runs_from_is_held_as_long_as_it_lives(zipapp: Path, filled: Path) -> None:
    (build,) = builds(filled)
    with subprocess.Popen(
        command(zipapp, "-c", "print('runs', flush=True); input()"),
        env={**surroundings(filled), "SHIV_INTERPRETER": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        held = os.open(build, os.O_RDONLY)
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            process.communicate("\n", timeout=PATIENCE)
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(held)


def test_a_build_is_the_same_under_another_name(zipapp: Path, filled: Path, tmp_path: Path) -> None:
    """So that a file that was tried under a name of its own starts at once when it takes the place of another."""
    before = builds(filled)
    other = Path(shutil.copy(zipapp, tmp_path / "new.pyz"))
    assert start(other, surroundings(filled)).stdout == VERSION
    assert builds(filled) == before


def test_its_own_packages_go_before_those_of_the_python(zipapp: Path, filled: Path) -> None:
    done = subprocess.run(
        command(zipapp, "-c", "import trio; print(trio.__file__)"),
        env={**surroundings(filled), "SHIV_INTERPRETER": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stdout.startswith(str(filled))


def others() -> list[str]:
    """The interpreters of this machine that the file is not built for."""
    found = []
    for number in INTERPRETERS:
        path = shutil.which(f"python{number}")
        if path is None or number == f"{sys.version_info[0]}.{sys.version_info[1]}":
            continue
        done = subprocess.run([path, "-c", "pass"], capture_output=True, check=False, timeout=PATIENCE)
        if done.returncode == 0:
            found.append(path)
    return found


def test_another_python_is_refused_in_a_line_before_anything_else(zipapp: Path, tmp_path: Path) -> None:
    for python in others():
        done = subprocess.run(
            command(zipapp, "version", python=python),
            env=surroundings(tmp_path),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, ""), python
        assert re.fullmatch(
            rf"\S+appliance\.pyz is built for Python {sys.version_info[0]}\.{sys.version_info[1]}, and \S+ is Python "
            rf"[\d.]+: start it with python\S+\n",
            done.stderr,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("pretend", "told"),
    [
        ("sys.version_info = (3, 9, 2, 'final', 0)", "and {python} is Python 3.9: start it with python{own}"),
        (
            "sys.version_info = (2, 7, 18, 'final', 0)",
            "and {python} is Python 2.7: start it with python{own}",
        ),
        (
            "importlib.machinery.EXTENSION_SUFFIXES[0] = '.cpython-311-x86_64-linux-musl.so'",
            "and {python} is cpython-311-x86_64-linux-musl: get the file for it",
        ),
        ("os.confstr = lambda _: 'glibc 2.5'", "or newer, and this system has 2.5"),
    ],
)
def test_what_does_not_suit_is_told_in_a_line(pretend: str, told: str, zipapp: Path, tmp_path: Path) -> None:
    begin = f"import importlib.machinery, os, runpy, sys\n{pretend}\ndel sys.argv[0]\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{begin}runpy.run_path(sys.argv[0])", zipapp, "version"],
        env=surroundings(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(told.format(python=sys.executable, own=own) + "\n")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_warm_start_loads_what_it_needs_alone(zipapp: Path, unpacked: Path) -> None:
    heavy = {"trio", "cryptography", "hypercorn", "rich.console", "structlog", "pg8000", "appliance.app"}
    unpacking = {"_bootstrap", "_launch.laid", "zipfile"}
    assert loaded(zipapp, unpacked, "version") & (heavy | unpacking) == set()


def test_a_server_loads_what_it_serves_with_alone(zipapp: Path, unpacked: Path, tmp_path: Path) -> None:
    report = served(zipapp, tmp_path, surroundings(unpacked), "-X", "importtime")
    unneeded = {"rich.console", "pygments", "pg8000", "jwt", "coredis", "_bootstrap"}
    assert imported(report) & unneeded == set()


COMPILES = """
import runpy, sys

def tell(event, about):
    if event == "compile" and str(about[1]).startswith(("<attrs", "/")):
        print("compiles", about[1], file=sys.stderr)

sys.addaudithook(tell)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
OURS = (
    r"compiles (<.* (trio|appliance_plugins|appliance\.(?!core\.errors))\..*|.*-packages/(appliance|trio)/.*)"
)


def test_a_warm_start_compiles_nothing(zipapp: Path, filled: Path, tmp_path: Path) -> None:
    """Neither modules, nor built-in plugins, nor the methods that attrs writes, but for those of any command."""
    environment = {"PATH": os.environ["PATH"], "SHIV_ROOT": str(filled)}
    assert "simulated" in served(zipapp, tmp_path, environment, "-P", "-c", COMPILES)
    assert re.findall(OURS, served(zipapp, tmp_path, environment, "-P", "-c", COMPILES)) == []


def test_a_user_waits_for_what_a_command_needs_alone(zipapp: Path, tmp_path: Path) -> None:
    """The first start compiles what it uses, and no more; the next one finds it."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    first, second = (served(zipapp, tmp_path / "state", environment, "-P", "-c", COMPILES) for _ in range(2))
    assert "-packages/appliance/app.py" in first
    assert re.findall(OURS, second) == []
    (build,) = tmp_path.glob(".cache/appliance/unpacked/appliance-*")
    assert (build / "site-packages/pygments/lexer.py").exists()
    assert list(build.rglob("pygments/**/*.pyc")) == []


@pytest.mark.parametrize("where", ["unpacked", "kept_nowhere"])
def test_all_is_compiled_at_once_where_no_start_would_keep_it(
    request: pytest.FixtureRequest, where: str
) -> None:
    """In a folder made ready for others, as that of an image, and where Python is told to keep no bytecode."""
    (packages,) = request.getfixturevalue(where).glob("appliance-*/site-packages")
    names = {path.relative_to(packages).with_suffix("") for path in packages.rglob("appliance/**/*.py")}
    kept = {
        path.relative_to(packages).parents[1] / path.name.partition(".")[0]
        for path in packages.rglob("appliance/**/*.pyc")
    }
    assert len(names) > 300
    assert names - kept == set()


def served(zipapp: Path, state: Path, environment: dict[str, str], *words: str) -> str:
    """Start a server, and give what it has written until it serves."""
    serve = ("serve", "--listen", "tcp://127.0.0.1:0", "--state-dir", str(state))
    with subprocess.Popen(
        [sys.executable, *words, zipapp, *serve],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            lines = []
            for line in process.stderr:
                lines.append(line)
                if '"serving"' in line:
                    break
            process.terminate()
            process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert "serving" in lines[-1]
    return "".join(lines)


def loaded(zipapp: Path, root: Path, *words: str) -> set[str]:
    """The modules that a command imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", zipapp, *words],
        env=surroundings(root),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return imported(done.stderr)


def imported(report: str) -> set[str]:
    found = set(re.findall(r"(?m)^import time:.*\| +(\S+)$", report))
    assert "click" in found
    return found


@pytest.fixture(scope="module")
def machine(zipapp: Path) -> Iterator[Machine]:
    """A Debian with nothing but its own Python, on which `somebody` has a home."""
    with booted(files={zipapp: "/srv/appliance.pyz"}) as up:
        up.run("useradd --create-home somebody; useradd --no-create-home --home-dir /nonexistent nobody-home")
        yield up


def as_user(machine: Machine, user: str) -> subprocess.CompletedProcess[str]:
    return machine.attempt(f"cd /; exec su {user} -s /bin/sh -c '/srv/appliance.pyz version'")


def test_a_user_has_it_unpacked_at_home(machine: Machine) -> None:
    done = as_user(machine, "somebody")
    assert (done.stdout, done.stderr) == (VERSION, "")
    unpacked = machine.root / "home/somebody/.cache/appliance/unpacked"
    assert len(builds(unpacked)) == 1
    assert stat.S_IMODE(unpacked.stat().st_mode) == 0o700


def test_a_home_that_is_only_read_is_told_and_the_file_runs(machine: Machine) -> None:
    readonly = "useradd --create-home reader; mount --bind -o ro /home/reader /home/reader"
    machine.run(f"{readonly}; mount -o remount,bind,ro /home/reader")
    first = as_user(machine, "reader")
    user = machine.run("id -u reader").strip()
    assert first.stdout == VERSION
    assert first.stderr.startswith(f"appliance.pyz: unpacked in /tmp/appliance-{user}, which may not last: ")
    assert "Read-only file system" in first.stderr
    assert first.stderr.count("\n") == 1
    again = as_user(machine, "reader")
    assert (again.stdout, again.stderr) == (VERSION, "")


def test_a_user_without_a_home_serves(machine: Machine) -> None:
    served = "/srv/appliance.pyz serve --listen tcp://127.0.0.1:0 --state-dir /tmp/state 2>/tmp/log &"
    stopped = (
        r"until grep -q serving /tmp/log; do sleep 0.05; done; kill \$!; wait \$!; echo \$?; cat /tmp/log"
    )
    done = machine.attempt(f'cd /; su nobody-home -s /bin/sh -c "{served} {stopped}"')
    events = [json.loads(line)["event"] for line in done.stdout.splitlines() if line.startswith("{")]
    assert "serving" in events
    assert events[-1] == "stopped"
    assert "\n0\n" in done.stdout


def test_a_folder_that_runs_nothing_is_passed_over(machine: Machine) -> None:
    machine.run("useradd --create-home runner; mount -t tmpfs -o noexec,uid=runner none /home/runner")
    done = as_user(machine, "runner")
    assert done.stdout == VERSION
    assert "/home/runner/.cache/appliance/unpacked is mounted noexec" in done.stderr
