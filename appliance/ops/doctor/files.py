"""The files of the configuration and of secrets: who else can write or read them.

Must not know how they are read.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

import attrs

from appliance.ops.doctor.findings import Kind, note, ok, problem, warning
from appliance.ops.doctor.ownership import OTHERS_WRITE, ROOT, seen
from appliance.ops.doctor.words import quoted, user_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from appliance.ops.doctor.findings import Finding
    from appliance.ops.doctor.ownership import Entry

_ALL_WRITE: Final = 0o002
_ALL_READ: Final = 0o004


@attrs.frozen(kw_only=True)
class Facts:
    """The configuration's file with its folder, and the files with secrets. `user` is who asks.

    `has_secrets`: the configuration's file has some itself.
    """

    configuration: Sequence[Entry] = ()
    secrets: Sequence[Entry] = ()
    has_secrets: bool = False
    user: int


def gather(configuration: Path | None, secrets: Iterable[Path], *, has_secrets: bool) -> Facts:
    files = () if configuration is None else (configuration, configuration.absolute().parent)
    return Facts(configuration=seen(files), secrets=seen(secrets), has_secrets=has_secrets, user=os.geteuid())


def judge(facts: Facts) -> Iterator[Finding]:
    found = [
        finding
        for entry in facts.configuration
        for finding in _writers(
            Kind.CONFIGURATION_FILE, entry, facts.user, "whoever writes it chooses the keys"
        )
    ]
    if facts.has_secrets and facts.configuration and facts.configuration[0].mode & _ALL_READ:
        path = facts.configuration[0].path
        found.append(
            warning(
                Kind.CONFIGURATION_FILE,
                f"{path} holds secrets, and everybody may read it",
                why="each user of this machine can read them",
                remedy=f"`chmod o-r {quoted(path)}`, or move them into files that `key_file` and the like name",
            )
        )
    if facts.configuration and not found:
        found.append(
            ok(Kind.CONFIGURATION_FILE, f"{facts.configuration[0].path} can be written by nobody else")
        )
    yield from found
    found = [
        finding
        for entry in facts.secrets
        for finding in _writers(Kind.SECRET_FILE, entry, facts.user, "whoever writes it chooses the secret")
    ]
    if facts.secrets and not found:
        found.append(ok(Kind.SECRET_FILE, f"{len(facts.secrets)} can be written by nobody else"))
    yield from found


def _writers(kind: Kind, entry: Entry, user: int, why: str) -> Iterator[Finding]:
    sticky = entry.is_folder and entry.mode & stat.S_ISVTX
    if entry.mode & OTHERS_WRITE and not sticky:
        finding = problem if entry.mode & _ALL_WRITE else warning
        yield finding(
            kind,
            f"{entry.path} can be written by others (mode {entry.mode:04o})",
            why=why,
            remedy=f"`chmod go-w {quoted(entry.path)}`",
        )
    if entry.owner not in (ROOT, user):
        yield note(
            kind,
            f"{entry.path} belongs to {user_name(entry.owner)}",
            why=why,
            remedy=f"leave it if {user_name(entry.owner)} is to, else `chown root {quoted(entry.path)}`",
        )
