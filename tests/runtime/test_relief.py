"""Relief: the worst go first, a few at a time, and who takes what it is sent is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import trio
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from appliance.core.errors import ErrorCode
from appliance.runtime.relief import Memory, Relief
from appliance.settings.fields import Bytes
from appliance.settings.limits import LimitSettings

if TYPE_CHECKING:
    from appliance.core.errors import RequestError


@attrs.define(eq=False)
class Client:
    owed_bytes: int = 0
    told: RequestError | None = None
    is_cut: bool = False

    def expel(self, error: RequestError) -> None:
        assert self.told is None
        self.told = error

    def cut(self) -> None:
        self.is_cut = True


@attrs.define
class Scene:
    """Clients, and a memory that holds so much beside what they are owed."""

    clients: list[Client]
    most: int | None = None
    other: int = 0
    garbage: int = 0
    pressed: list[bool] = attrs.field(factory=list)
    limits: LimitSettings = attrs.field(factory=LimitSettings)

    def relief(self) -> Relief:
        return Relief(
            lambda: self.clients,
            limits=lambda: self.limits,
            memory=self.memory,
            trim=self.trim,
            press=self.pressed.append,
        )

    def memory(self) -> Memory | None:
        held = sum(client.owed_bytes for client in self.clients)
        return None if self.most is None else Memory(self.other + self.garbage + held, self.most)

    def trim(self) -> None:
        self.garbage = 0

    def leave(self) -> None:
        """Let go of who was told to leave."""
        self.garbage += sum(client.owed_bytes for client in self.clients if client.told is not None)
        self.clients = [client for client in self.clients if client.told is None]

    @property
    def told(self) -> list[Client]:
        return [client for client in self.clients if client.told is not None]


def owing(*sizes: int) -> list[Client]:
    return [Client(size) for size in sizes]


async def test_a_client_that_is_owed_more_than_one_may_be_and_takes_nothing_is_ended() -> None:
    scene = Scene(owing(0, 100, 4 * 1024**2, 4 * 1024**2 + 1))
    relief = scene.relief()
    await relief.look()
    assert scene.told == []
    await relief.look()
    [worst] = scene.told
    assert worst is scene.clients[3]
    assert worst.told is not None
    assert (worst.told.code, worst.told.limit) == (ErrorCode.SLOW_CLIENT, "owed_bytes")
    assert "limits.owed_bytes" in worst.told.message
    assert 5 <= (worst.told.retry_after or 0) <= 15
    assert relief.ended == {"owed": 1}
    assert (relief.owed, relief.most_owed) == (8 * 1024**2 + 101, 4 * 1024**2 + 1)


async def test_a_large_answer_that_is_taken_slowly_is_not_cut_off() -> None:
    scene = Scene(owing(50 * 1024**2))
    relief = scene.relief()
    for _ in range(20):
        await relief.look()
        scene.clients[0].owed_bytes -= 10_000
    assert scene.told == []
    scene.clients[0].owed_bytes += 10_000
    await relief.look()
    assert scene.told == scene.clients


async def test_a_client_may_be_owed_twice_what_one_answer_can_have() -> None:
    scene = Scene(owing(15 * 1024**2), limits=LimitSettings(burst=Bytes(8 * 1024**2)))
    relief = scene.relief()
    for _ in range(3):
        await relief.look()
    assert scene.told == []


async def test_of_all_together_those_go_who_are_owed_most_and_no_more_than_it_takes() -> None:
    limits = LimitSettings(owed_bytes_in_all=Bytes(1024**2))
    scene = Scene(owing(*(100_000 + number for number in range(15)), 0), limits=limits)
    await scene.relief().look()
    assert [client.owed_bytes for client in scene.told] == [100_010, 100_011, 100_012, 100_013, 100_014]
    assert {client.told.limit for client in scene.told if client.told} == {"owed_bytes_in_all"}


async def test_who_has_not_left_by_the_next_look_is_cut_off() -> None:
    scene = Scene(owing(10 * 1024**2, 5))
    relief = scene.relief()
    await relief.look()
    await relief.look()
    assert not scene.clients[0].is_cut
    await relief.look()
    assert [client.is_cut for client in scene.clients] == [True, False]


async def test_while_memory_is_short_nobody_is_let_in_and_as_many_of_the_worst_go_as_it_takes() -> None:
    scene = Scene(owing(*(1_000 * number for number in range(1, 41))), most=600_000)
    relief = scene.relief()
    with capture_logs() as log:
        await relief.look()
        assert (scene.pressed, scene.told) == ([True], [])  # nobody is known yet to be slow
        await relief.look()
        assert [client.owed_bytes // 1_000 for client in scene.told] == [34, 35, 36, 37, 38, 39, 40]
        scene.leave()
        for _ in range(3):
            await relief.look()
    assert scene.pressed == [True, False]
    assert (len(scene.clients), relief.ended) == (33, {"memory": 7})
    told = ["memory is short", "sessions ended for want of memory", "memory is no longer short"]
    assert [line["event"] for line in log] == told


async def test_never_more_go_at_once_than_a_part_of_those_who_could() -> None:
    scene = Scene(owing(*([1_000] * 40)), most=1_000)
    relief = scene.relief()
    await relief.look()
    rounds = []
    for _ in range(4):
        await relief.look()
        rounds.append(len(scene.told))
        scene.leave()
    assert rounds == [10, 0, 8, 0]


async def test_what_was_freed_is_given_back_before_anybody_goes() -> None:
    scene = Scene(owing(100, 200), most=1_000, garbage=2_000)
    relief = scene.relief()
    for _ in range(3):
        await relief.look()
    assert (scene.pressed, scene.told) == ([], [])


async def test_who_takes_what_it_is_sent_stays_however_short_memory_is() -> None:
    scene = Scene(owing(0, 0, 0), most=1_000, other=5_000)
    relief = scene.relief()
    for number in range(6):
        scene.clients[number % 3].owed_bytes = 500  # a burst that is gone by the next look
        scene.clients[(number + 2) % 3].owed_bytes = 0
        await relief.look()
    assert scene.told == []
    assert relief.problem == "memory is short: 0 MiB of 0 MiB (limits.memory), nobody is let in"


async def test_others_wait_until_those_who_go_have_gone() -> None:
    scene = Scene(owing(*([1_000] * 20)), most=1_000)
    relief = scene.relief()
    await relief.look()
    await relief.look()
    assert len(scene.told) == 5
    await relief.look()
    assert len(scene.told) == 5
    assert {client.is_cut for client in scene.told} == {True}


async def test_memory_that_is_only_just_enough_is_not_called_so_while_something_can_be_done() -> None:
    scene = Scene(owing(*([40] * 10)), most=1_000, other=700)
    relief = scene.relief()
    await relief.look()
    await relief.look()
    assert len(scene.told) == 3
    scene.leave()
    scene.other = 690
    await relief.look()
    await relief.look()
    assert (relief.pressed, len(scene.told)) == (True, 1)  # 970 is less than 1,000, and not much less
    scene.leave()
    for _ in range(2):
        await relief.look()
    assert scene.pressed == [True, False]
    assert len(scene.clients) == 6


async def test_where_nothing_can_be_done_just_enough_is_enough() -> None:
    scene = Scene([], most=1_000, other=1_001)
    relief = scene.relief()
    await relief.look()
    assert scene.pressed == [True]
    scene.other = 999
    await relief.look()
    assert scene.pressed == [True, False]
    assert relief.problem is None


async def test_without_a_limit_memory_is_never_short() -> None:
    scene = Scene(owing(1_000, 1_000), other=10**12)
    relief = scene.relief()
    for _ in range(3):
        await relief.look()
    assert (scene.told, scene.pressed, relief.memory) == ([], [], None)


async def test_it_looks_again_and_again(autojump_clock: object) -> None:  # noqa: ARG001 - it jumps
    scene = Scene([])
    relief = scene.relief()
    async with trio.open_nursery() as nursery:  # ends with the test
        await nursery.start(relief.run)
        scene.clients += owing(10 * 1024**2)
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert scene.clients[0].is_cut


@given(st.lists(st.integers(0, 8 * 1024**2), max_size=30), st.integers(1024**2, 64 * 1024**2))
def test_no_more_is_owed_in_the_end_than_may_be_and_no_one_goes_for_less(sizes: list[int], most: int) -> None:
    scene = Scene(owing(*sizes), limits=LimitSettings(owed_bytes_in_all=Bytes(most)))
    trio.run(scene.relief().look)
    staying = [client.owed_bytes for client in scene.clients if client.told is None]
    going = [client.owed_bytes for client in scene.told]
    assert sum(staying) <= most
    assert max(staying, default=0) <= min(going, default=8 * 1024**2)
    if going:
        assert sum(staying) + min(going) > most
