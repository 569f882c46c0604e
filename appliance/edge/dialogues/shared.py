"""The conversation on a path that two dialects share: trading, until the client says what only cryptointel's say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from appliance.dialects.shared import Speaker
from appliance.edge.dialogues.cryptointel import Cryptointel
from appliance.edge.dialogues.trading import Trading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from appliance.core.errors import RequestError
    from appliance.core.subscriptions import Joined, Terms
    from appliance.dialects.complaint import Complaint
    from appliance.edge.line import Dialogue, Line
    from appliance.edge.surroundings import Notice
    from appliance.runtime.subscriber import Lost


class Shared:
    """Before a client is let in it is spoken to as a client of cryptointel: the others have no messages for that."""

    takes_credentials: Final = True

    def __init__(self, line: Line) -> None:
        self._line = line
        self._speaker = Speaker()
        self._dialogue: Dialogue = Cryptointel(line)

    @property
    def name(self) -> str:
        return self._dialogue.name

    @property
    def details(self) -> Mapping[str, Any]:
        return self._dialogue.details

    @property
    def ping(self) -> bytes:
        return self._dialogue.ping

    def begin(self) -> None:
        self._turn_to(Trading(self._line, undeclared=True))

    def leave(self) -> None:
        self._dialogue.leave()

    async def hear(self, message: str | bytes) -> None:
        self._speaker = self._speaker.hear(message)
        if self._speaker.dialect == "cryptointel" and self._dialogue.name != "cryptointel":
            self._turn_to(Cryptointel(self._line))
        await self._dialogue.hear(message)

    def joined_newcomer(self, joined: Joined, terms: Terms) -> None:
        self._dialogue.joined_newcomer(joined, terms)

    def notice(self, notice: Notice) -> None:
        self._dialogue.notice(notice)

    def expiring(self, at: float) -> None:
        self._dialogue.expiring(at)

    def renewed(self, lost: Sequence[Lost]) -> None:
        self._dialogue.renewed(lost)

    def complaint(self, error: RequestError, complaint: Complaint) -> bytes:
        return self._dialogue.complaint(error, complaint)

    def _turn_to(self, dialogue: Dialogue) -> None:
        self._dialogue.leave()
        self._dialogue = dialogue
        dialogue.begin()
