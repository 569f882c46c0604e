"""Other processes, as `/proc` shows them: their names, limits, groups, and which of them listen where.

Must not judge. Where the system does not tell, there is nothing: on other systems, or for want of rights.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

T = TypeVar("T")
_PROC: Final = Path("/proc")
_GROUPS: Final = Path("/sys/fs/cgroup")
_LISTENS: Final = "0A"
_ACCEPTS: Final = 0x10000
"""The flag of a Unix socket that listens."""
_OPEN_FILES: Final = re.compile(r"^Max open files +\S+ +(\d+|unlimited)", re.MULTILINE)


@attrs.frozen
class Process:
    """A process that runs. Anything may stand in its name."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})"


def text(path: Path) -> str | None:
    """What a file of the system says; nothing where there is none, or it is not for us."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def named(pid: int) -> Process:
    return Process(pid, (text(_PROC / str(pid) / "comm") or "a process").strip())


def has_open(pid: int, path: Path) -> bool:
    """Whether a process has a file open, by whatever name it knows it; False where that is not for us to see."""
    try:
        wanted = path.stat()
        return any(os.path.samestat(found, wanted) for found in _each(_PROC / str(pid) / "fd", Path.stat))
    except OSError:
        return False


def most_open_files(pid: int) -> int | None:
    """The hard limit of a process, 0 for none; nothing where the system does not tell."""
    return open_files_among(text(_PROC / str(pid) / "limits") or "")


def open_files_among(limits: str) -> int | None:
    """Find the limit in lines such as `Max open files 1024 524288 files`."""
    found = _OPEN_FILES.search(limits)
    if found is None:
        return None
    return 0 if found[1] == "unlimited" else int(found[1])


def unit_of(pid: int) -> str | None:
    """The unit of systemd that a process belongs to, if it is a service."""
    return unit_among((text(_PROC / str(pid) / "cgroup") or "").splitlines())


def unit_among(lines: Iterable[str]) -> str | None:
    """Find the unit in lines such as `0::/system.slice/appliance.service`."""
    for line in lines:
        last = line.rpartition("/")[2]
        if last.endswith(".service"):
            return last
    return None


def most_memory(pid: int | None = None, *, names: Sequence[str] = ("memory.max",)) -> int | None:
    """The least of the limits that hold for the groups of a process, or of this one; nothing where there is none."""
    lines = (text(_PROC / str(pid or "self") / "cgroup") or "").splitlines()
    return least_limit(lines, _GROUPS, names=names)


def least_limit(lines: Iterable[str], groups: Path, *, names: Sequence[str] = ("memory.max",)) -> int | None:
    """Read what limits the groups in lines such as `0::/system.slice/appliance.service`, and those above them."""
    said = [(text(file) or "").strip() for file in _limit_files(lines, groups, names)]
    return min((int(word) for word in said if word.isdigit()), default=None)


def _limit_files(lines: Iterable[str], groups: Path, names: Sequence[str]) -> Iterator[Path]:
    """The files that limit groups and those above them, as version 2 and version 1 of groups have them."""
    for line in lines:
        _, controllers, place = line.split(":", 2)
        group = Path(place.lstrip("/"))
        for within in (group, *group.parents):
            if not controllers:
                yield from (groups / within / name for name in names)
            elif "memory" in controllers.split(","):
                yield groups / "memory" / within / "memory.limit_in_bytes"


def listening(address: IpAddress, port: int) -> tuple[Process, ...]:
    """Who listens so that nobody else can at this address and port."""
    tables = (text(_PROC / "net" / name) or "" for name in ("tcp", "tcp6"))
    lines = [line for table in tables for line in table.splitlines()[1:]]
    return tuple(_holders(set(sockets_at(lines, address, port))))


def sockets_at(lines: Iterable[str], address: IpAddress, port: int) -> Iterator[str]:
    """The numbers of the sockets in the way, among lines such as `0: 0100007F:1F90 00000000:0000 0A …`."""
    for line in lines:
        _, local, _, state, _, _, _, _, _, number, *_ = line.split()
        host, _, its_port = local.rpartition(":")
        theirs = _address(host)
        if state != _LISTENS or int(its_port, 16) != port:
            continue
        if theirs == address or theirs.is_unspecified or address.is_unspecified:
            yield number


def _address(host: str) -> IpAddress:
    """Read words of 32 bits, each with its last byte first."""
    words = re.findall("." * 8, host)
    content = b"".join(bytes.fromhex(word)[::-1] for word in words)
    return ipaddress.ip_address(content)


def listening_on(path: str) -> tuple[Process, ...]:
    """Who listens on a Unix socket."""
    lines = (text(_PROC / "net" / "unix") or "").splitlines()[1:]
    return tuple(_holders(set(sockets_on(lines, path))))


def sockets_on(lines: Iterable[str], path: str) -> Iterator[str]:
    """The numbers of the sockets that listen, among lines such as `0000: 00000002 0 00010000 0001 01 4711 /path`."""
    for line in lines:
        _, _, _, flags, _, _, number, *rest = line.split(maxsplit=7)
        if rest == [path] and int(flags, 16) & _ACCEPTS:
            yield number


def _holders(sockets: set[str]) -> Iterator[Process]:
    targets = {f"socket:[{number}]" for number in sockets}
    if not targets:
        return
    for folder in sorted(_PROC.glob("[0-9]*"), key=lambda each: int(each.name)):
        # It may end at any moment, and those of other users are not shown to everybody.
        with contextlib.suppress(OSError):
            if targets & set(map(str, _each(folder / "fd", Path.readlink))):
                yield named(int(folder.name))


def _each(folder: Path, read: Callable[[Path], T]) -> Iterator[T]:
    """Read each file that is open, but those that are closed meanwhile."""
    for file in folder.iterdir():
        with contextlib.suppress(OSError):
            yield read(file)
