"""What is shown of a plugin that runs, and what of its conduct is told. The clock jumps, but where something blocks."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Protocol

import attrs
import pytest
from structlog.testing import capture_logs

from appliance.cli import stage
from appliance.core.errors import PluginError
from appliance.loading import bundle, files, plugin
from appliance.loading.lineup import Lineup
from appliance.settings.load import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from trio.testing import MockClock

    from appliance.loading.plugin import Origin, Plugin

PLUGIN = """\
import time
import msgspec
import trio
from appliance.api import Channel, Mode, hookimpl

class Row(msgspec.Struct):
    n: int

async def produce(feed, settings):
{body}

@hookimpl
def register_channels():
    return [Channel(name="mine", mode=Mode.LOG, message="mine", produce=produce, schema=Row{more})]
"""


@attrs.frozen
class Rehearsed:
    """What was told, and what was found wrong."""

    lines: list[str]
    mistakes: list[str]

    @property
    def events(self) -> list[str]:
        """The lines of events, without their times."""
        return [line.split(maxsplit=1)[1] for line in self.lines if line.startswith("  2")]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What the appliance logs beside is for the terminal."""
    with capture_logs():
        yield


class Rehearse(Protocol):
    async def __call__(
        self, body: str, *, more: str = "", seconds: float = 10, settings: tuple[str, ...] = ()
    ) -> Rehearsed: ...


@pytest.fixture
def loaded() -> Iterator[Callable[[Path, Origin], Plugin]]:
    """Loads plugins, and forgets them behind the test."""
    plugins: list[Plugin] = []

    def load_plugin(path: Path, origin: Origin) -> Plugin:
        plugins.append(plugin.load(bundle.read(path, most=1_000_000), origin=origin))
        return plugins[-1]

    yield load_plugin
    for each in plugins:
        each.forget()


@pytest.fixture
def rehearse(tmp_path: Path, loaded: Callable[[Path, Origin], Plugin]) -> Rehearse:
    """Runs the channel `mine`, whose producer has this body, beside some that are built in."""

    async def run(
        body: str, *, more: str = "", seconds: float = 10, settings: tuple[str, ...] = ()
    ) -> Rehearsed:
        file = tmp_path / "mine.py"
        file.write_text(PLUGIN.format(body=textwrap.indent(body, "    "), more=more))
        others = [files.builtin_folder() / f"{name}.py" for name in ("price", "simulated")]
        plugins = [*(loaded(path, "built-in") for path in others), loaded(file, "folder")]
        configuration = load(file=None, environment={}, overrides=settings)
        lineup = Lineup(configuration).first(plugins, faults=(), strict=True, warn=pytest.fail)
        lines: list[str] = []
        mistakes: list[str] = []
        try:
            await stage.run(lineup, plugins[-1], ["mine"], seconds=seconds, tell=lines.append)
        except PluginError as error:
            mistakes = str(error).replace(str(file), "mine.py").splitlines()
        return Rehearsed(lines, mistakes)

    return run


async def test_each_event_is_a_line_with_topic_offset_and_data(
    rehearse: Rehearse, autojump_clock: MockClock
) -> None:
    done = await rehearse(
        "async for beat in feed.every(4):\n    await feed.publish({'n': beat}, key='BTC')", seconds=10
    )
    assert done.events == ['mine:BTC  1  {"n":0}', 'mine:BTC  2  {"n":1}', 'mine:BTC  3  {"n":2}']
    assert re.fullmatch(r"  \d{4}-\d\d-\d\dT[\d:.]+Z  mine:BTC  1  .*", done.lines[1])
    assert done.lines[0] == "events of 10 s:"
    assert done.lines[-1] == "mine: 3 events, 0.3 a second"
    assert done.mistakes == []
    assert autojump_clock.current_time() == pytest.approx(10, abs=0.1)


async def test_an_event_is_shown_in_each_of_its_topics(rehearse: Rehearse, autojump_clock: MockClock) -> None:
    done = await rehearse(
        "await feed.publish({'n': 1}, key='BTC')\nawait trio.sleep_forever()",
        more=", route=lambda event, settings: ('all', event.key)",
    )
    assert done.events == ['mine:all  1  {"n":1}', 'mine:BTC  1  {"n":1}']
    assert done.lines[-1] == "mine: 1 event, 0.1 a second"
    assert autojump_clock.current_time() >= 10


