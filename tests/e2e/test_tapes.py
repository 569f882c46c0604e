"""Tapes made and played by the built file: what is on them is what was streamed, byte for byte, and outlives kills."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from appliance.sources.tapes.lines import Taped
from appliance.sources.tapes.reading import read
from tests.e2e.running import ANY_PORT, PATIENCE, Running, command, run, surroundings
from tests.sources.tapes.reels import on_tape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.e2e.conftest import Start

NAMES = ("price:*", "predictions:*", "market:*", "portfolio:*", "signals:all", "alerts:all", "trades:*")
"""All that the built-in channels publish, each event once, but for `trades:all`."""
EVERY = ("--every", "200ms")
SYMBOLS = ["BTC", "ETH", "SOL", "ADA", "AAPL", "MSFT", *(f"COIN{number}" for number in range(24))]
LIVELY = (
    *("--set", f"sources.simulated.symbols={SYMBOLS}"),
    *("--set", "sources.simulated.interval=250ms"),
    *("--set", "channels.signals.high=0.5"),
)
"""Four ticks a second, and modest demands on a high signal: much comes soon."""


def source(appliance: Running, names: Iterable[str] = NAMES) -> tuple[str, ...]:
    """The words that record what an appliance publishes."""
    return (
        *("record", "--url", appliance.https_url, "--key-file", str(appliance.state / "api_key")),
        *("--cacert", str(appliance.certificate), "--channels", ",".join(names), "--except", "trades:all"),
    )


@contextlib.contextmanager
def process(zipapp: Path, *words: str, state: Path) -> Iterator[Running]:
    """Run a command of the built file until the block ends."""
    started = subprocess.Popen(
        [*command(zipapp), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=surroundings(zipapp),
    )
    running = Running(started, state)
    running.follow()
    try:
        yield running
    finally:
        running.kill()


@contextlib.contextmanager
def replaying(
    zipapp: Path, tape: Path, *words: str, state: Path, listen: str = ANY_PORT
) -> Iterator[Running]:
    """Play a tape until the block ends."""
    own = ("--state-dir", str(state), "--listen", listen)
    with process(zipapp, "replay", str(tape), *own, *words, state=state / "replay") as running:
        running.addresses = tuple(running.wait_for("serving")["listeners"])
        yield running


@contextlib.contextmanager
def recording(
    zipapp: Path, appliance: Running, tape: Path, *words: str, names: Iterable[str] = NAMES
) -> Iterator[Running]:
    """Record an appliance until the block ends."""
    all_words = (*source(appliance, names), *EVERY, *words, str(tape))
    with process(zipapp, *all_words, state=tape.parent) as running:
        running.wait_for(f"recording {', '.join(names)} from {appliance.https_url}")
        yield running


def events(tape: Path) -> list[Taped]:
    return [found for found in read(tape) if isinstance(found, Taped)] if tape.exists() else []


def await_events(tape: Path, count: int) -> list[Taped]:
    deadline = time.monotonic() + PATIENCE
    while len(found := events(tape)) < count:
        assert time.monotonic() < deadline, f"{tape} has {len(found)} events of {count}"
        time.sleep(0.1)
    return found


def names_on(tape: Path) -> list[str]:
    """What of the names is on a tape: trades and alerts are rare."""
    channels = {taped.channel for taped in events(tape)}
    return [name for name in NAMES if name.partition(":")[0] in channels]


def by_topic(tape: Path) -> dict[str | None, list[bytes]]:
    found: dict[str | None, list[bytes]] = defaultdict(list)
    for taped in events(tape):
        found[taped.topic].append(bytes(taped.data))
    return found


@pytest.fixture(scope="module")
def tape(zipapp: Path, start_shared: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few seconds of all built-in channels."""
    path = tmp_path_factory.mktemp("tape") / "day.jsonl.gz"
    appliance = start_shared(*LIVELY)
    done = run(zipapp, *source(appliance), "--for", "6s", str(path))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert appliance.stop() == 0
    return path


@pytest.mark.parametrize("speed", ["5", "max"])
def test_what_is_played_is_what_was_recorded(zipapp: Path, tape: Path, tmp_path: Path, speed: str) -> None:
    again = tmp_path / "again.jsonl.gz"
    original = by_topic(tape)
    assert len(original) > 60
    with (
        replaying(zipapp, tape, "--speed", speed, "--wait", "10s", state=tmp_path / "state") as player,
        recording(zipapp, player, again, names=names_on(tape)) as recorder,
    ):
        player.wait_for("tape has ended", events=len(events(tape)))
        await_events(again, len(events(tape)))
        assert recorder.stop(signal.SIGINT) == 0
        assert player.stop() == 0
    played = by_topic(again)
    assert played.keys() == original.keys()
    assert [topic for topic, data in played.items() if data != original[topic]] == []


def test_a_killed_recorder_leaves_what_was_written(start: Start, zipapp: Path, tmp_path: Path) -> None:
    lively = start(*LIVELY)
    tape = tmp_path / "day.jsonl.gz"
    kept = 0
    for wait in (0.0, 0.11, 0.23):
        with recording(zipapp, lively, tape, *(["--append"] if kept else [])) as recorder:
            before = len(await_events(tape, kept + 50))
            time.sleep(wait)  # so that the kills are not all behind a write
            recorder.kill()
        assert len(events(tape)) >= before
        kept = len(events(tape))
    with recording(zipapp, lively, tape, "--append") as recorder:
        await_events(tape, kept + 50)
        assert recorder.stop(signal.SIGINT) == 0
    places: dict[str, int] = {}
    for line in on_tape(tape):
        assert line["offset"] > places.get(line["topic"], 0)
        places[line["topic"]] = line["offset"]


def test_a_killed_player_leaves_a_tape_that_tells_of_its_gaps(
    zipapp: Path, tape: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.jsonl.gz"
    state = tmp_path / "state"
    with contextlib.ExitStack() as outlasting:
        with replaying(zipapp, tape, "--wait", "5s", state=state) as player:
            recorder = outlasting.enter_context(recording(zipapp, player, again, names=names_on(tape)))
            before = len(await_events(again, 50))
            player.kill()
        with replaying(zipapp, tape, "--wait", "0s", state=state, listen=player.addresses[0]) as player:
            player.wait_for("tape has ended")
            await_events(again, before + 50)
            assert recorder.stop(signal.SIGINT) == 3
    told = [line["event"] for line in recorder.log]
    assert any(text.startswith("gap in ") for text in told)
    assert told[-1].startswith("the tape has ")
    assert len(on_tape(again)) == len(events(again))


def test_an_appliance_that_records_itself_goes_on_with_its_tape_after_a_kill(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "tapes"
    told = {"source": "record", "folder": str(folder), "every": "200ms"}
    settings = [word for name, value in told.items() for word in ("--set", f"channels.tape.{name}={value}")]
    kept = 0
    for ending in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        appliance = start("--set", "sources.simulated.interval=100ms", *settings)
        deadline = time.monotonic() + PATIENCE
        while sum(len(events(tape)) for tape in folder.glob("*")) < kept + 100:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        appliance.stop(ending)
        found = sum(len(events(tape)) for tape in folder.glob("*"))
        assert found >= kept + 100
        kept = found
    lines = [line for tape in folder.glob("tape-*.jsonl.gz") for line in on_tape(tape)]
    assert len(lines) == kept
    assert {"price", "predictions", "market"} <= {line["channel"] for line in lines}
    assert list(lines[0]) == ["received", "at", "channel", "key", "data"]
