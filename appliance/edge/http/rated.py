"""Requests of any kind, against the rate of their client's address.

Must not know what is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from appliance.edge.http import denial

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from appliance.access.gate import Peer
    from appliance.edge.admission import Admission
    from appliance.edge.policy import Policy
    from appliance.runtime.status import Traffic


class Rated:
    """Stands behind what finds the client of a request that a proxy brings."""

    def __init__(self, app: ASGIApp, *, admission: Admission, traffic: Traffic) -> None:
        self._app = app
        self._admission = admission
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            policy: Policy = scope["state"]["policy"]
            peer: Peer = scope["state"]["peer"]
            refusal = self._admission.request(policy, policy.origin(peer.address), trio.current_time())
            if refusal is not None:
                await denial.answer(self._traffic, refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)
