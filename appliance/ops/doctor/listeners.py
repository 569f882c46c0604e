"""The places to listen on: whether each can be opened, who is in the way, and who may come in there.

Must not know how the appliance serves them, nor how they were tried.
"""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from appliance.ops.doctor.findings import Kind, note, ok, problem, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.ops.doctor.findings import Finding
    from appliance.ops.doctor.openings import Facts, Trial

_FIRST_PROCESS: Final = 1
_WHY: Final = "nobody can connect there, and `serve` ends at once"
_PRIVILEGE: Final = "have systemd open it, or give the unit `AmbientCapabilities=CAP_NET_BIND_SERVICE`"


def judge(facts: Facts) -> Iterator[Finding]:
    for trial in facts.trials:
        yield _opened(trial, facts)
    for one, other in itertools.combinations(facts.trials, 2):
        if _clash(one, other):
            yield problem(
                Kind.LISTEN,
                f"{one.address} and {other.address} take the same port",
                why=_WHY,
                remedy="give one of them another port, or leave it out",
            )
    exposed = [finding for trial in facts.trials if (finding := _exposed(trial))]
    yield from exposed or [ok(Kind.EXPOSURE, "no key and no event crosses the network in the clear")]


def _opened(trial: Trial, facts: Facts) -> Finding:
    address, folder = trial.address, Path(trial.address.path).parent
    match trial.error:
        case 0 if facts.root and 0 < address.port < facts.unprivileged:
            return note(
                Kind.LISTEN,
                f"{address} can be opened by root",
                why="the user that the appliance runs as may not open it",
                remedy=_PRIVILEGE,
            )
        case 0:
            return ok(Kind.LISTEN, f"{address} can be opened")
        case errno.EADDRINUSE:
            return _taken(trial, facts)
        case errno.EACCES if address.kind != "unix":
            what, remedy = (
                f"{address}: this user may not open ports below {facts.unprivileged}",
                f"{_PRIVILEGE}, or choose another port",
            )
        case errno.EADDRNOTAVAIL:
            what = f"{address}: this machine has no such address"
            remedy = "see which there are with `ip -brief address`, or listen on all with 0.0.0.0 or [::]"
        case errno.EEXIST:
            what, remedy = f"{address}: something else than a socket is there", f"`rm {address.path}`"
        case errno.ENOENT:
            what, remedy = f"{address}: the folder {folder} is not there", f"`mkdir -p {folder}`"
        case errno.EACCES | errno.EPERM:
            what = f"{address}: this user may not write the folder {folder}"
            remedy = f"`chown {os.geteuid()} {folder}`, or name another folder"
        case error:
            what, remedy = f"{address}: {os.strerror(error)}", "listen elsewhere with --listen"
    return problem(Kind.LISTEN, what, why=_WHY, remedy=remedy)


def _taken(trial: Trial, facts: Facts) -> Finding:
    address, pids = trial.address, {holder.pid for holder in trial.holders}
    # With a socket that systemd keeps open, both it and the appliance have it.
    if facts.instance in pids:
        return ok(Kind.LISTEN, f"{address} is open: the appliance serves it (process {facts.instance})")
    if pids == {_FIRST_PROCESS}:
        return ok(Kind.LISTEN, f"{address} is kept open by systemd, which hands it to the appliance")
    if facts.instance is not None and not pids:
        return note(
            Kind.LISTEN,
            f"{address} is taken, most likely by the appliance that runs",
            why="were it another process, the next start would fail",
            remedy="ask as root, to whom the system says who it is",
        )
    others = [holder for holder in trial.holders if holder.pid != _FIRST_PROCESS]
    if others:
        remedy = f"stop it with `kill {others[0].pid}` or by its unit, or listen elsewhere with --listen"
    elif address.kind == "unix":
        remedy = "see who it is with `ss -lxp` as root, or listen elsewhere with --listen"
    else:
        remedy = f"see who it is with `ss -ltnp 'sport = :{address.port}'` as root, or listen elsewhere with --listen"
    who = ", ".join(map(str, others)) or "another process"
    return problem(Kind.LISTEN, f"{address} is taken by {who}", why=_WHY, remedy=remedy)


def _clash(one: Trial, other: Trial) -> bool:
    if one.address.kind == "unix" or other.address.kind == "unix":
        return one.address == other.address
    if not one.address.port or one.address.port != other.address.port or not (one.target and other.target):
        return False
    unspecified = one.target.is_unspecified or other.target.is_unspecified
    return one.target == other.target or (one.target.version == other.target.version and unspecified)


def _exposed(trial: Trial) -> Finding | None:
    address = trial.address
    if trial.target is None or trial.target.is_loopback:
        return None
    if trial.auth == "none":
        return warning(
            Kind.EXPOSURE,
            f"{address} asks nobody for a key",
            why="whoever reaches this machine has all events",
            remedy='`auth = "required"` for this listener, or let only a proxy reach it, say by 127.0.0.1',
        )
    if address.kind == "tcp":
        return warning(
            Kind.EXPOSURE,
            f"{address} speaks without TLS",
            why="keys and events can be read on the way",
            remedy=f"`{attrs.evolve(address, kind='tls')}`, or let only a proxy that speaks TLS reach it",
        )
    return None
