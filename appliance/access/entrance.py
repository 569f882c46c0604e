"""All that lets clients in, put together as the settings say, and kept up with what changes by itself.

Must not know listeners.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio

from appliance.access import tokens
from appliance.access.certificates import Certificates
from appliance.access.failures import Failures
from appliance.access.gate import Gate
from appliance.access.grants import entitlements
from appliance.access.kept import LOOK_EVERY
from appliance.access.key_sets import KeySets
from appliance.access.keys import Keys
from appliance.access.plugged import Plugged
from appliance.access.principals import Chain
from appliance.access.refusals import Refusals
from appliance.access.visits import Visits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from appliance.access.kept import KeptKeys
    from appliance.access.principals import Authenticator, Principal
    from appliance.access.revocations import Revocation
    from appliance.access.revoked import Revoked
    from appliance.api import Grant
    from appliance.settings.access import AuthSettings, KeySettings
    from appliance.settings.limits import LimitSettings


class Entrance:
    """`gate` is that of the moment. `ask` gives what a plugin grants to who shows a credential."""

    def __init__(
        self,
        auth: AuthSettings,
        keys: Iterable[KeySettings],
        ask: Callable[[str], Grant | None],
        limits: Callable[[], LimitSettings] | None = None,
    ) -> None:
        """Raise SettingsError with what is wrong with keys or issuers. `limits` gives those of the moment; without
        them, nobody who guesses is made to wait.
        """
        self._ask = ask
        self._kept: KeptKeys | None = None
        self._revoked: Revoked | None = None
        self._refusals = Refusals()
        self._visits = Visits()
        self._failures = None if limits is None else Failures(limits)
        self._changed: Callable[[], object] | None = None
        self._key_sets = KeySets()
        self.use(auth, keys)

    def use(self, auth: AuthSettings, keys: Iterable[KeySettings]) -> None:
        """Let in by these settings and keys, or raise SettingsError and go on as before."""
        known = Keys(keys), tokens.Tokens(auth.tokens, self._key_sets)
        self._key_sets.use(tokens.addresses(auth.tokens))
        self._known: tuple[Authenticator, ...] = known
        self._auth = auth
        self._build()

    def follow(self, kept: KeptKeys, revoked: Revoked | None = None) -> None:
        """Let in by kept keys, too, but nobody whose credential was revoked. To be called before `run`, which keeps up
        with both.
        """
        self._kept, self._revoked = kept, revoked
        kept.tell(self._tell)
        self._build()

    def tell(self, changed: Callable[[], object]) -> None:
        """Call this whenever somebody may be let in no more who was, or be allowed something else."""
        self._changed = changed

    def problems(self) -> Iterator[str]:
        """Say why keys or revocations are not as they are kept, if they are not."""
        for each in (self._kept, self._revoked):
            if each is not None and each.problem is not None:
                yield each.problem

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep keys fresh until cancelled."""
        async with trio.open_nursery() as nursery:  # ends when this is cancelled
            if self._kept is not None:
                await nursery.start(self._kept.run)
            await nursery.start(self._key_sets.run)
            nursery.start_soon(self._look)
            task_status.started()

    async def _look(self) -> None:
        """See to what time alone changes."""
        while True:
            await trio.sleep(LOOK_EVERY)
            self._refusals.settle(time.monotonic())
            if self._revoked is not None and self._revoked.look():
                self._tell()

    def _build(self) -> None:
        kept = () if self._kept is None else (self._kept,)
        chain = Chain((*self._known, *kept, Plugged(self._ask)))
        self.gate = Gate(
            chain,
            Certificates(self._auth.certificates),
            entitlements(self._auth.anonymous),
            taken_back=self._taken_back,
            refusals=self._refusals,
            visits=self._visits,
            failures=self._failures,
        )
        self._tell()

    def _taken_back(self, principal: Principal) -> Revocation | None:
        return None if self._revoked is None else self._revoked.hit(principal)

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed()
