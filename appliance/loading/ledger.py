"""How each plugin fares, as it is told: in the status, and in a file for `appliance plugins list`.

Must not know how a plugin comes to its state.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs
import msgspec

from appliance.core.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE_NAME = "plugins.json"
"""Of the ledger, in the state folder."""

Standing = Literal["loaded", "refused", "incomplete", "quarantined"]


@attrs.frozen(kw_only=True)
class PluginState:
    """How a plugin fares. One that is `refused` may still run as it was before: `channels` are those that are there.

    `incomplete`: some channel lacks what another plugin had. `quarantined`: some producer was ended for its conduct.
    `since` is in seconds since 1970; `digest` is that of what runs.
    """

    name: str
    file: str
    origin: str
    state: Standing
    channels: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    since: float = 0.0
    error: str = ""
    digest: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What it is the state of; a package may be installed with several plugins in one file."""
        return self.file, self.name if self.origin == "installed" else ""


class Ledger(msgspec.Struct):
    """The file. `pid` is that of the appliance that wrote it."""

    pid: int
    written: float
    plugins: tuple[PluginState, ...]


class Accounts:
    """The states as they were told last: since when each has been so, and whether the file knows them."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._states: dict[tuple[str, str], PluginState] = {}
        self._written: tuple[PluginState, ...] | None = None

    def since(self, states: Iterable[PluginState], *, now: float) -> tuple[PluginState, ...]:
        """Give the states with the time since when each has been as it is."""
        before, self._states = self._states, {}
        for state in states:
            last = before.get(state.key)
            since = now if last is None or attrs.evolve(last, since=state.since) != state else last.since
            self._states[state.key] = attrs.evolve(state, since=since)
        return tuple(self._states.values())

    def keep(self, states: tuple[PluginState, ...], *, now: float) -> None:
        """Write the states into the file when they are others than it has. Raises OSError."""
        if self._file is not None and states != self._written:
            write(self._file, states, now=now)
            self._written = states


def write(path: Path, states: Iterable[PluginState], *, now: float) -> None:
    """Write the file whole, or leave the one that is there."""
    content = msgspec.json.encode(Ledger(os.getpid(), now, tuple(states)))
    file, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(file, "wb") as out:
            out.write(msgspec.json.format(content, indent=2))
        Path(unfinished).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(unfinished).unlink()
        raise


def read(path: Path) -> Ledger:
    """Read the file; StartError when there is none, or another's."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Ledger)
    except FileNotFoundError:
        raise StartError(f"{path} is not there: the appliance writes it when it serves") from None
    except OSError as error:
        raise StartError(
            f"{path} cannot be read ({error.strerror}): let user {os.geteuid()} read it"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StartError(
            f"{path} is not what the appliance writes ({error}): remove it; the appliance writes it anew"
        ) from error
