"""What a tape holds, what of the configuration stays when it is played, and playing it as a process."""

from __future__ import annotations

import json
import signal
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from appliance.cli import replaying
from appliance.cli.replaying import Replay, look
from appliance.cli.serving import Request
from appliance.core.errors import SourceError
from appliance.sources.tapes import lines
from tests.cli.newsroom import await_lines, replayed, told
from tests.cli.test_serving import OPEN, PATIENCE, write
from tests.sources.tapes.reels import START, numbered, on_tape, record, taped

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.cli.replaying import Content

ANYBODY = ("--set", 'listen=[{url="tcp://127.0.0.1:0", auth="none"}]')
OWN = """
[channels.price]
mode = "log"
history.count = 7
stale_after = "5s"

[channels.alerts]
keys = 5

[channels.fills]
source = "postgres"
table = "fills"
key = "symbol"
time = "at"
message = "fill"
"""


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    return record(tmp_path / "day.jsonl.gz", numbered(40, channels=("quotes", "fills")))


def looked(tape: Path, **told: Any) -> Content:
    return look(tape, told.pop("start", None), tell=told.pop("tell", print), count=print)


def test_what_is_on_a_tape_is_told(tape: Path) -> None:
    content = looked(tape)
    assert content.channels == {"quotes": 20, "fills": 20}
    assert str(content) == (
        "40 events from 2030-03-17T17:46:40.000Z to 2030-03-17T17:47:19.000Z of fills, quotes"
    )


def test_what_is_before_the_beginning_does_not_count(tape: Path) -> None:
    assert looked(tape, start=lines.moment(START + 39)).channels == {"fills": 1}


def test_what_the_appliance_tells_of_itself_is_not_played(tape: Path) -> None:
    record(tape, [taped(60, "system", "status"), taped(61, "no channel")])
    assert looked(tape).channels.keys() == {"quotes", "fills"}


def test_damage_is_told(tape: Path) -> None:
    with tape.open("ab") as file:
        file.write(b"torn")
    told: list[str] = []
    assert looked(tape, tell=told.append).channels.keys() == {"quotes", "fills"}
    assert told == [f"{tape}: 4 bytes from byte {tape.stat().st_size - 4} on were not finished"]


def test_a_tape_without_events_is_none(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no events that can be played: name another tape"):
        looked(record(tmp_path / "empty", []))


def asked(tmp_path: Path, text: str = OWN) -> dict[str, Any]:
    return {
        "file": write(tmp_path, text),
        "listen": (),
        "overrides": (),
        "state_dir": str(tmp_path / "state"),
        "environment": {},
    }


def test_only_the_tape_is_served(tmp_path: Path, tape: Path) -> None:
    words = asked(tmp_path)
    known = replaying.known(Request(**words))
    assert {"price", "signals", "alerts", "fills"} <= known.keys()
    request = Replay(
        **words,
        path=tape,
        speed=60.0,
        start=None,
        wait=2.0,
        loop=False,
        times="now",
        channels=frozenset({"price", "fills"}),
        known=known,
    )
    settings = request.load().settings
    enabled = {name: channel for name, channel in settings.channels.items() if channel.enabled}
    assert enabled.keys() == {"price", "fills"}
    assert known.keys() <= settings.channels.keys()
    assert settings.sources.keys() == {"tape"}
    assert settings.sources["tape"].options == {
        "file": str(tape),
        "speed": 60.0,
        "wait": 2.0,
        "loop": False,
        "times": "now",
    }
    price, fills = enabled["price"], enabled["fills"]
    assert (price.source, price.mode, price.history.count) == ("tape", "log", 7)
    assert price.stale_after is None  # between two events of a tape, silence is as it was
    assert (fills.source, fills.message, fills.options) == ("tape", "fill", {})
    assert settings.state_dir == str(tmp_path / "state" / "replay")


def read(port: int, topic: str) -> list[Any]:
    """The events of a topic that are kept, once the first is there."""
    url = f"http://127.0.0.1:{port}/api/v1/topics/{topic}/events?after=0&wait=30&times=true"
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        found: list[Any] = json.load(response)["data"]["events"]
    return found


def test_a_tape_is_played_with_its_times(tmp_path: Path, tape: Path) -> None:
    with replayed(tmp_path, tape, *ANYBODY, "--speed", "1000", "--wait", "100ms") as running:
        [address] = running.wait_for("serving")["listeners"]
        assert running.wait_for("tape has ended")["events"] == 40
        events = read(int(address.rpartition(":")[2]), "fills:BTC")
        running.send(signal.SIGINT)
        running.wait_for("stopped")
        assert running.status == 0
    assert [event["data"] for event in events] == [{"n": n} for n in range(1, 40, 2)]
    assert events[0]["at"] == "2030-03-17T17:46:41.000Z"


def test_it_begins_where_it_is_told_to(tmp_path: Path, tape: Path) -> None:
    options = ("--from", "2030-03-17T18:47:10+01:00", "--speed", "1000", "--wait", "0s")
    with replayed(tmp_path, tape, *ANYBODY, *options) as running:
        assert running.wait_for("tape has ended")["events"] == 10


def test_what_is_played_is_recorded_as_it_was(tmp_path: Path, tape: Path) -> None:
    again = tmp_path / "again.jsonl.gz"
    with replayed(tmp_path, tape, *ANYBODY, "--speed", "20", "--wait", "5s") as running:
        [address] = running.wait_for("serving")["listeners"]
        url = address.replace("tcp", "http")
        words = ("record", "--url", url, "--channels", "*", "--except", "system:*", "--every", "100ms")
        with told(*words, str(again)) as recorder:
            recorder.wait_for("recording")
            await_lines(again, 40)
            assert recorder.end(signal.SIGINT) == 0
    seen = ("channel", "key", "data", "at")
    assert [[line[name] for name in seen] for line in on_tape(again)] == [
        [line[name] for name in seen] for line in on_tape(tape)
    ]


def test_a_configuration_that_is_read_again_plays_on(tmp_path: Path, tape: Path) -> None:
    file = write(tmp_path, OPEN)
    with replayed(tmp_path, tape, "--config", str(file), "--speed", "10", "--wait", "0s") as running:
        running.wait_for("serving")
        write(tmp_path, f"{OPEN}[limits]\nsessions = 5\n")
        running.send(signal.SIGHUP)
        assert running.wait_for("configuration reloaded")["changed"] == ["limits.sessions"]
        assert running.wait_for("tape has ended")["events"] == 40


def test_a_mistake_in_the_configuration_stops_the_start(tmp_path: Path, tape: Path) -> None:
    with told("replay", str(tape), "--config", str(write(tmp_path, "[limits]\nsesions = 5\n"))) as command:
        assert command.ended() == 2
    assert any("limits.sesions" in line for line in command.lines)
