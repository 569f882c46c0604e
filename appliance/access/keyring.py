"""The keys that `appliance keys` makes: digests, and what each is good for. Every change gives another ring.

Must not know files or clocks.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - msgspec reads the annotations when it runs
from typing import TYPE_CHECKING, Literal

import attrs
import msgspec

from appliance.access import secret_text
from appliance.access.principals import Principal
from appliance.access.views import KeptView, shown
from appliance.core.entitlements import Entitlements, network

if TYPE_CHECKING:
    from appliance.access.secret_text import Made

State = Literal["active", "expired", "revoked"]


class KeptKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key of somebody. Without `expires` it is good for ever; `digest` is SHA-256 in hexadecimal."""

    id: str
    name: str
    digest: str
    created: dt.datetime
    expires: dt.datetime | None = None
    revoked: dt.datetime | None = None
    read: tuple[str, ...] = ("*",)
    publish: tuple[str, ...] = ()
    sessions: int | None = None
    subscriptions: int | None = None
    addresses: tuple[str, ...] = ()
    monitor: bool | None = None
    views: tuple[KeptView, ...] = ()

    def state(self, now: float) -> State:
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires.timestamp() <= now else "active"

    def principal(self) -> Principal:
        """Raise ValueError for an address or a condition that is none."""
        found = shown(self.views)
        return Principal(
            self.name,
            Entitlements(
                read=self.read,
                publish=self.publish,
                sessions=self.sessions,
                subscriptions=self.subscriptions,
                networks=[network(each) for each in self.addresses] or None,
                monitor=self.monitor,
                masks=found.masks,
                filters=found.filters,
                paces=found.paces,
            ),
            credential=self.id,
            issued=self.created.timestamp(),
            expires=None if self.expires is None else self.expires.timestamp(),
        )


@attrs.frozen(kw_only=True)
class Terms:
    """What a key is made for."""

    name: str
    expires: dt.datetime | None = None
    read: tuple[str, ...] = ("*",)
    publish: tuple[str, ...] = ()
    sessions: int | None = None
    subscriptions: int | None = None
    addresses: tuple[str, ...] = ()
    monitor: bool | None = None
    views: tuple[KeptView, ...] = ()


class Ring(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All keys, in the order in which they were made, also those that are good no more."""

    version: Literal[1] = 1
    keys: tuple[KeptKey, ...] = ()

    def named(self, name: str) -> tuple[KeptKey, ...]:
        """Give the keys of this name, or else the one with this id."""
        return tuple(key for key in self.keys if key.name == name) or tuple(
            key for key in self.keys if key.id == name
        )

    def create(self, terms: Terms, now: dt.datetime) -> tuple[Ring, Made]:
        """Make a key for a name that has none; ValueError where it has one."""
        if any(key.state(now.timestamp()) == "active" for key in self.keys if key.name == terms.name):
            raise ValueError(f"{terms.name!r} has a key: rotate it, revoke it, or choose another name")
        return _with_new(self.keys, terms, now)

    def rotate(
        self, name: str, now: dt.datetime, *, overlap: dt.timedelta, expires: dt.datetime | None
    ) -> tuple[Ring, Made]:
        """Make another key in place of the newest of a name, which works on for a while.

        What it is good for stays, and without `expires` for as long as the one before was meant to be.
        """
        active = [key for key in self.named(name) if key.state(now.timestamp()) == "active"]
        if not active:
            raise ValueError(f"{name!r} has no key that is good: make one with `appliance keys create`")
        last = active[-1]
        if expires is None and last.expires is not None:
            expires = now + (last.expires - last.created)
        terms = Terms(
            name=last.name,
            expires=expires,
            read=last.read,
            publish=last.publish,
            sessions=last.sessions,
            subscriptions=last.subscriptions,
            addresses=last.addresses,
            monitor=last.monitor,
            views=last.views,
        )
        end = now + overlap
        ending = {key.id for key in active}
        keys = tuple(_ended(key, end) if key.id in ending else key for key in self.keys)
        return _with_new(keys, terms, now)

    def revoke(self, name: str, now: dt.datetime) -> tuple[Ring, tuple[KeptKey, ...]]:
        """Take back all keys of a name, or the one of an id, also those that have expired."""
        found = {key.id for key in self.named(name) if key.revoked is None}
        if not found:
            raise ValueError(f"{name!r} has no key that is not revoked")
        keys = tuple(
            msgspec.structs.replace(key, revoked=now) if key.id in found else key for key in self.keys
        )
        return Ring(keys=keys), tuple(key for key in keys if key.id in found)


def _with_new(keys: tuple[KeptKey, ...], terms: Terms, now: dt.datetime) -> tuple[Ring, Made]:
    made = secret_text.make()
    digest = secret_text.digest(made.text).hex()
    key = KeptKey(id=made.id, digest=digest, created=now, **attrs.asdict(terms, recurse=False))
    return Ring(keys=(*keys, key)), made


def _ended(key: KeptKey, end: dt.datetime) -> KeptKey:
    return (
        key if key.expires is not None and key.expires <= end else msgspec.structs.replace(key, expires=end)
    )
