"""What a file says when it is asked how it would get on here: with the configuration, the plugins and the store.

Must not know what is done with the answer. The file is run as the unit runs the one in place; where no unit does, as
this user.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import attrs

from appliance.ops.upgrade import surroundings
from appliance.ops.upgrade.surroundings import Said

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from appliance.ops.upgrade.unit import Unit

_ASKS: Final = "prospect"
_WITHIN: Final = 120
_LINES: Final = 10
"""Of what a file has said that could not answer."""


@attrs.frozen(kw_only=True)
class Examination:
    """`problem` is what the store would be to it, `reverted` the version of a copy that would be none.

    `folder` is where the store is, and is empty without one; a start changes it from version `found` to `becomes`.
    """

    mistakes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    folder: str = ""
    found: int = 0
    becomes: int = 0
    problem: str | None = None
    reverted: int | None = None

    @property
    def is_changed(self) -> bool:
        """Whether the store is another after a start, so that the file before cannot use it any more."""
        return 0 < self.found < self.becomes

    @property
    def summary(self) -> str:
        channels = f"the configuration is good, with {len(self.channels)} channels"
        if not self.folder:
            return channels
        if self.is_changed:
            return f"{channels}; the store is brought from version {self.found} to {self.becomes}, and a copy is kept"
        if self.problem:
            return f"{channels}; the store of version {self.found} gives way to the copy of version {self.reverted}"
        return f"{channels}; the store is of version {self.found}"


def examined(unit: Unit | None, file: Path, *, config: Path | None = None) -> Examination:
    """Ask the file; one that cannot answer has made a mistake."""
    if unit is None:
        return read(_run(file, config), file)
    return read(surroundings.run(unit, unit.asking(file, _ASKS), within=_WITHIN), file)


def _run(file: Path, config: Path | None) -> Said:
    words = [sys.executable, str(file), _ASKS, *(("--config", str(config)) if config is not None else ())]
    try:
        done = subprocess.run(  # noqa: S603 - the file that the operator named
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_WITHIN, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Said("", str(error), good=False)
    return Said(done.stdout, done.stderr, good=done.returncode == 0)


def read(said: Said, file: Path) -> Examination:
    answer = _answer(said.output) if said.good else None
    if answer is None:
        lines = [*said.error.splitlines(), *said.output.splitlines()][-_LINES:]
        told = (line.replace(str(file), file.name) for line in lines)
        return Examination(mistakes=("it does not run here:", *(f"  {line}" for line in told)))
    store = answer.get("store") or {}
    return Examination(
        mistakes=tuple(map(str, answer.get("mistakes", ()))),
        warnings=tuple(map(str, answer.get("warnings", ()))),
        channels=tuple(map(str, answer.get("channels", ()))),
        folder=str(store.get("folder", "")),
        found=int(store.get("version", 0)),
        becomes=int(store.get("becomes", 0)),
        problem=store.get("problem"),
        reverted=store.get("reverted"),
    )


def _answer(output: str) -> Mapping[str, Any] | None:
    """Find the answer among what else was printed: a plugin that is loaded may print, too."""
    for line in reversed(output.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "mistakes" in found:
            return found
    return None
