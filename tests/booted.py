"""A machine with systemd of its own for tests: Debian in a folder, booted in a moment, gone without a trace afterwards.

    with booted() as machine:
        machine.run("systemctl start appliance")

What is written inside stays in memory. The network is the machine's own, with nothing but loopback: `connect` and
`beside` reach into it. Needs root, mmdebstrap and systemd-nspawn; where they are not, tests are skipped, and in CI
they fail.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import attrs
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT: Final = Path(__file__).resolve().parent.parent
MACHINES: Final = ROOT / "build" / "machines"
PATIENCE: Final = 60.0
"""Seconds within which anything that a test waits for comes, on a busy machine too."""

PACKAGES: Final = (
    *("systemd", "systemd-sysv", "dbus", "libnss-systemd"),
    *("python3", "python3-venv", "ca-certificates", "curl", "openssl", "procps"),
)
SUITES: Final = {(3, 11): "bookworm", (3, 13): "trixie"}
"""Releases of Debian by the Python that they have: the zipapp runs with the one that it was built with."""
_NEWER: Final = ("systemd", "systemd-sysv", "libnss-systemd")
"""What is taken from the backports where a test wants a newer systemd: 254 for Debian 12, whose own is 252."""

_MAKE: Final = """
folder=$1 suite=$2 packages=$3 mirror=$4
mmdebstrap --mode=root --variant=apt --include="$packages" "$suite" "$folder" $mirror
rm -f "$folder/etc/resolv.conf"
: > "$folder/etc/machine-id"  # each boot has its own
"""
_MAKE_NEWER: Final = """
folder=$1 suite=$2 packages=$3 from=$4
cp -a "$from" "$folder"
cp /etc/resolv.conf "$folder/etc/resolv.conf"
sources=$folder/etc/apt/sources.list
sed -n "s/ $suite main/ $suite-backports main/p" "$sources" > "$sources.d/backports.list"
chroot "$folder" apt-get update -qq
chroot "$folder" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq --yes --no-install-recommends --target-release "$suite-backports" $packages
rm -rf "$folder"/var/cache/apt/archives/*.deb "$folder/etc/resolv.conf"
: > "$folder/etc/machine-id"
"""

# In namespaces and a group of processes of its own, so that whatever it starts ends with it: at the latest when the
# test's end of the pipe closes, however the test came to its end.
_BOOT: Final = """
name=$1; shift
umount --recursive --lazy /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/$name
mkdir "$group"
sh -euc 'echo $$ > "$0/cgroup.procs"; exec "$@"' "$group" "$@" </dev/null >&2 &
echo $!
read -r _ || true
echo 1 > "$group/cgroup.kill"
wait || true
for _ in $(seq 100); do  # what has just ended may still count for a moment
    find "$group" -depth -type d -exec rmdir {} + && break
    sleep 0.05
done
"""
_numbers = itertools.count(1)


@contextlib.contextmanager
def booted(*, newer: bool = False, files: Mapping[Path, str] | None = None) -> Iterator[Machine]:
    """A machine for as long as the block runs. `files` of this one show inside at the paths named, read-only.

    `newer` has a later systemd than the one that the release came with.
    """
    _need_tools()
    folder = _root(newer=newer)
    name = f"appliance-test-{os.getpid()}-{next(_numbers)}"
    command = [
        *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--machine={name}"),
        *(f"--directory={folder}", "--volatile=overlay", "--read-only"),  # read-only: others may boot it, too
        *("--private-network", "--resolv-conf=off", "--timezone=off", "--console=pipe", "--boot"),
        *(f"--bind-ro={here}:{there}" for here, there in (files or {}).items()),
        "systemd.firstboot=off",
        "systemd.condition-needs-update=no",  # as a server that has been up before
    ]
    unshared = ["unshare", "--mount", "--propagation=private", "sh", "-euc", _BOOT, "sh", name, *command]
    log = MACHINES / f"{name}.log"
    with log.open("w+b") as console:
        process = subprocess.Popen(unshared, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=console)
        try:
            machine = Machine(name, _leader(process, log))
            machine.wait_until(machine.is_up, "systemd has started", every=0.05)
            yield machine
        finally:
            process.communicate(timeout=PATIENCE)
            log.unlink()


@attrs.frozen
class Machine:
    """A booted machine; `leader` is its first process, as this machine numbers it."""

    name: str
    leader: int

    @property
    def root(self) -> Path:
        """Its files, as they are seen from here. A symbolic link with an absolute target leads astray."""
        return Path(f"/proc/{self.leader}/root")

    def is_up(self) -> bool:
        """Whether all that belongs to a start has been started, or has failed."""
        told = self.attempt("systemctl is-system-running --wait").stdout.strip()
        return told in ("running", "degraded")

    def run(self, script: str, *, check: bool = True, **variables: str) -> str:
        """Run a shell script inside as root, and give what it printed. Standard error is shown where it fails."""
        done = self.attempt(script, **variables)
        if check and done.returncode:
            pytest.fail(f"{script}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def attempt(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script inside as root, however it ends."""
        return subprocess.run(
            self.inside("sh", "-euc", script, **variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=3 * PATIENCE,
            check=False,
        )

    def inside(self, *words: str, **variables: str) -> list[str]:
        """The words that run a command inside, as root."""
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        given = (f"{name}={value}" for name, value in variables.items())
        enter = ("nsenter", f"--target={self.leader}", "--all")
        return [*enter, "env", "--ignore-environment", path, "HOME=/root", "LANG=C.UTF-8", *given, *words]

    def beside(self, *words: str) -> list[str]:
        """The words that run a command of this machine, with its files, in the other's network."""
        return ["nsenter", f"--target={self.leader}", "--net", *words]

    def write(self, path: str, content: str | bytes, *, mode: int = 0o644) -> None:
        """Write a file inside, with the folders that lead to it."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        target.chmod(mode)

    def connect(self, port: int, host: str = "127.0.0.1") -> socket.socket:
        """Open a connection to a port inside."""

        def there() -> socket.socket:
            with Path(f"/proc/{self.leader}/ns/net").open("rb") as network:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(network.fileno(), 0):
                    raise OSError(ctypes.get_errno(), "setns")
            return socket.create_connection((host, port), timeout=PATIENCE)

        # A thread that ends at once: a network is entered by a thread, and a socket stays where it was made.
        with ThreadPoolExecutor(1) as entering:
            return entering.submit(there).result()

    def journal(self, unit: str = "appliance.service") -> list[dict[str, Any]]:
        """What the journal has of a unit, with all fields."""
        # What was sent to the journal is in it once it has been asked to sync.
        lines = self.run(f"journalctl --sync; journalctl --quiet --output=json --all --unit={unit}")
        return [json.loads(line) for line in lines.splitlines()]

    def show(self, property_: str, unit: str = "appliance.service") -> str:
        """What systemd says of a unit."""
        return self.run(f"systemctl show --value --property={property_} {unit}").strip()

    def wait_until(self, true: Callable[[], object], what: str, *, every: float = 0.2) -> None:
        """Wait for a condition; `what` says which one did not come. To look inside, some processes are started."""
        deadline = time.monotonic() + PATIENCE
        while not true():
            if time.monotonic() > deadline:
                told = self.run("systemctl status --no-pager --full appliance.service; true", check=False)
                pytest.fail(f"waited in vain: {what}\n{told}")
            time.sleep(every)


def _need_tools() -> None:
    """Skip the test where it cannot run; in CI, where all must be at hand, fail."""
    needed = ("mmdebstrap", "systemd-nspawn", "unshare", "nsenter")
    if os.geteuid() != 0:
        _cannot("a machine is booted by root only")
    if missing := [tool for tool in needed if shutil.which(tool) is None]:
        _cannot(f"not installed: {', '.join(missing)}")
    if sys.version_info[:2] not in SUITES:
        _cannot(f"no release of Debian is known to have Python {sys.version_info[0]}.{sys.version_info[1]}")


def _cannot(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _root(*, newer: bool) -> Path:
    """The folder of a Debian, with its own systemd or with a newer one."""
    suite = SUITES[sys.version_info[:2]]
    own = _made(_MAKE, lambda: (suite, ",".join(PACKAGES), _mirror(suite)), key=(suite, *PACKAGES))
    if not newer:
        return own
    return _made(_MAKE_NEWER, lambda: (suite, " ".join(_NEWER), str(own)), key=(own.name, *_NEWER))


def _made(script: str, words: Callable[[], tuple[str, ...]], *, key: tuple[str, ...]) -> Path:
    """What the script makes in its first argument: once, and again when the script or the key changes."""
    folder = MACHINES / hashlib.sha256("\0".join((script, *key)).encode()).hexdigest()[:12]
    MACHINES.mkdir(parents=True, exist_ok=True)
    with (MACHINES / f"{folder.name}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # by one process; the others wait for it
        if not folder.exists():
            unfinished = MACHINES / f"{folder.name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            command = ["sh", "-euc", script, "sh", str(unfinished), *words()]
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode:
                _cannot(f"no Debian could be made:\n{made.stdout[-2000:]}{made.stderr[-2000:]}")
            unfinished.rename(folder)
    return folder


def _mirror(suite: str) -> str:
    """Where this machine has its packages of that release, or of Debian at all; else, mmdebstrap has a default."""
    words = [
        "apt-get",
        "indextargets",
        "--format",
        "$(ORIGIN) $(CODENAME) $(REPO_URI)",
        "Created-By: Packages",
    ]
    listed = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    sources = [line.split(" ", 2) for line in listed.splitlines() if line.startswith("Debian ")]
    named = [place for _, codename, place in sources if codename == suite]
    others = [place for _, codename, place in sources if codename in SUITES.values()]
    return next(iter(named + others), "")


def _leader(process: subprocess.Popen[bytes], log: Path) -> int:
    """Wait for the first process of the machine."""
    assert process.stdout is not None
    nspawn = process.stdout.readline().strip().decode()
    deadline = time.monotonic() + PATIENCE
    while nspawn and time.monotonic() < deadline and Path(f"/proc/{nspawn}/stat").exists():
        for child in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
            with contextlib.suppress(OSError):  # it may have been there only to make the next one
                status = Path(f"/proc/{child}/status").read_text()
                numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
                command = Path(f"/proc/{child}/comm").read_text().strip()
                if numbers[-1] == "1" and command == "systemd":
                    return int(child)
        time.sleep(0.02)
    _cannot(f"no machine could be booted:\n{log.read_text(errors='replace')}")
