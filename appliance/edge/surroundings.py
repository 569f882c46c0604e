"""What all sessions share, and how each of them is seen from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.access.principals import Authenticator
    from appliance.core.topics import Aliases
    from appliance.edge.admission import Admission
    from appliance.runtime.answers import Answers
    from appliance.runtime.digest import Digests
    from appliance.runtime.flusher import Flusher
    from appliance.runtime.heartbeat import Heartbeat
    from appliance.runtime.hooks import Hooks
    from appliance.runtime.hub import Hub
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
    def dialect(self) -> str: ...

    @property
    def details(self) -> Mapping[str, Any]:
        """What the log and the status say of the client."""

    @property
    def received(self) -> int: ...

    @property
    def sent(self) -> int: ...

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
    authenticator: Callable[[], Authenticator]
    settings: Callable[[], Settings]
    hooks: Hooks
    sessions: set[Ongoing] = attrs.field(factory=set)
