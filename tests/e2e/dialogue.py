"""A client that speaks the appliance's own protocol and keeps all that it is told.

Must not know what a test makes of it, nor how the key was shown.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import attrs

from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.sync.client import ClientConnection

    Message = dict[str, Any]


@attrs.define
class Account:
    """What came of each topic, in the order in which it came: offsets with the data, and gap notices."""

    epochs: dict[str, str] = attrs.field(factory=dict)
    events: dict[str, list[tuple[int, Any]]] = attrs.field(factory=dict)
    gaps: list[Message] = attrs.field(factory=list)

    def take(self, message: Message) -> None:
        if message["type"] == "subscribed":
            self.epochs |= {answer["channel"]: answer["epoch"] for answer in message["channels"]}
        elif message["type"] == "gap":
            self.gaps.append(message)
        elif "offset" in message:
            self.events.setdefault(message["channel"], []).append((message["offset"], message["data"]))

    def offsets(self, topic: str) -> list[int]:
        return [offset for offset, _ in self.events.get(topic, ())]

    def positions(self) -> dict[str, dict[str, Any]]:
        """Give what `recover` takes."""
        return {
            topic: {"epoch": self.epochs[topic], "offset": events[-1][0]}
            for topic, events in self.events.items()
            if topic in self.epochs  # the status also comes without a subscription
        }


@attrs.frozen
class Dialogue:
    """One connection. `account` may go on from an earlier one."""

    socket: ClientConnection
    account: Account = attrs.field(factory=Account)

    def say(self, message: object) -> None:
        """Send a message, or a text as it is."""
        self.socket.send(message if isinstance(message, str) else json.dumps(message))

    def subscribe(self, *names: str, **fields: Any) -> Message:
        """Subscribe and give the answer."""
        self.say({"type": "subscribe", "channels": names, **fields})
        return self.hear("subscribed")

    def hear(self, kind: str, channel: str | None = None) -> Message:
        """Give the next message of this type, and of this channel."""
        return self.listen(lambda said: said["type"] == kind and channel in (None, said.get("channel")))

    def listen(self, fits: Callable[[Message], bool]) -> Message:
        """Give the next message that fits; what comes before it is only taken into the account."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                message: Message = json.loads(self.socket.recv(max(0.0, deadline - time.monotonic())))
            except TimeoutError:
                raise AssertionError(f"nothing that fits in {PATIENCE:g} s") from None
            self.account.take(message)
            if fits(message):
                return message

    def listen_until(self, condition: Callable[[Account], bool]) -> None:
        """Take messages until the account is as wanted."""
        self.listen(lambda _: condition(self.account))


def unbroken(offsets: list[int]) -> bool:
    """Whether each offset follows the one before: nothing missed, nothing twice."""
    return offsets == list(range(offsets[0], offsets[0] + len(offsets)))
