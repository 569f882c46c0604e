"""The files that the process may have open, against the connections that the configuration allows.

Must not know where the figures come from.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Final

import attrs

from appliance.ops.doctor.findings import Kind, ok, problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.ops.doctor.findings import Finding

OWN: Final = 256
"""Files beside those of clients: listeners, databases, the store, plugins and the processes that check them."""


@attrs.frozen(kw_only=True)
class Facts:
    """`most` is the hard limit, which the appliance takes for its own; 0 for none. `whose` says whose it is."""

    most: int
    whose: str
    connections: int


def gather(*, known: tuple[int, str] | None, connections: int) -> Facts:
    """`known` is the limit that holds for the appliance, and whose it is; else that of this process counts."""
    if known is None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        known = (0 if hard == resource.RLIM_INFINITY else hard), "this shell"
    most, whose = known
    return Facts(most=most, whose=whose, connections=connections)


def judge(facts: Facts) -> Iterator[Finding]:
    need = facts.connections + OWN
    allowed = f"{facts.most:,}" if facts.most else "any number of"
    what = f"{facts.whose} allows {allowed} open files, and limits.connections = {facts.connections:,} takes {need:,}"
    if not facts.most or facts.most >= need:
        yield ok(Kind.OPEN_FILES, what)
        return
    yield problem(
        Kind.OPEN_FILES,
        what,
        why="each client is an open file; when none is left, nobody new gets in",
        remedy=f"`LimitNOFILE={need}` in the unit (`systemctl edit appliance`), `ulimit -Hn {need}` as root in a shell,"
        f" or `limits.connections = {max(facts.most - OWN, 1)}`",
    )
