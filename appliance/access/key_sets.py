"""The public keys of issuers that publish them (JWKS): fetched in the background, and kept while nothing better comes.

Must not know tokens: whoever looks a key up gets what is there at the moment.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import structlog
import trio

from appliance.access import fetching, signatures
from appliance.core.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.access.signatures import PublishedKey

_log = structlog.get_logger()

AGAIN = 10.0
"""Least seconds between two fetches, however many tokens name keys that are not there."""
_FIRST_RETRY = 1.0


@attrs.frozen(kw_only=True)
class Address:
    """Where a set is, and how it is fetched."""

    url: str
    ca: str | None
    every: float
    within: float


@attrs.define(eq=False)
class _Set:
    address: Address
    backoff: Backoff
    keys: tuple[PublishedKey, ...] = ()
    tried: float = float("-inf")
    due: float = float("-inf")
    fetching: bool = False
    failing: bool = False


class KeySets:
    """`use` says which there are; `run` keeps them fresh."""

    def __init__(self, addresses: Iterable[Address] = ()) -> None:
        self._sets: dict[Address, _Set] = {}
        self._changed = trio.Event()
        self.use(addresses)

    def use(self, addresses: Iterable[Address]) -> None:
        """Keep these from now on; what has been fetched of them stays."""
        self._sets = {
            address: self._sets.get(address)
            or _Set(address, Backoff(first=_FIRST_RETRY, most=max(_FIRST_RETRY, address.every)))
            for address in addresses
        }
        self._changed.set()

    def keys(self, address: Address) -> tuple[PublishedKey, ...]:
        """Give what was fetched last; none before the first time."""
        found = self._sets.get(address)
        return () if found is None else found.keys

    def missed(self, address: Address) -> None:
        """Fetch a set soon: somebody has named a key that is not there. Whoever asks often changes nothing."""
        found = self._sets.get(address)
        if found is not None and found.due > found.tried + AGAIN:
            found.due = found.tried + AGAIN
            self._changed.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Fetch until cancelled; started once each has been tried."""
        async with trio.open_nursery() as first:  # ends when each has been tried once
            for each in list(self._sets.values()):
                first.start_soon(self._fetch, each)
        task_status.started()
        async with trio.open_nursery() as nursery:  # ends when this is cancelled
            while True:
                self._changed = trio.Event()
                now, waiting = (
                    trio.current_time(),
                    [each for each in self._sets.values() if not each.fetching],
                )
                for each in waiting:
                    if each.due <= now:
                        each.fetching = True
                        nursery.start_soon(self._fetch, each)
                due = min((each.due for each in waiting if not each.fetching), default=float("inf"))
                with trio.move_on_at(due):
                    await self._changed.wait()

    async def _fetch(self, each: _Set) -> None:
        each.fetching, each.tried = True, trio.current_time()
        address = each.address
        try:
            ca = None if address.ca is None else Path(address.ca)
            content = await fetching.fetch(address.url, ca=ca, within=address.within)
            self._take(each, signatures.published_keys(content))
            wait = address.every
        except (fetching.Unfetched, ValueError) as error:
            wait = min(address.every, max(_FIRST_RETRY, each.backoff.next(random.random())))  # noqa: S311 - to spread requests
            if not each.failing:
                each.failing = True
                _log.warning(
                    "an issuer's keys cannot be fetched, those before stay",
                    url=address.url,
                    reason=str(error),
                    keys=len(each.keys),
                )
        finally:
            each.fetching = False
        each.due = trio.current_time() + wait
        self._changed.set()

    def _take(self, each: _Set, keys: tuple[PublishedKey, ...]) -> None:
        if not keys:
            raise ValueError("none of its keys can be used for tokens")
        changed = [key.id for key in keys] != [key.id for key in each.keys]
        if each.failing or changed:
            _log.info("an issuer's keys fetched", url=each.address.url, ids=[key.id for key in keys])
        each.keys, each.failing = keys, False
        each.backoff.reset()
