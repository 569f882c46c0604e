from __future__ import annotations

import pytest

from appliance.edge.surroundings import Ending
from appliance.settings.fields import Seconds
from tests.edge.clients import is_served
from tests.edge.stage import configuration, playing


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (Ending(1008, "SLOW_CLIENT"), "SLOW_CLIENT"),
        (Ending(1012, "SERVER_RESTART", 1.26), "SERVER_RESTART retry_after=1.3"),
        (Ending(1012, "SERVER_RESTART", 0.0), "SERVER_RESTART retry_after=0.0"),
    ],
)
def test_the_reason_of_a_close_frame_says_when_to_come_back(ending: Ending, text: str) -> None:
    assert ending.text == text


async def test_whoever_is_connected_is_seen_and_can_be_ended() -> None:
    """Whatever it speaks: by this the status tells of all, and a stop ends all."""
    async with (
        playing(configuration()) as stage,
        stage.client() as own,
        stage.client(target="/trading?client_id=c1") as trading,
        stage.client(target="/ws/alerts") as alerts,
    ):
        for client in (own, trading):
            assert await is_served(client)
        await alerts.hear_of("connected")
        seen = {session.dialect: session for session in stage.around.sessions}
        assert seen.keys() == {"cryptointel", "trading", "ara"}
        assert {key: dict(session.details).get("client_id") for key, session in seen.items()} == {
            "cryptointel": None,
            "trading": "c1",
            "ara": None,
        }
        for session in seen.values():
            assert session.received > 0
            assert session.sent > 0
            session.end(Ending(1012, "SERVER_RESTART", 1.5))
        for client in (own, trading, alerts):
            assert await client.close_frame() == (1012, "SERVER_RESTART retry_after=1.5")


async def test_the_settings_are_those_of_the_moment() -> None:
    async with playing() as stage:
        assert stage.around.settings().limits.answer == Seconds(5)
        stage.change(answer=1.0)
        assert stage.around.settings().limits.answer == Seconds(1)
