"""What all sessions share, and how each of them is seen from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs

from appliance.access.seals import Seal
from appliance.core.scope import NOTHING
from appliance.edge.tenure import Tenures
from appliance.runtime.sight import Sight
from appliance.runtime.turns import Turnstile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.access.gate import Gate
    from appliance.access.principals import Principal
    from appliance.core.errors import RequestError
    from appliance.core.outbox import Outbox
    from appliance.core.topics import Aliases
    from appliance.edge.admission import Admission
    from appliance.runtime.answers import Answers
    from appliance.runtime.digest import Digests
    from appliance.runtime.flusher import Flusher
    from appliance.runtime.heartbeat import Heartbeat
    from appliance.runtime.hooks import Hooks
    from appliance.runtime.hub import Hub
    from appliance.runtime.pages import Pages
    from appliance.runtime.status import Traffic
    from appliance.runtime.timers import Timers
    from appliance.settings.tree import Settings


@attrs.frozen
class Ending:
    """Why a session ends: a WebSocket's close code, a reason, and when the client may come back."""

    code: int
    reason: str
    retry_after: float | None = None

    @property
    def text(self) -> str:
        """The reason as it stands in a close frame."""
        if self.retry_after is None:
            return self.reason
        return f"{self.reason} retry_after={self.retry_after:.1f}"


@attrs.frozen
class Notice:
    """A channel's newest events are old, or no longer: it has published nothing since a moment, or has again."""

    channel: str
    stale: bool = attrs.field(kw_only=True)
    since: float = attrs.field(kw_only=True)


class Ongoing(Protocol):
    """A session, whatever way it travels."""

    @property
    def principal(self) -> Principal | None: ...

    @property
    def dialect(self) -> str: ...

    @property
    def transport(self) -> str:
        """How it travels: `websocket`, `sse` or `poll`."""

    @property
    def details(self) -> Mapping[str, Any]:
        """What the log and the status say of the client."""

    @property
    def owed_bytes(self) -> int:
        """Bytes that are held for it alone, and that its socket has not taken."""

    def expel(self, error: RequestError) -> None:
        """End, with these words."""

    def cut(self) -> None:
        """End at once, without a word."""

    @property
    def outbox(self) -> Outbox | None:
        """What it is still owed, where that is not asked for again and again."""

    @property
    def received(self) -> int: ...

    @property
    def sent(self) -> int: ...

    def account(self) -> None:
        """Add to the traffic what has come and gone since the last time."""

    def notice(self, notice: Notice) -> None:
        """Tell the client, where it reads the channel and its dialect has words for it."""

    def end(self, ending: Ending) -> None:
        """Close the session, once what it was handed so far is on its way."""


@attrs.frozen(kw_only=True)
class Surroundings:
    """The parts that sessions live among. The callables give what the settings say at the moment."""

    hub: Hub
    flusher: Flusher
    timers: Timers
    heartbeat: Heartbeat
    traffic: Traffic
    aliases: Aliases
    admission: Admission
    digests: Digests
    answers: Answers
    pages: Pages
    gate: Callable[[], Gate]
    settings: Callable[[], Settings]
    hooks: Hooks
    sessions: set[Ongoing] = attrs.field(factory=set)
    tenures: Tenures = attrs.field(init=False)
    seal: Seal = attrs.field(factory=Seal)
    turnstile: Turnstile = attrs.field(factory=Turnstile)
    """Many may ask for much in the same moment: after a break of the network, say."""

    def sight(self, principal: Principal | None) -> Sight:
        """Give the hub as somebody sees it; who is not let in yet sees nothing."""
        return Sight(self.hub, NOTHING if principal is None else principal.entitlements.scope)

    @tenures.default
    def _begin_tenures(self) -> Tenures:
        return Tenures(gate=self.gate, warning=lambda: self.settings().auth.expiry_warning)
