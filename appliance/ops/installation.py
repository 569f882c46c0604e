"""The appliance on a server: the file, its configuration, its units; how they come there, and how they go.

Must not know systemd's answers: what changes is planned by looking at the files, and done when the plan is carried out.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import attrs

from appliance.core.errors import SettingsError, StartError
from appliance.ops import units
from appliance.settings.address import Address
from appliance.settings.load import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

USUAL: Final = "tls://0.0.0.0:8443"
"""Where a new server listens: encrypted, and for those who have a key."""
_HOMES: Final = ("/home", "/root", "/run/user")
"""Folders that a unit with `ProtectHome=yes` does not see."""


@attrs.frozen
class Change:
    """What is to be done with a path, as a verb and as a call."""

    verb: Literal["make", "replace", "remove"]
    path: Path
    carry_out: Callable[[], object]

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"


@attrs.frozen
class Server:
    """Where things lie on a server, all below `root`."""

    root: Path = Path("/")

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    @property
    def program(self) -> Path:
        return self.at(units.PROGRAM)

    @property
    def command(self) -> Path:
        """The program in everybody's path."""
        return self.at("/usr/local/bin/appliance")

    @property
    def configuration(self) -> Path:
        return self.at("/etc/appliance/appliance.toml")

    @property
    def plugins(self) -> Path:
        return self.at("/etc/appliance/plugins")

    @property
    def unit(self) -> Path:
        return self.at(f"/etc/systemd/system/{units.UNIT}")

    @property
    def socket(self) -> Path:
        return self.at(f"/etc/systemd/system/{units.SOCKET}")

    @property
    def own_changes(self) -> tuple[Path, ...]:
        """What `systemctl edit` has made."""
        return tuple(path.with_name(f"{path.name}.d") for path in (self.unit, self.socket))

    @property
    def cache(self) -> tuple[Path, ...]:
        return tuple(map(self.at, ("/var/cache/appliance", "/var/cache/private/appliance")))

    @property
    def state(self) -> tuple[Path, ...]:
        return tuple(map(self.at, ("/var/lib/appliance", "/var/lib/private/appliance")))

    @property
    def logs(self) -> tuple[Path, ...]:
        return tuple(map(self.at, ("/var/log/appliance", "/var/log/private/appliance")))


def planned(
    server: Server, *, file: Path, urls: Sequence[str], python: Path, systemd: int
) -> tuple[Change, ...]:
    """Give what an installation of this file has still to change; nothing where all is as it should be.

    `urls` are where a new server shall listen. One that has a configuration listens where that says.
    """
    if not zipfile.is_zipfile(file):
        raise StartError(f"{file} is not the appliance in one file: name that, with --file appliance.pyz")
    for path in (python, python.resolve()):
        if str(path).startswith(tuple(f"{home}/" for home in _HOMES)):
            raise StartError(
                f"the unit cannot run {python}, which lies in somebody's home folder: install with a Python of the "
                f"system, as in `{units.PYTHON} {file} systemd install`"
            )
    there = server.configuration.exists()
    listened = _listened(server, urls) if there else tuple(urls) or (USUAL,)
    addresses = [Address.parse(url) for url in listened]
    unit = units.process_unit(python=python, program=Path(units.PROGRAM), systemd=systemd)
    socket = units.socket_unit(addresses)
    return (
        *_written(server.program, file.read_bytes(), mode=0o755),
        *_linked(server.command, server.program),
        *_made(server.plugins),
        *(() if there else _written(server.configuration, units.first_configuration(listened).encode())),
        *_written(server.unit, unit.encode()),
        *(_removed(server.socket) if socket is None else _written(server.socket, socket.encode())),
    )


def unit_names(server: Server, changes: Iterable[Change]) -> tuple[str, ...]:
    """Give the units that there are once the changes are made."""
    made = {change.path: change.verb != "remove" for change in changes}
    return tuple(unit.name for unit in (server.unit, server.socket) if made.get(unit, unit.exists()))


def removals(server: Server, *, purge: bool) -> tuple[Change, ...]:
    """Give what is to be removed; with `purge`, the configuration and all that was ever kept, too."""
    paths = [server.unit, server.socket, server.command, server.program.parent, *server.cache]
    if purge:
        paths += [*server.own_changes, server.configuration.parent, *server.state, *server.logs]
    return tuple(change for path in paths for change in _removed(path))


def _listened(server: Server, urls: Sequence[str]) -> tuple[str, ...]:
    """Give where the configuration listens. What else is wrong in it shows at the start."""
    loaded = load(file=server.configuration, environment={})
    if loaded.is_lost("listen"):
        raise SettingsError(loaded.mistakes)
    configured = tuple(listen.url for listen in loaded.draft.listen)
    if urls and sorted(urls) != sorted(configured):
        raise StartError(
            f"{server.configuration} listens on {', '.join(configured)}: "
            "change [[listen]] there, and leave out --listen"
        )
    return configured


def _written(path: Path, content: bytes, *, mode: int = 0o644) -> Iterator[Change]:
    if not path.is_file():
        yield Change("make", path, lambda: _put(path, content, mode))
    elif path.read_bytes() != content:
        yield Change("replace", path, lambda: _put(path, content, mode))


def _put(path: Path, content: bytes, mode: int) -> None:
    """Put a file in place as a whole: who has the one before open keeps that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fchmod(file, mode)
            os.fsync(file)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


def _linked(path: Path, target: Path) -> Iterator[Change]:
    if path.is_symlink() and path.readlink() == target:
        return
    if path.exists() and not path.is_symlink():
        raise StartError(f"{path} is there already, and is something else: move it away")

    def link() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    yield Change("make", path, link)


def _made(folder: Path) -> Iterator[Change]:
    def make() -> None:
        for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
            missing.mkdir(mode=0o755)

    if not folder.is_dir():
        yield Change("make", folder, make)


def _removed(path: Path) -> Iterator[Change]:
    if path.is_symlink() or path.is_file():
        yield Change("remove", path, path.unlink)
    elif path.is_dir():
        yield Change("remove", path, lambda: shutil.rmtree(path))
