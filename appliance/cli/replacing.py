"""A file put in the place of another under systemd: swapped, restarted and watched, and put back if it does not serve.

    swap ─► restart ─► READY ─► watched ─► settle
               └─────────┴─────────┴─► put back ─► restart ─► READY

Must not know why the file was found good. Whatever ends it in between, a whole file is in place, and the next upgrade
sees that this one was cut short.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from typing import TYPE_CHECKING, Final

import attrs
import click

from appliance.core.errors import ApplianceError, UpgradeError
from appliance.ops.upgrade import package, surroundings
from appliance.ops.upgrade.course import Course, FailedError, Stage
from appliance.ops.upgrade.examination import examined
from appliance.ops.upgrade.unit import runs_build
from appliance.settings.quantities import time_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import FrameType

    from appliance.ops.upgrade.examination import Examination
    from appliance.ops.upgrade.package import Package
    from appliance.ops.upgrade.shelf import Shelf
    from appliance.ops.upgrade.unit import Unit

_LOOK: Final = 0.1
"""Seconds between two looks at the unit."""
_WENT_BACK: Final = 1
_BY_HAND: Final = 2
_SAYS: Final = {
    Stage.STOPPING: "{unit} is stopping: its clients are told to come back",
    Stage.STARTING: "{unit} is starting",
    Stage.WATCHED: "READY after {took:.1f} s, watched for {watch}",
    Stage.DONE: "it serves",
}


@attrs.frozen(kw_only=True)
class Replacement:
    """Of the file that a unit runs. `examination` is that of the one that comes, which is staged; times in seconds."""

    unit: Unit
    files: Shelf
    examination: Examination
    ready_within: float
    watch: float
    keep: int

    def carry_out(self, coming: Package) -> int:
        """Give the exit status: 0, or what was done about a file that does not serve."""
        if not self.unit.sockets:
            tell(f"no socket unit keeps the ports of {self.unit.name}: clients are refused while it restarts")
        course = Course(ready_within=self.ready_within, watch=self.watch)
        try:
            with _interruptible():
                self.files.swap()
                with self._reverting(wanted=self.examination.problem is not None):
                    self._restart(coming, course)
        except BaseException as error:
            if not self.files.is_unproven:
                raise
            with _uninterrupted():
                _complain(f"{coming.version} does not serve: {str(error) or 'it was interrupted'}")
                if course.began is not None:
                    for line in self.unit.log(time.time() - (time.monotonic() - course.began) - _LOOK):
                        _complain(f"  {line}")
                return self._go_back()
        self.files.settle(self.keep)
        tell(f"{self.unit.name} runs {coming.version}")
        return 0

    def _go_back(self) -> int:
        name = self.unit.name
        try:
            before = package.read(self.files.old)
            _complain(f"going back to {before.version}")
            self.files.put_back()
        except UpgradeError as error:
            _complain(str(error))
            _complain(f"by hand: mv {self.files.old} {self.files.target} && systemctl restart {name}")
            return _BY_HAND
        try:
            self._serve_again(before)
        except (FailedError, ApplianceError) as error:
            _complain(f"{before.version} is in place again, and does not serve as before: {error}")
            _complain(f"by hand: see `journalctl -u {name}`, then `systemctl restart {name}`")
            return _BY_HAND
        _complain(f"{name} runs {before.version}, as before")
        return _WENT_BACK

    def _serve_again(self, before: Package) -> None:
        """Restart with the file before, and with the store from before; FailedError when it does not serve so."""
        changed = self.examination.is_changed
        with self._reverting(wanted=changed):
            self._restart(before, Course(ready_within=math.inf, watch=0))  # systemd has its own patience
        if changed:
            found = examined(self.unit, self.files.target)
            if told := [*found.mistakes, *([found.problem] if found.problem else [])]:
                raise FailedError("; ".join(told))

    def _reverting(self, *, wanted: bool) -> AbstractContextManager[None]:
        """Have the store be reverted by the next start."""
        if not wanted:
            return contextlib.nullcontext()
        words = self.unit.instead("store", "revert", "--state-dir", self.examination.folder)
        return surroundings.beforehand(self.unit, words)

    def _restart(self, expected: Package, course: Course) -> None:
        """Restart, and see it serve; FailedError when it does not."""
        began, stage = time.monotonic(), None
        with self.unit.restarting() as started:
            while stage is not Stage.DONE:
                known, seen, now = started(), self.unit.state(), time.monotonic()  # in this order
                found = course.follow(seen, now, started=known)
                if found is not stage:
                    if known and not runs_build(seen.pid, expected.build):
                        raise FailedError(f"process {seen.pid} does not run it, but another file")
                    watch = time_text(course.watch)
                    tell(_SAYS[found].format(unit=self.unit.name, took=now - began, watch=watch))
                stage = found
                time.sleep(_LOOK)


def tell(text: str, *, err: bool = False) -> None:
    with contextlib.suppress(OSError):  # whoever read it has gone, and that is no reason to stop half-way
        click.echo(text, err=err)


def _complain(text: str) -> None:
    tell(f"appliance: {text}", err=True)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM interrupt as Ctrl-C does, and a terminal that goes not at all."""
    with _on(signal.SIGTERM, signal.default_int_handler), _on(signal.SIGHUP, signal.SIG_IGN):
        yield


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            stack.enter_context(_on(number, signal.SIG_IGN))
        yield


@contextlib.contextmanager
def _on(
    number: signal.Signals, what: Callable[[int, FrameType | None], object] | signal.Handlers
) -> Iterator[None]:
    before = signal.signal(number, what)
    try:
        yield
    finally:
        signal.signal(number, before)
