"""Recording, as a process, from an appliance that is another one: it is killed, comes back, and ends."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Any

import pytest

from appliance.cli import taping
from appliance.cli.listening import Lost, Target
from appliance.cli.taping import WITH_GAPS, Request
from appliance.core.errors import StoreError
from tests.cli.newsroom import Newsroom, await_lines, told
from tests.cli.test_serving import PATIENCE
from tests.sources.tapes.reels import on_tape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newsroom]:
    """One that goes on for all tests that only record from it."""
    room = Newsroom(tmp_path_factory.mktemp("room"))
    with room.open(most=10 * PATIENCE):
        yield room


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    return tmp_path / "day.jsonl.gz"


def numbered(numbers: Iterable[int]) -> list[dict[str, Any]]:
    return [{"n": number} for number in numbers]


def data(tape: Path) -> list[Any]:
    return [line["data"] for line in on_tape(tape)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_records_until_it_is_told_to_stop(shared: Newsroom, tape: Path, number: signal.Signals) -> None:
    before = shared.published
    with told(*shared.recorded, str(tape)) as recorder:
        assert recorder.wait_for("recording") == f"recording fills:* from {shared.url}"
        shared.publish(7)
        await_lines(tape, 7)
        assert recorder.end(number) == 0
    assert recorder.lines[1:] == [f"{tape}: 7 events of 1 topics, {tape.stat().st_size:,} bytes"]
    assert data(tape) == numbered(range(before, before + 7))
    first = on_tape(tape)[0]
    assert (first["channel"], first["key"], first["topic"]) == ("fills", "BTC", "fills:BTC")
    assert [line["offset"] for line in on_tape(tape)] == list(range(before + 1, before + 8))


def test_it_goes_on_behind_a_kill_of_the_appliance(tmp_path: Path, tape: Path) -> None:
    room = Newsroom(tmp_path, durable=True)
    with contextlib.ExitStack() as outlasting:
        with room.open():
            room.publish(3)
            recorder = outlasting.enter_context(told(*room.recorded, str(tape)))
            recorder.wait_for("recording")
            room.publish(5)
            await_lines(tape, 5)
        recorder.wait_for("; again in ")
        with room.open():
            room.publish(4)
            recorder.wait_for("recording")
            room.publish(3)
            await_lines(tape, 12)
            assert recorder.end(signal.SIGINT) == 0
    assert data(tape) == numbered(range(3, 15))
    assert [line for line in recorder.lines if "gap" in line] == []


def test_what_nobody_can_tell_of_is_a_gap(tmp_path: Path, tape: Path) -> None:
    room = Newsroom(tmp_path)
    with contextlib.ExitStack() as outlasting:
        with room.open():
            recorder = outlasting.enter_context(told(*room.recorded, str(tape)))
            recorder.wait_for("recording")
            room.publish(2)
            await_lines(tape, 2)
        recorder.wait_for("; again in ")
        with room.open():
            room.publish(2)
            recorder.wait_for("recording")
            room.publish(2)
            await_lines(tape, 6)
            assert recorder.end(signal.SIGINT) == WITH_GAPS
    assert data(tape) == numbered(range(6))
    [gap] = [line for line in recorder.lines if line.startswith("gap")]
    assert gap == "gap in fills:BTC: whether events are missing, and how many, is not known"
    assert recorder.lines[-1] == "the tape has 1 gap"


def test_it_appends_behind_a_torn_end(shared: Newsroom, tape: Path) -> None:
    before = shared.published
    with told(*shared.recorded, str(tape)) as recorder:
        recorder.wait_for("recording")
        shared.publish(3)
        await_lines(tape, 3)
        assert recorder.end(signal.SIGKILL) == -signal.SIGKILL
    with tape.open("ab") as file:
        file.write(tape.read_bytes()[:-7])
    torn = tape.stat().st_size // 2 - 3
    with told(*shared.recorded, "--append", str(tape)) as recorder:
        cut = recorder.wait_for("cut off")
        recorder.wait_for("recording")
        shared.publish(3)
        await_lines(tape, 6)
        assert recorder.end(signal.SIGINT) == 0
    assert cut == f"{tape}: {torn} bytes at its end were not finished, and are cut off"
    assert data(tape) == numbered(range(before, before + 6))


def here(room: Newsroom, tape: Path, **options: Any) -> int:
    """Record in this process."""
    target = Target.at(room.url, key="sk_of_the_desk", certificate=room.certificate)
    request = Request(target=target, names=("fills:*",), path=tape, **options)
    return taping.record(request, tell=print, count=print)


def test_a_tape_that_is_there_is_left_as_it_is(shared: Newsroom, tape: Path) -> None:
    tape.write_text("precious")
    with pytest.raises(StoreError, match="is there already"):
        here(shared, tape, seconds=60)
    assert tape.read_text() == "precious"


def test_it_ends_when_it_is_time(shared: Newsroom, tape: Path) -> None:
    assert here(shared, tape, seconds=0.5) == 0
    assert data(tape) == []


def test_to_connect_takes_none_of_the_time(shared: Newsroom, tape: Path) -> None:
    assert here(shared, tape, seconds=1e-6) == 0
    assert data(tape) == []


def test_an_appliance_that_was_never_heard_leaves_no_tape(tmp_path: Path, tape: Path) -> None:
    room = Newsroom(tmp_path)
    with room.open():
        pass
    with pytest.raises(Lost, match="cannot be reached"):
        here(room, tape)
    assert not tape.exists()
