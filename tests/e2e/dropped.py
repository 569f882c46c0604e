"""A folder of plugins that a running appliance watches: files come, change and go as an operator has them do.

Must not know what is in them. Whoever drops one waits for what the appliance says of it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import attrs

from appliance.loading import ledger
from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.loading.ledger import PluginState
    from tests.e2e.running import Running

_LOOK = 0.02


def make_folder(path: Path) -> Path:
    """Make one that nobody else can write."""
    path.mkdir(mode=0o755)
    return path


@attrs.frozen
class Dropped:
    """`running` watches `folder`."""

    running: Running
    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.py"

    def write(self, name: str, text: str) -> int:
        """Put a file there whole; the value is the length of the log before."""
        unfinished = self.folder / f".{name}.new"
        unfinished.write_text(text, encoding="utf-8")
        unfinished.chmod(0o644)
        before = len(self.running.log)
        unfinished.replace(self.path(name))
        return before

    def load(self, name: str, text: str, event: str = "plugin loaded") -> int:
        """Put a file there and wait until it runs; the value is the length of the log before."""
        before = self.write(name, text)
        self.running.wait_for(event, after=before, file=str(self.path(name)))
        return before

    def change(self, name: str, text: str) -> None:
        self.load(name, text, "plugin changed")

    def remove(self, name: str) -> None:
        """Remove a file, and wait until nothing is known of it."""
        self.path(name).unlink()
        self.wait_for_state(name, lambda state: state is None)

    def refuse(self, name: str, text: str, mark: str) -> PluginState:
        """Put a file there, wait until it is refused for what is marked so, and give its state."""
        self.write(name, text)
        state = self.wait_for_state(name, lambda state: state is not None and mark in state.error)
        assert state is not None
        assert state.state == "refused"
        return state

    def state(self, name: str) -> PluginState | None:
        """What the appliance says of a file now."""
        file = str(self.path(name))
        told = ledger.read(self.running.state / ledger.FILE_NAME)
        return next((state for state in told.plugins if state.file == file), None)

    def wait_for_state(self, name: str, fits: Callable[[PluginState | None], bool]) -> PluginState | None:
        """Wait until what the appliance says of a file fits."""
        deadline = time.monotonic() + PATIENCE
        while not fits(state := self.state(name)):
            assert time.monotonic() < deadline, (state, self.running.log[-5:])
            time.sleep(_LOOK)
        return state

    def refusal(self, name: str) -> dict[str, Any]:
        """Wait for a line of the log that tells of a file's refusal, and give the last one."""
        deadline = time.monotonic() + PATIENCE
        while True:
            lines = self.running.logged("plugin refused")
            found = [line for line in lines if str(self.path(name)) in line["error"]]
            if found:
                return found[-1]
            assert time.monotonic() < deadline, self.running.log[-5:]
            time.sleep(_LOOK)
