"""What a session and the dialogue on it ask of each other: the one sees to the client, the other to the words.

Must not know any dialect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from appliance.access.gate import Peer
    from appliance.access.principals import Principal
    from appliance.core.errors import RequestError
    from appliance.core.outbox import Outbox
    from appliance.core.subscriptions import Joined, Terms
    from appliance.dialects.complaint import Complaint
    from appliance.edge.head import Head
    from appliance.edge.policy import Policy
    from appliance.edge.surroundings import Ending, Notice, Surroundings
    from appliance.runtime.sight import Sight
    from appliance.runtime.subscriber import Lost, Subscriber


@attrs.frozen(kw_only=True)
class Caller:
    """Who is on the line: where it comes from, and its request."""

    peer: Peer
    head: Head

    @property
    def address(self) -> str:
        return self.peer.address


class Line(Protocol):
    """A session, as its dialogue sees it. There is a principal once the client is let in."""

    @property
    def around(self) -> Surroundings: ...

    @property
    def policy(self) -> Policy: ...

    @property
    def caller(self) -> Caller: ...

    @property
    def principal(self) -> Principal | None: ...

    @property
    def outbox(self) -> Outbox: ...

    @property
    def subscriber(self) -> Subscriber: ...

    @property
    def sight(self) -> Sight:
        """The hub, as the client sees it."""

    def end(self, ending: Ending) -> None: ...

    def authenticate(self, token: str) -> Principal:
        """Let the client in by a message; a token that is wrong ends the session."""

    def tell(self, text: bytes) -> None:
        """Send the client a text, before any event that it is owed."""

    def complain(self, error: RequestError, *, label: str | None = None) -> None:
        """Tell the client what it cannot have, and count that."""


class Dialogue(Protocol):
    """A conversation in one dialect. `begin` comes first, once the client is let in; `leave` last."""

    @property
    def name(self) -> str:
        """What its sessions are counted as."""

    @property
    def takes_credentials(self) -> bool:
        """Whether a client may show who it is by a message."""

    @property
    def details(self) -> Mapping[str, Any]:
        """What the log and the status say of the client."""

    @property
    def ping(self) -> bytes:
        """The frame that asks for a sign of life."""

    def begin(self) -> None: ...

    async def hear(self, message: str | bytes) -> None:
        """Do what a message asks for, or raise the RequestError that the client is told."""

    def joined_newcomer(self, joined: Joined, terms: Terms) -> None:
        """Take note that a topic came into being under one of the client's patterns."""

    def notice(self, notice: Notice) -> None:
        """Tell the client that a channel has gone stale or is fresh, where it reads it and there are words for it."""

    def expiring(self, at: float) -> None:
        """Tell the client that it can stay until then, where there are words for it."""

    def renewed(self, lost: Sequence[Lost]) -> None:
        """Go on as somebody who may do something else by now: of what the session has read, it has `lost` this."""

    def complaint(self, error: RequestError, complaint: Complaint) -> bytes:
        """Give the text for an error; none, where the dialect has no such thing."""

    def leave(self) -> None: ...


@attrs.frozen
class Way:
    """What is spoken on a path. Where `unauthorized` is given, a client that is not let in is told so, in these words,
    by the answer to its upgrade: its dialect has no messages for that.
    """

    dialogue: Callable[[Line], Dialogue]
    unauthorized: str | None = None
