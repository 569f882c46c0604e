"""What settings, kept keys and plugins say somebody may do, as entitlements.

Must not know who that is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from appliance.access.views import shown
from appliance.core.entitlements import Entitlements, network

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.access.views import Written
    from appliance.settings.access import GrantSettings


class Reader(Protocol):
    """What settings, or a plugin, say of somebody."""

    @property
    def read(self) -> Iterable[str]: ...

    @property
    def sessions(self) -> int | None: ...

    @property
    def subscriptions(self) -> int | None: ...

    @property
    def addresses(self) -> Iterable[str]: ...

    @property
    def monitor(self) -> bool | None: ...

    @property
    def views(self) -> Iterable[Written]: ...


def entitlements(settings: Reader, *, publish: tuple[str, ...] = ()) -> Entitlements:
    found = shown(settings.views)
    return Entitlements(
        read=settings.read,
        publish=publish,
        sessions=settings.sessions,
        subscriptions=settings.subscriptions,
        networks=[network(each) for each in settings.addresses] or None,
        monitor=settings.monitor,
        masks=found.masks,
        filters=found.filters,
        paces=found.paces,
    )


def granted(settings: GrantSettings) -> Entitlements:
    return entitlements(settings, publish=settings.publish)
