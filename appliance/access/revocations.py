"""What was taken back before its time: credentials by their id, and all that somebody was given before a moment.

Must not know files or clocks. Every change gives another list.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - msgspec reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from appliance.access.principals import Principal

_Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=400)]


class Revocation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that was taken back: `id` is that of a credential, `principal` the name of somebody; with neither, all
    tokens are meant. Of somebody, and of all, it is what was issued before a moment; what does not tell when it was
    issued may have been.

    After `until`, nothing that it hits could still be good: then it can be forgotten.
    """

    made: dt.datetime
    id: _Name | None = None
    principal: _Name | None = None
    issued_before: dt.datetime | None = None
    until: dt.datetime | None = None

    @property
    def target(self) -> tuple[str | None, str | None]:
        return self.id, self.principal

    @property
    def told(self) -> str:
        """What was taken back, in words."""
        if self.id is not None:
            return f"the credential {self.id}"
        whose = "all tokens" if self.principal is None else f"what {self.principal} was given"
        return whose if self.issued_before is None else f"{whose} before {self.issued_before.isoformat()}"

    def is_over(self, now: dt.datetime) -> bool:
        return self.until is not None and self.until <= now


class Revocations(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that was taken back, in the order in which it was."""

    version: Literal[1] = 1
    entries: tuple[Revocation, ...] = ()

    def add(self, entry: Revocation) -> Revocations:
        """Take something back, and forget what is over; of the same target, the later moment counts."""
        others = [each for each in self._lasting(entry.made) if each.target != entry.target]
        before = [each for each in self.entries if each.target == entry.target]
        moments = [each.issued_before for each in (*before, entry) if each.issued_before is not None]
        latest = max(moments, default=None)
        if before and latest != entry.issued_before:
            entry = msgspec.structs.replace(before[-1], issued_before=latest)
        return Revocations(entries=(*others, entry))

    def remove(self, target: tuple[str | None, str | None], now: dt.datetime) -> Revocations:
        """Let good again what was taken back, and forget what is over; ValueError where nothing was."""
        if all(each.target != target for each in self.entries):
            raise ValueError("no such thing was taken back: `appliance token revocations` lists what was")
        return Revocations(entries=tuple(each for each in self._lasting(now) if each.target != target))

    def _lasting(self, now: dt.datetime) -> list[Revocation]:
        return [each for each in self.entries if not each.is_over(now)]


class Blacklist:
    """Revocations made ready to be asked often."""

    def __init__(self, revocations: Revocations = Revocations()) -> None:  # noqa: B008 - it never changes
        self._ids = {each.id: each for each in revocations.entries if each.id is not None}
        self._others = {each.principal: each for each in revocations.entries if each.id is None}

    def hit(self, principal: Principal) -> Revocation | None:
        """Give what has taken back the credential that somebody has shown, if anything has."""
        if principal.credential is not None and (found := self._ids.get(principal.credential)):
            return found
        if (found := self._others.get(principal.name)) and _covers(found, principal):
            return found
        if principal.kind == "token" and (found := self._others.get(None)) and _covers(found, principal):
            return found
        return None


def check(revocations: Revocations) -> None:
    """Raise ValueError for a moment that is none in every time zone."""
    for each in revocations.entries:
        if each.id is None and each.issued_before is None:
            raise ValueError("a revocation has neither an id nor a moment")
        for moment in (each.made, each.issued_before, each.until):
            if moment is not None and moment.utcoffset() is None:
                raise ValueError("a moment has no offset from UTC")


def _covers(entry: Revocation, principal: Principal) -> bool:
    before = entry.issued_before
    return before is None or principal.issued is None or principal.issued < before.timestamp()
