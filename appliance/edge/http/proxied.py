"""Requests that a trusted proxy brings, as those of the clients that it brings them for.

Must not know what is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from appliance.edge import forwarded
from appliance.edge.http import denial
from appliance.settings.tree import UNIX

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from appliance.access.gate import Peer
    from appliance.edge.admission import Admission
    from appliance.edge.forwarded import Found
    from appliance.edge.policy import Policy
    from appliance.runtime.status import Traffic


class Proxied:
    """Each request of a proxy counts as a connection of its client, while it lasts."""

    def __init__(self, app: ASGIApp, *, admission: Admission, traffic: Traffic) -> None:
        self._app = app
        self._admission = admission
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        policy: Policy = scope["state"]["policy"]
        peer: Peer = scope["state"]["peer"]
        if not policy.trusts(peer.address):
            await self._app(_coming_from(scope, peer), receive, send)
            return
        found = self._find(scope, policy, peer)
        origin = policy.origin(found.address)
        refusal = self._admission.visit(policy, origin)
        if refusal is not None:
            await denial.answer(self._traffic, refusal)(scope, receive, send)
            return
        try:
            scheme = found.scheme or scope["scheme"]
            scope = _coming_from({**scope, "scheme": scheme}, attrs.evolve(peer, address=found.address))
            await self._app(scope, receive, send)
        finally:
            self._admission.depart(policy, origin)

    def _find(self, scope: Scope, policy: Policy, peer: Peer) -> Found:
        try:
            return forwarded.find(policy.forwarded, scope["headers"], peer.address, policy.trusts)
        except forwarded.MalformedError:
            self._traffic.errors["bad_forwarded"] += 1
            return forwarded.Found(peer.address)


def _coming_from(scope: Scope, peer: Peer) -> Scope:
    """Tell of the request what has come to be known, in place of what the socket says."""
    client = None if peer.address == UNIX else (peer.address, 0)
    if scope["state"]["peer"] is peer and (scope.get("client") or (None,))[0] == (client or (None,))[0]:
        return scope
    return {**scope, "client": client, "state": {**scope["state"], "peer": peer}}