async def test_long_data_is_shortened_and_shows_no_control_characters(
    rehearse: Rehearse, autojump_clock: MockClock
) -> None:
    done = await rehearse(
        "await feed.publish({'n': 1, 'text': chr(155) + 'x' * 200}, key='BTC')\nawait trio.sleep_forever()"
    )
    [event] = done.events
    assert re.fullmatch(r'mine:BTC  1  {"n":1,"text":"\ufffdx+…', event)
    assert len(event) < 120
    assert autojump_clock.current_time() >= 10


async def test_of_many_events_the_first_are_shown(rehearse: Rehearse, autojump_clock: MockClock) -> None:
    done = await rehearse(
        "async for _ in feed.every(20):\n    for n in range(150):\n"
        "        await feed.publish({'n': n}, key='BTC')"
    )
    assert len(done.events) == stage.MOST_LINES
    assert done.lines[-2:] == [f"  … and {150 - stage.MOST_LINES} more", "mine: 150 events, 15.0 a second"]
    assert autojump_clock.current_time() >= 10


async def test_built_in_channels_are_there_to_watch(rehearse: Rehearse, autojump_clock: MockClock) -> None:
    done = await rehearse(
        "async for event in feed.watch('price:BTC'):\n"
        "    await feed.publish({'n': 1, 'of': event.data['price']}, key=event.key)"
    )
    assert done.events[0].startswith('mine:BTC  1  {"n":1,"of":')
    assert {event.split()[0] for event in done.events} == {"mine:BTC"}
    assert autojump_clock.current_time() >= 10


async def test_a_producer_that_is_silent_may_just_need_longer(
    rehearse: Rehearse, autojump_clock: MockClock
) -> None:
    done = await rehearse("await trio.sleep_forever()")
    assert done.lines[-1] == "mine: nothing published in 10 s; `--seconds` gives it longer"
    assert done.mistakes == []
    assert autojump_clock.current_time() >= 10


async def test_times_that_cannot_be_meant_are_told(rehearse: Rehearse, autojump_clock: MockClock) -> None:
    done = await rehearse(
        "async for _ in feed.every(20):\n    await feed.publish({'n': 1}, key='BTC', at=time.time() * 1000)"
    )
    assert re.fullmatch(
        r"mine: its events are \+\d{13} s from now: `at` is in seconds since 1970", done.lines[-1]
    )
    assert autojump_clock.current_time() >= 10


@pytest.mark.parametrize(
    ("body", "mistake"),
    [
        ("raise OSError('no line')", r"mine\.py:10: OSError: no line"),
        ("1 / 0", r"mine\.py:10: ZeroDivisionError: division by zero"),
        ("exit(3)", r"mine\.py:10: SystemExit: 3: a plugin must not end the process"),
        (
            "feed.declare('BTC')",
            r"mine\.py:9: the producer of `mine` returned: it must run until it is cancelled, as .*",
        ),
        (
            "await feed.publish({'n': 'one'}, key='BTC')",
            r"mine\.py:10: PublishError: mine: the event of 'BTC' does not fit its schema: data\.n .*",
        ),
        (
            "await feed.publish({'n': 1}, key='B TC')",
            r"mine\.py:10: PublishError: mine: 'B TC' is no key: .*",
        ),
        (
            (
                "async with trio.open_nursery() as nursery:\n"
                "    async def read():\n        raise LookupError('no row')\n    nursery.start_soon(read)"
            ),
            r"mine\.py:12: LookupError: no row",
        ),
    ],
)
async def test_what_a_producer_does_wrong_is_told_once_with_its_line(
    rehearse: Rehearse, autojump_clock: MockClock, body: str, mistake: str
) -> None:
    done = await rehearse(body)
    assert len(done.mistakes) == 1
    assert re.fullmatch(mistake, done.mistakes[0])
    assert autojump_clock.current_time() >= 10


async def test_one_that_blocks_is_interrupted_and_its_line_told(rehearse: Rehearse) -> None:
    done = await rehearse(
        "while True:\n    pass", seconds=0.1, settings=("producers.blocked=100ms", "restart.first=60s")
    )
    assert len(done.mistakes) == 1
    assert re.fullmatch(
        r"mine\.py:1[01]: kept the loop to itself for .* s: wait with trio, or .*", done.mistakes[0]
    )


async def test_one_that_floods_is_told_the_bound(rehearse: Rehearse) -> None:
    done = await rehearse(
        "while True:\n    await feed.publish({'n': 1}, key='BTC')",
        seconds=0.3,
        settings=("producers.events_per_second=100",),
    )
    [mistake] = done.mistakes
    assert mistake.startswith(
        "mine.py: channel `mine` publishes more than 100 events a second (producers.events_per_second) and is made to"
    )
