"""Copies of a process, which has loaded what they stand on. Real processes."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
import trio.testing

from appliance.loading.template import Copy, Template
from tests.alive import gone, is_alive, is_listed
from tests.anew import printed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE = 30
SERVE = """
import os, sys, time
sys.path[:] = sys.argv[1:]
from appliance.loading import copying
{before}
def work():
    {work}
    os._exit(0)
copying.serve(work, idle={idle})
"""
WHO = "print(os.getpid(), os.getppid(), os.getsid(0), *os.listdir('/proc/self/fd'), flush=True)"
FORKLESS = """
def fork():
    raise BlockingIOError(11, "too many")
os.fork = fork
"""
LINGER = f"{WHO}; sys.stdin.read()"
FOR_EVER = f"{WHO}; time.sleep(1000)"


def command(work: str, *, idle: float = 60, before: str = "") -> tuple[str, ...]:
    code = SERVE.format(work=work, idle=idle, before=before)
    return (sys.executable, "-I", "-c", code, *map(os.path.abspath, sys.path))


@attrs.define
class Copies:
    """Each is ended when the test has, and so is the template."""

    template: Template = attrs.field(factory=Template)
    made: list[Copy] = attrs.field(factory=list)

    async def make(self, *words: str) -> Copy:
        self.made.append(await self.template.copy(words, {}))
        return self.made[-1]


@pytest.fixture
async def copies() -> AsyncIterator[Copies]:
    copies = Copies()
    with trio.fail_after(PATIENCE):
        yield copies
        for copy in copies.made:
            await copy.end()
        if copies.template._running is not None:
            await copies.template._leave(copies.template._running)


async def line(copy: Copy) -> list[str]:
    """Read the words of a line that it writes."""
    told = b""
    while not told.endswith(b"\n"):
        told += await copy.stdout.receive_some()
    return told.decode().split()


def open_files() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


async def numbers(copy: Copy) -> tuple[int, int]:
    """Its number and that of its template."""
    own, parent, *_ = await line(copy)
    return int(own), int(parent)


async def test_a_copy_has_its_own_input_output_and_error(copies: Copies) -> None:
    copy = await copies.make(*command("print(sys.stdin.read().upper(), flush=True); 1 / 0"))
    await copy.stdin.send_all(b"text")
    await copy.stdin.aclose()
    assert await line(copy) == ["TEXT"]
    told = b"".join([part async for part in copy.stderr]).decode()
    assert told.startswith("Traceback")
    assert told.endswith("ZeroDivisionError: division by zero\n")
    await copy.wait()
    assert copy.status == 1


async def test_each_leads_a_session_and_has_no_files_of_others(copies: Copies) -> None:
    told = [await line(await copies.make(*command(FOR_EVER))) for _ in range(3)]
    for own, _, session, *files in told:
        assert own == session
        assert files == ["0", "1", "2", "3"]  # the last is of who looks
    assert len({parent for _, parent, *_ in told}) == 1


async def test_a_copy_that_ends_is_told_of_while_others_run(copies: Copies) -> None:
    first, second = [await copies.make(*command(LINGER)) for _ in range(2)]
    for copy, other in ((first, None), (second, 0)):
        await line(copy)
        await copy.stdin.aclose()
        assert await copy.stdout.receive_some() == b""
        await copy.wait()
        assert {first.status, second.status} == {0, other}


async def test_a_status_tells_of_a_signal(copies: Copies) -> None:
    copy = await copies.make(*command("os.kill(os.getpid(), 15); time.sleep(1000)"))
    await copy.wait()
    assert copy.status == -signal.SIGTERM


async def test_who_is_ended_is_so_with_all_that_it_has_started(copies: Copies) -> None:
    copy = await copies.make(*command("print(os.fork() or time.sleep(1000), flush=True); time.sleep(1000)"))
    [started] = map(int, await line(copy))
    assert is_alive(started)
    await copy.end()
    assert copy.status == -signal.SIGKILL
    await gone(started)


async def test_what_nobody_asks_ends_and_whoever_asks_then_is_served(copies: Copies) -> None:
    seen = set()
    for _ in range(3):
        copy = await copies.make(*command(FOR_EVER, idle=0.05))
        _, parent = await numbers(copy)
        await copy.end()
        await gone(parent, whole=True)
        seen.add(parent)
    assert len(seen) == 3


async def test_one_that_ends_while_it_is_asked_is_started_anew(copies: Copies) -> None:
    copy = await copies.make(*command(FOR_EVER))
    _, parent = await numbers(copy)
    os.kill(parent, signal.SIGSTOP)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_is_of_another, copies, parent, command(FOR_EVER))
        await trio.testing.wait_all_tasks_blocked()
        os.kill(parent, signal.SIGKILL)


async def test_of_another_command_is_another_one_and_who_is_of_the_one_before_goes_on(copies: Copies) -> None:
    before = await copies.make(*command(LINGER))
    own, parent = await numbers(before)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_is_of_another, copies, parent, command(FOR_EVER, idle=61))
        await trio.testing.wait_all_tasks_blocked()
        assert is_alive(own)
        await before.stdin.aclose()
    await before.wait()
    assert before.status == 0
    await gone(parent, whole=True)


async def _is_of_another(copies: Copies, parent: int, words: tuple[str, ...]) -> None:
    copy = await copies.make(*words)
    assert (await numbers(copy))[1] != parent


async def test_where_it_is_killed_its_copies_are_ended_from_here(copies: Copies) -> None:
    copy = await copies.make(*command(FOR_EVER))
    own, parent = await numbers(copy)
    os.kill(parent, signal.SIGKILL)
    await copy.wait()
    assert copy.status is None
    assert is_alive(own)
    await copy.end()
    await gone(own)


async def test_one_that_never_begins_is_told(copies: Copies) -> None:
    with pytest.raises(BrokenPipeError, match="ends by itself"):
        await copies.make(sys.executable, "-c", "pass")
    with pytest.raises(BlockingIOError):
        await copies.make(*command("pass", before=FORKLESS))
    with pytest.raises(FileNotFoundError):
        await copies.make("/nowhere/python")


async def test_who_does_not_wait_for_a_slow_one_leaves_nothing(copies: Copies, tmp_path: Path) -> None:
    number = tmp_path / "number"
    slow = f"import os, time; open({str(number)!r}, 'w').write(str(os.getpid())); time.sleep(1000)"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(copies.make, sys.executable, "-c", slow)
        while not (number.exists() and number.read_text()):  # noqa: ASYNC110 - another process writes it
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert not is_listed(int(number.read_text()))


async def test_one_that_answers_no_more_is_ended_by_who_waits_in_vain(copies: Copies) -> None:
    _, parent = await numbers(await copies.make(*command(FOR_EVER)))
    os.kill(parent, signal.SIGSTOP)
    with trio.move_on_after(0.1) as waiting:
        await copies.make(*command(FOR_EVER))
    assert waiting.cancelled_caught
    assert not is_listed(parent)
    await _is_of_another(copies, parent, command(FOR_EVER))


async def test_files_that_have_run_out_are_told_and_none_is_lost(
    copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    await line(await copies.make(*command(FOR_EVER)))
    before = open_files()
    pipe, left = os.pipe, iter(range(2))

    def scarce() -> tuple[int, int]:
        if next(left, None) is None:
            raise OSError(errno.EMFILE, "too many")
        return pipe()

    monkeypatch.setattr(os, "pipe", scarce)
    with pytest.raises(OSError, match="too many"):
        await copies.make(*command(FOR_EVER))
    assert open_files() == before


async def test_all_ends_with_who_asked() -> None:
    code = """
import os, sys, trio
from appliance.loading.template import Template
async def main():
    copy = await Template().copy(tuple(sys.argv[1:]), {})
    print(bytes(await copy.stdout.receive_some()).decode(), flush=True)
    os._exit(0)
trio.run(main)
"""
    own, parent, *_ = printed(code, *command(FOR_EVER)).split()
    await gone(int(own))
    await gone(int(parent))
