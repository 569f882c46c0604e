"""An upgrade: what is in place, what comes, all that speaks against it, and then its place.

Must not know how a unit is restarted and watched. A file that is refused has changed nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from appliance.cli.replacing import Replacement, tell
from appliance.core.errors import ApplianceError, UpgradeError
from appliance.ops import systemctl
from appliance.ops.upgrade import package, shelf, unit
from appliance.ops.upgrade.examination import Examination, examined
from appliance.ops.upgrade.versions import is_older

if TYPE_CHECKING:
    from appliance.ops.upgrade.package import Package
    from appliance.ops.upgrade.shelf import Shelf
    from appliance.ops.upgrade.unit import Unit


@attrs.frozen(kw_only=True)
class Request:
    """What the command line asked for; without `new`, to go back to the file before. Times are in seconds."""

    new: Path | None
    unit: str
    ready_within: float
    watch: float
    keep: int
    allow_downgrade: bool
    revert_store: bool
    no_restart: bool
    config: Path | None
    dry_run: bool


def upgrade(request: Request) -> int:
    """Give the exit status; UpgradeError, with nothing changed, where the file is refused."""
    runs = _unit(request)
    # Without a unit it is this file that another takes the place of.
    target = Path(sys.argv[0]).resolve() if runs is None else runs.file
    with shelf.locked(target) as files:
        return _Upgrade(request, runs, files).run()


def _unit(request: Request) -> Unit | None:
    """Find the unit that runs the appliance; None where there is none, and none is needed."""
    try:
        systemctl.require()
        found = unit.find(request.unit)
    except ApplianceError:
        if request.no_restart:
            return None
        raise
    if os.geteuid() != 0:
        raise UpgradeError(f"only root may do this: sudo {sys.executable} {' '.join(sys.argv)}")
    return found


@attrs.frozen
class _Upgrade:
    request: Request
    unit: Unit | None
    files: Shelf

    def run(self) -> int:
        present = package.read(self.files.target)
        self.files.discard()  # of one that was killed
        if self.files.is_unproven:
            tell(f"the upgrade to {present.version} before this one was cut short")
        coming = self._coming()
        if coming.digest == present.digest and not self.files.is_unproven:
            tell(f"{present.version} is in place already: {coming.path} is the same file")
            return 0
        tell(f"{coming.version} is to take the place of {present.version}: {self.files.target}")
        try:
            examination = self._examine(coming, present)
            if self.request.dry_run:
                tell("nothing was changed: this was a dry run")
                return 0
            return self._put_in_place(coming, examination)
        finally:
            self.files.discard()

    def _coming(self) -> Package:
        if self.request.new is not None:
            return package.read(self.request.new)
        if (path := self.files.last_good) is None:
            raise UpgradeError(f"beside {self.files.target} no file is kept that was in place before")
        return package.read(path)

    def _examine(self, coming: Package, present: Package) -> Examination:
        """Stage the file and look at it; raise UpgradeError with all that speaks against it."""
        self.files.stage(coming.path)
        mistakes = [*self._doubts(coming, present)]
        if not mistakes:  # what is not the file that was meant is not run
            found = examined(self.unit, self.files.new, config=self.request.config)
            mistakes = [*found.mistakes, *self._trouble_with_store(found)]
        if mistakes:
            raise UpgradeError("\n".join([f"{coming.path} is refused, and nothing was changed:", *mistakes]))
        for warning in found.warnings:
            tell(f"warning: {warning}")
        tell(f"examined: {found.summary}")
        return found

    def _doubts(self, coming: Package, present: Package) -> list[str]:
        """Say why it may not be the file that was meant."""
        doubts = []
        if contradiction := package.contradiction(coming):
            doubts.append(contradiction)
        goes_back = self.request.allow_downgrade or self.request.new is None
        if is_older(coming.version, present.version) and not goes_back:
            doubts.append(
                f"{coming.version} is older than {present.version}: --allow-downgrade takes it all the same"
            )
        if package.digest(self.files.new) != coming.digest:
            doubts.append(f"{coming.path} changed while it was read: wait until it is copied")
        return doubts

    def _trouble_with_store(self, found: Examination) -> list[str]:
        reverts = found.reverted and not self.request.no_restart
        if not found.problem or (reverts and self.request.revert_store):
            return []
        copy = f"; or take the copy of version {found.reverted}: --revert-store" if reverts else ""
        return [f"{found.problem}{copy}"]

    def _put_in_place(self, coming: Package, examination: Examination) -> int:
        if self.unit is not None and not self.request.no_restart:
            return Replacement(
                unit=self.unit,
                files=self.files,
                examination=examination,
                ready_within=self.request.ready_within,
                watch=self.request.watch,
                keep=self.request.keep,
            ).carry_out(coming)
        self.files.swap()
        self.files.settle(self.request.keep)
        tell(f"{coming.version} is in place, and runs from the next start on")
        return 0
