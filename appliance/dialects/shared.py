"""Which dialect a client of a shared path speaks, told from its messages.

Must not know whether a message can be served: that is its dialect's matter.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import attrs
import msgspec

from appliance.dialects import trading

Dialect: TypeAlias = Literal["cryptointel", "trading"]

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def decide(text: str | bytes) -> Dialect | None:
    """Name the dialect whose clients alone send this; nothing, when both do or none."""
    if isinstance(text, bytes):
        return None
    try:
        message = _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    match message:
        case {"type": "auth" | "history"} | {"type": "subscribe" | "unsubscribe", "channels": list()}:
            return "cryptointel"
        case {"type": "subscribe" | "unsubscribe", "channel": str(channel), **more} if channel:
            foreign = "params" in more or ("symbols" not in more and channel not in list(trading.Channel))
            return "cryptointel" if foreign else "trading"
        case _:
            return None


@attrs.frozen
class Speaker:
    """A client by what it has said so far. It may turn to cryptointel at any time, and never back."""

    decided: Dialect | None = None

    @property
    def dialect(self) -> Dialect:
        """Who has said nothing that decides is a trading client."""
        return self.decided or "trading"

    def hear(self, text: str | bytes) -> Speaker:
        if self.decided == "cryptointel":
            return self
        decided = decide(text)
        return self if decided is None else Speaker(decided)
