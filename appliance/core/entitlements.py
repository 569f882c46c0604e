"""What a principal may do: what it may read and publish, what it is shown of that, how much, and from where.

Must not know who the principal is, nor where all that is written down.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import attrs

from appliance.core.scope import Scope
from appliance.core.topics import covered, matches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.core.views import Filter, Mask, Pace

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
N = TypeVar("N", int, float)


def settled(patterns: Iterable[str]) -> tuple[str, ...]:
    """Give patterns that mean the same in the same words: none that another covers, in order."""
    found = set(patterns)
    return tuple(sorted(p for p in found if not any(o != p and matches(o, p) for o in found)))


def _networks(networks: Iterable[Network] | None) -> tuple[Network, ...] | None:
    return None if networks is None else tuple(sorted(set(networks), key=str))


def _masks(masks: Iterable[Mask]) -> frozenset[Mask]:
    return frozenset(masks)


def _filters(filters: Iterable[Filter]) -> frozenset[Filter]:
    return frozenset(filters)


def _paces(paces: Iterable[Pace]) -> frozenset[Pace]:
    return frozenset(paces)


@attrs.frozen(kw_only=True)
class Entitlements:
    """Equal ones allow the same, whatever order they were written in.

    `read` are topics and `publish` channels, where a `*` at the end stands for any ending. `networks` are those that
    the principal may come from; None: from anywhere. Of the other limits, None is none. `monitor` is whether it is told
    how the whole appliance is; None: where it may read everything.
    """

    read: tuple[str, ...] = attrs.field(default=("*",), converter=settled)
    publish: tuple[str, ...] = attrs.field(default=(), converter=settled)
    sessions: int | None = None
    subscriptions: int | None = None
    networks: tuple[Network, ...] | None = attrs.field(default=None, converter=_networks)
    masks: frozenset[Mask] = attrs.field(default=frozenset(), converter=_masks)
    filters: frozenset[Filter] = attrs.field(default=frozenset(), converter=_filters)
    paces: frozenset[Pace] = attrs.field(default=frozenset(), converter=_paces)
    monitor: bool | None = None

    @property
    def scope(self) -> Scope:
        """What there is for the principal to read."""
        return Scope(self.read, self.masks, self.filters, self.paces)

    @property
    def may_monitor(self) -> bool:
        """Whether it is told how the whole appliance is. Who may read everything whole is, where nothing is said."""
        return self.scope.is_everything if self.monitor is None else self.monitor

    def may_publish(self, channel: str) -> bool:
        return covered(self.publish, channel)

    def may_come_from(self, address: str) -> bool:
        """Whether a client at this address is let in; one that has none, as at a Unix socket, only from anywhere."""
        if self.networks is None:
            return True
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self.networks)

    def narrowed(self, by: Entitlements) -> Entitlements:
        """Give what both allow."""
        return Entitlements(
            read=_shared(self.read, by.read),
            publish=_shared(self.publish, by.publish),
            sessions=_lower(self.sessions, by.sessions),
            subscriptions=_lower(self.subscriptions, by.subscriptions),
            networks=_overlap(self.networks, by.networks),
            masks=self.masks | by.masks,
            filters=self.filters | by.filters,
            paces=self.paces | by.paces,
            monitor=_allowed(self.monitor, by.monitor),
        )


EVERYTHING = Entitlements()
"""What holds where nothing is said: all may be read, and nothing published."""


def network(text: str) -> Network:
    """Read `10.1.0.0/16`, `2001:db8::/32` or a single address; ValueError says what is wrong."""
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is no network: write 10.1.0.0/16, 2001:db8::/32 or an address ({error})"
        ) from None


def _shared(ones: Iterable[str], others: tuple[str, ...]) -> Iterable[str]:
    for one in ones:
        for other in others:
            if matches(one, other):
                yield other
            elif matches(other, one):
                yield one


def _allowed(one: bool | None, other: bool | None) -> bool | None:  # noqa: FBT001 - two of a kind
    return other if one is None else one if other is None else one and other


def _lower(one: N | None, other: N | None) -> N | None:
    return other if one is None else one if other is None else min(one, other)


def _overlap(
    ones: tuple[Network, ...] | None, others: tuple[Network, ...] | None
) -> tuple[Network, ...] | None:
    if ones is None or others is None:
        return others if ones is None else ones
    return tuple(
        max(one, other, key=lambda each: each.prefixlen)
        for one in ones
        for other in others
        if one.version == other.version and one.overlaps(other)
    )
