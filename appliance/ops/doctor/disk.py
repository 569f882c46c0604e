"""The disk of the state folder: room on it, what kind it is, and how soon it has what is written.

Must not know what is kept there.
"""

from __future__ import annotations

import os
import re
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
from rich.filesize import decimal

from appliance.ops.doctor import processes
from appliance.ops.doctor.findings import Kind, note, ok, problem, warning
from appliance.ops.doctor.words import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from appliance.ops.doctor.findings import Finding

_MOUNTS: Final = Path("/proc/self/mountinfo")
_NETWORK: Final = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|afs|ceph|lustre|fuse\.(sshfs|glusterfs|s3fs|.*nfs)"
)
_MEMORY: Final = ("tmpfs", "ramfs")
_LAYERS: Final = ("overlay", "aufs")
_TIMES: Final = 16
_BLOCK: Final = b"\0" * 4096
_LITTLE: Final = 128 * 1024**2
"""Bytes that the log of the store, a write to the disk and the next certificate need."""
_ENOUGH: Final = 1024**3
_FEW: Final = 100
"""Files that can still be made."""
_SLOW, _VERY_SLOW = 0.010, 0.050
"""Seconds of a flush: every event of a durable channel waits for one, though many share it."""
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


@attrs.frozen(kw_only=True)
class Facts:
    """`files` are those that can still be made, where the kind of file system has a bound. `refusal` is why a trial
    could not be written, and `flush` how many seconds one took, where it was tried. `largest` bounds a file.
    """

    folder: Path
    kind: str
    total: int
    free: int
    files: int | None = None
    read_only: bool = False
    flush: float | None = None
    refusal: str = ""
    largest: int | None = None
    durable: bool


def gather(folder: Path, *, durable: bool, write: bool) -> Facts:
    """Look at the disk of a folder that is there; when told to `write`, time some small writes to it."""
    found = os.statvfs(folder)
    flush, refusal = _flushed(folder, time.perf_counter) if write else (None, "")
    largest, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return Facts(
        folder=folder,
        kind=kind_of(folder.resolve(), (processes.text(_MOUNTS) or "").splitlines()),
        total=found.f_blocks * found.f_frsize,
        free=found.f_bavail * found.f_frsize,
        files=found.f_favail if found.f_files else None,
        read_only=bool(found.f_flag & os.ST_RDONLY),
        flush=flush,
        refusal=refusal,
        largest=None if largest == resource.RLIM_INFINITY else largest,
        durable=durable,
    )


def _flushed(folder: Path, clock: Callable[[], float]) -> tuple[float | None, str]:
    took = []
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            for _ in range(_TIMES):
                began = clock()
                file.write(_BLOCK)
                os.fsync(file.fileno())
                took.append(clock() - began)
    except OSError as error:
        return None, error.strerror or str(error)
    return statistics.median(took), ""


def kind_of(folder: Path, mounts: Iterable[str]) -> str:
    """The kind of file system at a folder, by lines such as `36 35 98:0 / /mnt rw,noatime - ext3 /dev/root rw`."""
    best, kind = -1, ""
    for line in mounts:
        place, _, rest = line.partition(" - ")
        point = Path(_ESCAPED.sub(lambda match: chr(int(match[1], 8)), place.split()[4]))
        # Of two at one point the later one hides the other.
        if folder.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), rest.split()[0]
    return kind


def judge(facts: Facts) -> Iterator[Finding]:
    yield from _room(facts)
    yield _kind(facts)
    if facts.flush is not None:
        yield _speed(facts, facts.flush)


def _room(facts: Facts) -> Iterator[Finding]:
    folder, shown = facts.folder, quoted(facts.folder)
    why = "what cannot be written is not kept, and is missing after a restart"
    see = f"make room; `du -xh --max-depth=2 {shown}` and `df -h {shown}` say what takes it"
    found = []
    if facts.read_only:
        found.append(
            problem(
                Kind.DISK_SPACE,
                f"the file system of {folder} is mounted read-only",
                why="`serve` does not start without writing there",
                remedy=f"`mount -o remount,rw $(findmnt -no TARGET -T {shown})`, and see `dmesg` for why it is so",
            )
        )
    elif facts.refusal:
        found.append(
            problem(Kind.DISK_SPACE, f"{folder} takes no file: {facts.refusal}", why=why, remedy=see)
        )
    if facts.free < _LITTLE or facts.free < _ENOUGH:
        finding = problem if facts.free < _LITTLE else warning
        what = f"{decimal(facts.free)} of {decimal(facts.total)} are free on the file system of {folder}"
        found.append(finding(Kind.DISK_SPACE, what, why=why, remedy=see))
    if facts.files is not None and facts.files < _FEW:
        what = f"{facts.files:,} files can still be made on the file system of {folder}"
        see = f"remove what there is too much of; `df -i {shown}` and `du -x --inodes --max-depth=2 /` say where"
        found.append(problem(Kind.DISK_SPACE, what, why=why, remedy=see))
    if facts.largest is not None and facts.largest < _ENOUGH:
        what = f"a file may have {decimal(facts.largest)} at most"
        see = "`LimitFSIZE=infinity` in the unit, or `ulimit -f unlimited` in the shell"
        found.append(warning(Kind.DISK_SPACE, what, why=why, remedy=see))
    yield from found or [
        ok(Kind.DISK_SPACE, f"{decimal(facts.free)} are free on the file system of {folder}")
    ]


def _kind(facts: Facts) -> Finding:
    where = f"{facts.folder} is on {facts.kind or 'a file system of unknown kind'}"
    elsewhere = "name a folder on a local disk with `state_dir`"
    if _NETWORK.fullmatch(facts.kind):
        return warning(
            Kind.DISK_KIND,
            f"{where}, a file system of the network",
            why="locks and flushes do not hold there as on a disk, so that the store can be damaged",
            remedy=elsewhere,
        )
    if facts.kind in _MEMORY:
        finding = warning if facts.durable else note
        return finding(
            Kind.DISK_KIND,
            f"{where}, which is memory",
            why="the key, the certificate and all that is kept are gone when the machine restarts",
            remedy=elsewhere,
        )
    if facts.kind in _LAYERS:
        finding = warning if facts.durable else note
        return finding(
            Kind.DISK_KIND,
            f"{where}, the layer of a container",
            why="the key, the certificate and all that is kept are gone with the container",
            remedy=f"give the container a volume: `--volume appliance:{facts.folder}`",
        )
    return ok(Kind.DISK_KIND, where)


def _speed(facts: Facts, flush: float) -> Finding:
    what = f"a write to {facts.folder} is on the disk after {1000 * flush:.1f} ms"
    if flush < _SLOW:
        return ok(Kind.DISK_SPEED, what)
    finding = warning if flush >= _VERY_SLOW and facts.durable else note
    return finding(
        Kind.DISK_SPEED,
        what,
        why="events of durable channels are told when they are on the disk, so clients have them so much later",
        remedy='name a folder on a faster disk with `state_dir`, or `store.sync = "normal"`, which does not wait',
    )
