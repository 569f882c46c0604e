"""What a session and its dialogue ask of each other, held against all that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from appliance.edge.dialogues.cryptointel import Cryptointel
from appliance.edge.line import Caller, Way
from appliance.edge.ways import Ways
from tests.edge.stage import playing, until

if TYPE_CHECKING:
    from appliance.edge.line import Dialogue, Line

DIALECTS = {
    "/ws": "cryptointel",
    "/shared": "trading",
    "/trading": "trading",
    "/ws/predictions/BTC": "ara",
    "/ws/alerts": "ara",
    "/api/v1/predictions/stream": "data-ws",
}


class Overheard(Ways):
    """The ways of the stage, whose lines and dialogues can be looked at."""

    def __init__(self) -> None:
        super().__init__({"/ws": "cryptointel", "/shared": "shared", "/trading": "trading"})
        self.conversations: list[tuple[Line, Dialogue]] = []

    def find(self, path: str) -> Way | None:
        way = super().find(path)
        assert way is not None
        make = way.dialogue

        def overhear(line: Line) -> Dialogue:
            self.conversations.append((line, make(line)))
            return self.conversations[-1][1]

        return attrs.evolve(way, dialogue=overhear)


def test_a_way_refuses_nobody_at_the_door_unless_it_says_so() -> None:
    assert Way(Cryptointel).unauthorized is None


@pytest.mark.parametrize(("path", "dialect"), DIALECTS.items())
async def test_a_dialogue_finds_on_its_line_what_it_may_ask_for(path: str, dialect: str) -> None:
    ways = Overheard()
    async with playing() as stage:
        stage.reception = attrs.evolve(stage.reception, ways=ways)
        async with stage.client(target=f"{path}?client_id=x"):
            await until(lambda: bool(ways.conversations) and ways.conversations[0][0].principal is not None)
            ((line, dialogue),) = ways.conversations
            assert isinstance(line.caller, Caller)
            assert (line.caller.address, line.caller.head.path) == ("127.0.0.1", path)
            assert line.caller.head.query == "client_id=x"
            assert line.policy is stage.policy
            assert line.around is stage.around
            assert line.sight.scope.covers("price:BTC")
            assert len(line.outbox.positions()) == len(line.subscriber)
            assert dialogue.name == dialect
            assert dialogue.ping[:1] == (b"\x81" if dialect == "ara" else b"\x89")


async def test_before_it_is_let_in_a_client_is_nobody_and_may_read_nothing() -> None:
    ways = Overheard()
    async with playing() as stage:
        stage.reception = attrs.evolve(stage.reception, ways=ways)
        async with stage.client(None):
            await until(lambda: bool(stage.around.sessions))
            ((line, dialogue),) = ways.conversations
            assert dialogue.takes_credentials
            assert line.principal is None
            assert not line.sight.scope.covers("price:BTC")
