"""The state folder: whether the appliance can keep there what it makes, and nobody else can.

Must not know what is kept there, but for the names of what is private.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import attrs

from appliance.ops.doctor.findings import Kind, note, ok, problem
from appliance.ops.doctor.ownership import OTHERS, OTHERS_WRITE, ROOT, look, seen
from appliance.ops.doctor.words import quoted, user_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from appliance.ops.doctor.findings import Finding
    from appliance.ops.doctor.ownership import Entry

_WHY: Final = "`serve` does not start without it"


@attrs.frozen(kw_only=True)
class Facts:
    """The state folder, if it is there, and what is in it. `above` is the first folder over it that is there.

    `writable` says whether files can be made in the one or the other. `private` are names of files that nobody else
    may read, or the appliance does not start.
    """

    folder: Path
    entry: Entry | None = None
    above: Path
    inside: Sequence[Entry] = ()
    writable: bool
    private: Sequence[str] = ()
    user: int


def gather(folder: Path, *, private: Iterable[str]) -> Facts:
    above = next((each for each in (folder, *folder.parents) if each.is_dir()), folder)
    try:
        inside = seen(sorted(folder.iterdir()))
    except OSError:  # it is not there, or not for us
        inside = ()
    return Facts(
        folder=folder,
        entry=look(folder),
        above=above,
        inside=inside,
        writable=os.access(above, os.W_OK | os.X_OK, effective_ids=True),
        private=tuple(private),
        user=os.geteuid(),
    )


def judge(facts: Facts) -> Iterator[Finding]:
    folder, entry = facts.folder, facts.entry
    if entry is None:
        yield _to_be_made(facts)
        return
    found = [*_entered(facts, entry), *_contained(facts, entry)]
    yield from found or [ok(Kind.STATE_FOLDER, f"{folder} is {user_name(entry.owner)}'s alone")]


def _to_be_made(facts: Facts) -> Finding:
    if facts.writable:
        return ok(Kind.STATE_FOLDER, f"{facts.folder} is made at the first start")
    folder = quoted(facts.folder)
    return problem(
        Kind.STATE_FOLDER,
        f"{facts.folder} is not there, and {user_name(facts.user)} may not write {facts.above}",
        why=_WHY,
        remedy=f"`mkdir -p -m 700 {folder} && chown {user_name(facts.user)} {folder}` as root, or name another with"
        " --state-dir",
    )


def _entered(facts: Facts, entry: Entry) -> Iterator[Finding]:
    folder, user = facts.folder, facts.user
    if not entry.is_folder:
        yield problem(
            Kind.STATE_FOLDER,
            f"{folder} is a file",
            why=_WHY,
            remedy=f"`mv {quoted(folder)} {quoted(folder)}.old`, or name another with --state-dir",
        )
    elif entry.owner != user:
        finding = note if user == ROOT else problem
        yield finding(
            Kind.STATE_FOLDER,
            f"{folder} belongs to {user_name(entry.owner)}, and this is {user_name(user)}",
            why="the appliance starts only as the user whose folder it is",
            remedy=f"serve as {user_name(entry.owner)}, or `chown -R {user_name(user)} {quoted(folder)}`",
        )
    elif not facts.writable:
        yield problem(
            Kind.STATE_FOLDER,
            f"{folder} is not writable",
            why=_WHY,
            remedy=f"`chmod u+rwx {quoted(folder)}`; where that is so, see how it is mounted with"
            f" `findmnt -T {quoted(folder)}`",
        )
    if entry.is_folder and entry.mode & OTHERS_WRITE:
        yield problem(
            Kind.STATE_FOLDER,
            f"{folder} can be written by others (mode {entry.mode:04o})",
            why="they could put another key and another certificate there",
            remedy=f"`chmod 700 {quoted(folder)}`",
        )


def _contained(facts: Facts, entry: Entry) -> Iterator[Finding]:
    strange = [each for each in facts.inside if each.owner != entry.owner]
    if strange:
        names = ", ".join(each.path.name for each in strange)
        yield problem(
            Kind.STATE_FOLDER,
            f"{names} in {facts.folder} belong to {user_name(strange[0].owner)}, as after a start by another user",
            why=f"{user_name(entry.owner)} cannot write what is to be kept there",
            remedy=f"`chown -R {user_name(entry.owner)} {quoted(facts.folder)}`",
        )
    for each in facts.inside:
        if each.path.name in facts.private and each.mode & OTHERS:
            yield problem(
                Kind.STATE_FOLDER,
                f"{each.path} can be read by others (mode {each.mode:04o})",
                why="it is a secret, and `serve` does not start while others may read it",
                remedy=f"`chmod 600 {quoted(each.path)}`",
            )
