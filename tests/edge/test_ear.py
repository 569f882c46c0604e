"""How a session hears its client, with messages that come when they are said to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from appliance.edge.ear import Ear
from appliance.edge.policy import Policy
from appliance.settings.fields import Seconds
from appliance.settings.limits import LimitSettings
from appliance.settings.tree import ListenSettings

if TYPE_CHECKING:
    from trio.testing import MockClock


@attrs.define
class Mouth:
    """Says a message after each of these pauses, and then nothing."""

    pauses: list[float]
    said: int = 0

    async def receive(self) -> str:
        if not self.pauses:
            await trio.sleep_forever()
        await trio.sleep(self.pauses[0])
        del self.pauses[0]
        self.said += 1
        return str(self.said)


@attrs.define
class Held:
    limits: LimitSettings
    taken: int = 0


def ear(held: Held, *pauses: float) -> Ear:
    policy = Policy(lambda: LISTEN, lambda: held.limits)
    return Ear(Mouth(list(pauses)), policy, lambda: held.taken)  # type: ignore[arg-type]


LISTEN = ListenSettings(url="tcp://127.0.0.1:0")


async def test_messages_are_heard_as_they_come(autojump_clock: MockClock) -> None:
    del autojump_clock  # time jumps
    listening = ear(Held(LimitSettings()), 0, 0)
    assert [await listening.hear(), await listening.hear()] == ["1", "2"]


async def test_who_is_silent_for_too_long_is_idle(autojump_clock: MockClock) -> None:
    del autojump_clock  # time jumps
    listening = ear(Held(LimitSettings(idle=Seconds(10))))
    assert await listening.hear() is None
    assert 10 <= trio.current_time() <= 10 + 10 / 8


async def test_who_is_told_something_is_not_idle(autojump_clock: MockClock) -> None:
    del autojump_clock  # time jumps
    held = Held(LimitSettings(idle=Seconds(10)))
    listening = ear(held)

    async def tell() -> None:
        await trio.sleep(8)
        held.taken += 1

    async with trio.open_nursery() as nursery:  # ends when the session is idle
        nursery.start_soon(tell)
        assert await listening.hear() is None
    assert trio.current_time() >= 18


async def test_without_a_limit_nobody_is_idle(autojump_clock: MockClock) -> None:
    del autojump_clock  # time jumps
    held = Held(LimitSettings())
    listening = ear(held)
    with trio.move_on_after(100_000):
        await listening.hear()
        pytest.fail("there was nothing to hear")
    held.limits = LimitSettings(idle=Seconds(1))
    assert await listening.hear() is None


async def test_too_many_messages_are_too_early(autojump_clock: MockClock) -> None:
    del autojump_clock  # time jumps
    held = Held(LimitSettings(messages_per_minute=2))
    listening = ear(held)
    assert [listening.count(), listening.count()] == [0, 0]
    assert listening.count() == pytest.approx(30)
    held.limits = LimitSettings(messages_per_minute=60)
    assert listening.count() == 0
    assert listening.rate == 60
