"""The appliance that runs with the same state folder, if any; or whoever else has its store.

Must not know how that was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from appliance.ops.doctor.findings import Kind, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.ops.doctor.findings import Finding
    from appliance.ops.doctor.processes import Process


@attrs.frozen(kw_only=True)
class Facts:
    """`holder` has the store open; `told` is the process that wrote of its plugins last, which an appliance does."""

    folder: Path
    holder: Process | None
    told: int | None

    @property
    def appliance(self) -> int | None:
        """The process of the appliance that runs."""
        return self.told if self.holder is not None and self.holder.pid == self.told else None


def judge(facts: Facts) -> Iterator[Finding]:
    if facts.holder is None:
        yield ok(Kind.INSTANCE, f"none runs with {facts.folder}, as far as this user is told")
    elif facts.appliance is not None:
        yield ok(Kind.INSTANCE, f"process {facts.appliance} runs with {facts.folder}")
    else:
        yield warning(
            Kind.INSTANCE,
            f"the store in {facts.folder} is open in {facts.holder}",
            why="one process has it at a time, so that `serve` does not start",
            remedy=f"wait until it is done (`appliance store check`, say), or stop it with `kill {facts.holder.pid}`",
        )
