"""How long sessions stay: until what lets them in runs out, or is taken back. They are told in time, and go on where
they may after all.

Must not know what a session speaks, nor how it travels.
"""

from __future__ import annotations

import time
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

import structlog
import trio

from appliance.access.principals import CredentialError
from appliance.core.agenda import Agenda
from appliance.runtime.turns import turn_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.access.gate import Gate, Peer
    from appliance.access.principals import Principal

_log = structlog.get_logger("audit")

LOOK_EVERY: Final = 0.25
"""Seconds between two looks at who is due."""
_AT_ONCE: Final = 16
"""Sessions that are ended in a row: what each then does itself takes longer than ending it."""
_SHARE: Final = 0.1
"""Of the life of a credential: sooner before its end, nobody is warned."""


class Tenant(Protocol):
    """A session, whatever way it travels."""

    @property
    def principal(self) -> Principal | None: ...

    @property
    def peer(self) -> Peer: ...

    @property
    def dialect(self) -> str: ...

    @property
    def transport(self) -> str: ...

    def expiring(self, at: float) -> None:
        """Tell the client that it can stay until then, where its dialect has words for it."""

    def renew(self, principal: Principal) -> None:
        """Go on as the same one, who may do something else by now."""

    def silence(self) -> None:
        """Give nothing more, and hear nothing: it is about to be ended."""

    def expel(self, error: CredentialError) -> None:
        """End, with these words."""


class Tenures:
    """`warning` says how long before its end a session is warned. The system's clock counts, even where it jumps."""

    def __init__(self, *, gate: Callable[[], Gate], warning: Callable[[], float]) -> None:
        self._gate = gate
        self._warning = warning
        self._tenants: dict[Tenant, bool] = {}  # each with whether it has been warned
        self._agenda: Agenda[Tenant] = Agenda()
        self._asked = False
        self._wanted = trio.Event()

    def __len__(self) -> int:
        return len(self._tenants)

    def begin(self, tenant: Tenant) -> None:
        """Look after a session that has been let in; again, when it shows something that is good for longer."""
        self._tenants[tenant] = False
        self._note(tenant)

    def end(self, tenant: Tenant) -> None:
        self._tenants.pop(tenant, None)
        self._agenda.drop(tenant)

    def review(self) -> None:
        """Look soon whether all may stay, and what they may do: some of it has changed."""
        self._asked = True
        self._wanted.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Warn and end until cancelled."""
        task_status.started()
        while True:
            with trio.move_on_after(LOOK_EVERY):
                await self._wanted.wait()
            if self._asked:
                self._asked, self._wanted = False, trio.Event()
                await self._review_all()
            await self._look()

    async def _review_all(self) -> None:
        """Most sessions of a key have one principal: what becomes of that is asked once."""
        gate, begun = self._gate(), perf_counter()
        verdicts: dict[tuple[int, Peer], Principal | CredentialError] = {}
        kept = []  # so that no other object gets the id of one that has been asked about
        leaving: list[tuple[Tenant, CredentialError]] = []
        for tenant in list(self._tenants):
            principal = tenant.principal
            if tenant not in self._tenants or principal is None:
                continue  # gone, while others had their turn
            kept.append(principal)
            place = id(principal), tenant.peer
            verdict = verdicts.get(place)
            if verdict is None:
                verdict = verdicts[place] = _verdict(gate, principal, tenant.peer)
            self._apply(tenant, principal, verdict, leaving)
            begun = await turn_over(begun)
        await self._expel(leaving)

    async def _look(self) -> None:
        begun = perf_counter()
        leaving: list[tuple[Tenant, CredentialError]] = []
        for tenant in self._agenda.due(time.time()):
            principal = tenant.principal
            if principal is None or principal.expires is None:
                continue
            if principal.expires <= time.time():
                self._apply(tenant, principal, _verdict(self._gate(), principal, tenant.peer), leaving)
            elif not self._tenants[tenant]:
                self._tenants[tenant] = True
                self._note(tenant)
                tenant.expiring(principal.expires)
            else:
                self._note(tenant)
            begun = await turn_over(begun)
        await self._expel(leaving)

    def _apply(
        self,
        tenant: Tenant,
        principal: Principal,
        verdict: Principal | CredentialError,
        leaving: list[tuple[Tenant, CredentialError]],
    ) -> None:
        """Let a session go on, or silence it: all of a crowd at once, while to end it takes a while."""
        if isinstance(verdict, CredentialError):
            tenant.silence()
            leaving.append((tenant, verdict))
        elif verdict != principal:
            tenant.renew(verdict)
            self.begin(tenant)

    async def _expel(self, leaving: list[tuple[Tenant, CredentialError]]) -> None:
        """End sessions, a few at a time: those that stay are not to feel it."""
        for count, (tenant, error) in enumerate(leaving, 1):
            principal = tenant.principal
            if tenant not in self._tenants or principal is None:
                continue  # it has left by itself
            self.end(tenant)
            _log.info(
                "session expelled",
                client=tenant.peer.address,
                **principal.told,
                dialect=tenant.dialect,
                transport=tenant.transport,
                code=error.code,
                why=error.why,
            )
            tenant.expel(error)
            if count % _AT_ONCE == 0:
                await trio.lowlevel.checkpoint()

    def _note(self, tenant: Tenant) -> None:
        principal = tenant.principal
        if principal is None or principal.expires is None:
            self._agenda.drop(tenant)
            return
        warned, ahead = self._tenants[tenant], self._warning()
        if principal.issued is not None:
            ahead = min(ahead, _SHARE * max(0.0, principal.expires - principal.issued))
        self._agenda.put(tenant, principal.expires - (0.0 if warned else ahead))


def _verdict(gate: Gate, principal: Principal, peer: Peer) -> Principal | CredentialError:
    try:
        return gate.review(principal, peer, time.time())
    except CredentialError as error:
        return error
