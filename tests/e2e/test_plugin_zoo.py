"""Bad plugins, dropped into a running appliance: each is told of with its file and remedy, and no other channel minds.

An endless loop, or a call that blocks, keeps the loop for `producers.blocked`; then it is interrupted where it stands.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs
import pytest
from click.testing import CliRunner

from appliance.cli.main import cli
from tests.e2e import running as processes
from tests.e2e.dropped import Dropped, make_folder
from tests.e2e.honest import Witnesses
from tests.e2e.running import ANY_PORT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.conftest import Invoke, Start

HEAD = """
import time
import msgspec
import trio
from appliance.api import Channel, Mode, hookimpl, {also}

"""
FOOT = """
CHANNEL = Channel(name="{name}", mode=Mode.LOG, message="zoo", topics=("all",), produce=produce{more})

@hookimpl
def register_channels():
    return [CHANNEL]
"""
GOOD = "    async for beat in feed.every(0.1):\n        await feed.publish({'n': beat}, key='all')\n"

SETTINGS = (
    "plugins.settle=20ms",
    "plugins.look_every=500ms",
    "plugins.check_within=2s",
    "producers.blocked=200ms",
    "producers.stop_within=300ms",
    "producers.events_per_second=5000",
    "producers.offences=3",
    "restart.first=50ms",
    "restart.most=100ms",
    "sources.simulated.interval=50ms",
    'sources.simulated.symbols=["BTC", "ETH", "SOL", "ADA"]',
    *(f"channels.{unseen}.enabled=false" for unseen in ("alerts", "scores", "drift")),
)


def plugin(name: str, body: str, *, before: str = "", more: str = "") -> str:
    """Give a plugin of a channel whose producer does this."""
    produce = f"\nasync def produce(feed, settings):\n{body}"
    return HEAD.format(also="Event") + before + produce + FOOT.format(name=name, more=more)


@attrs.frozen
class Refused:
    """A plugin that is not taken up. `text` stands in it, `says` in what the appliance says of it."""

    text: str
    says: tuple[str, ...]


@attrs.frozen
class Contained:
    """A plugin that is taken up, and whose code fails: a line of the log with this event says so, with these words."""

    text: str
    event: str
    says: tuple[str, ...]
    quarantined: bool = False


REFUSED = {
    "import_error": Refused(
        plugin("import_error", GOOD, before="import nowhere_to_be_found\n"),
        (":7: ModuleNotFoundError: No module named 'nowhere_to_be_found'",),
    ),
    "syntax_error": Refused(plugin("syntax_error", "    async for beat feed\n"), (":9: ", "syntax")),
    "loops_at_import": Refused(
        plugin("loops_at_import", GOOD, before="while True:\n    pass\n"),
        ("is not imported within 2 s (plugins.check_within)", "belongs into `produce`"),
    ),
    "wrong_settings": Refused(
        plugin(
            "wrong_settings",
            GOOD,
            before="import attrs\n\n@attrs.frozen\nclass Settings:\n    size: int\n",
            more=", Settings=Settings",
        ),
        ("channels.wrong_settings.size",),
    ),
    "same_name": Refused(plugin("price", GOOD), ("'price' is already registered by", "rename one of them")),
    "misspelt_hook": Refused(
        plugin("misspelt_hook", GOOD) + "\n@hookimpl\ndef register_chanels():\n    return []\n",
        ("register_chanels", "register_channels"),
    ),
}

CONTAINED = {
    "loops": Contained(
        plugin("loops", "    while True:\n        pass\n"),
        "producer misbehaves",
        ("blocks the loop", "loops.py:9", "feed.blocking"),
        quarantined=True,
    ),
    "sleeps": Contained(
        plugin("sleeps", "    while True:\n        time.sleep(600)\n"),
        "producer misbehaves",
        ("blocks the loop", "sleeps.py:10", "feed.blocking"),
        quarantined=True,
    ),
    "raises_at_once": Contained(
        plugin("raises_at_once", "    raise RuntimeError('no luck')\n"),
        "producer failed",
        ("raises_at_once.py", "RuntimeError: no luck", '"lineno": 9'),
    ),
    "breaks_its_schema": Contained(
        plugin(
            "breaks_its_schema",
            "    await feed.publish({'n': 'one'}, key='all')\n",
            before="class Row(msgspec.Struct):\n    n: int\n",
            more=", schema=Row",
        ),
        "producer failed",
        ("breaks_its_schema.py", "does not fit its schema", "n"),
    ),
    "floods": Contained(
        plugin(
            "floods",
            "    async for _ in feed.every(0.1):\n        for n in range(10_000):\n"
            "            await feed.publish({'n': n}, key='all')\n",
        ),
        "producer misbehaves",
        ("floods.py", "floods", "let it publish less, or raise producers.events_per_second"),
        quarantined=True,
    ),
    "publishes_elsewhere": Contained(
        plugin("publishes_elsewhere", "    await feed.publish({'price': 0}, key='all', channel='price')\n"),
        "producer failed",
        ("publishes_elsewhere.py", "channel"),
    ),
    "turns_into_another": Contained(
        plugin("turns_into_another", GOOD)
        + "\n@hookimpl\ndef transform(event):\n"
        + "    if event.channel == 'turns_into_another':\n"
        + "        return Event('price', 'BTC', {'price': 0}, event.at)\n",
        "hook failed",
        ("turns_into_another.py", "transform", "which is no event of turns_into_another"),
    ),
}

STUBBORN = plugin(
    "stubborn",
    "    with trio.CancelScope(shield=True, deadline=trio.current_time() + 10):\n"
    "        async for beat in feed.every(0.05):\n"
    "            try:\n"
    "                await feed.publish({'n': beat}, key='all')\n"
    "            except Exception:\n"
    "                await trio.sleep(0.05)\n",
)


@pytest.fixture(scope="module")
def zoo(zipapp: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dropped]:
    folder = make_folder(tmp_path_factory.mktemp("zoo") / "plugins")
    words = [word for setting in (*SETTINGS, f'plugins_dir=["{folder}"]') for word in ("--set", setting)]
    running = processes.start(zipapp, "--listen", ANY_PORT, *words, state=folder.parent / "state")
    yield Dropped(running, folder)
    running.kill()


@pytest.fixture(scope="module")
def visitors(zoo: Dropped) -> Iterator[Witnesses]:
    with Witnesses.of(zoo.running, count=1) as visitors:
        yield visitors


def entry(told: str, zoo: Dropped, name: str) -> dict[str, object]:
    """Give what `appliance plugins list` told of a file."""
    [found] = [each for each in json.loads(told)["plugins"] if each["file"] == str(zoo.path(name))]
    entry: dict[str, object] = found
    return entry


def list_words(zoo: Dropped) -> tuple[str, ...]:
    return ("plugins", "list", "--json", "--state-dir", str(zoo.running.state))


def listed(zoo: Dropped, name: str) -> dict[str, object]:
    """Ask in this process; the built file is asked of who is in quarantine."""
    told = CliRunner().invoke(cli, list_words(zoo))
    assert told.exit_code == 0, told.output
    return entry(told.stdout, zoo, name)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_loaded_is_refused(name: str, zoo: Dropped, visitors: Witnesses) -> None:
    zoo.write(name, REFUSED[name].text)
    visitors.go_on(100)  # while it is examined
    state = zoo.wait_for_state(name, lambda state: state is not None and state.state == "refused")
    assert state is not None
    for text in (state.error, zoo.refusal(name)["error"], str(listed(zoo, name)["error"])):
        assert [said for said in (str(zoo.path(name)), *REFUSED[name].says) if said not in text] == []
    assert "correct it" in zoo.refusal(name)["remedy"]
    status, statistics = zoo.running.get("/ws/stats")
    assert status == 200
    assert [each["error"] for each in statistics["plugins"] if each["name"] == name] == [state.error]
    visitors.go_on(100)
    zoo.remove(name)


def test_what_does_not_stop_is_cut_off_and_another_takes_its_place(zoo: Dropped, visitors: Witnesses) -> None:
    before = zoo.load("stubborn", STUBBORN)
    zoo.change("stubborn", plugin("stubborn", GOOD))
    told = zoo.running.wait_for("producer does not stop", after=before, channel="stubborn")
    assert told["file"] == str(zoo.path("stubborn"))
    assert "trio.Cancelled" in told["remedy"]
    visitors.go_on(100)
    zoo.remove("stubborn")
    visitors.go_on(100)


@pytest.mark.parametrize("name", CONTAINED)
def test_what_a_producer_does_is_contained(
    name: str, zoo: Dropped, visitors: Witnesses, invoke: Invoke
) -> None:
    bad = CONTAINED[name]
    before = zoo.load(name, bad.text)
    told = zoo.running.wait_for(bad.event, after=before, file=str(zoo.path(name)))
    assert [said for said in (str(zoo.path(name)), *bad.says) if said not in json.dumps(told)] == []
    visitors.go_on(100)  # while it is at it, again and again
    if bad.quarantined:
        ended = zoo.running.wait_for("producer quarantined", after=before, channel=name)
        assert ended["file"] == str(zoo.path(name))
        assert "it starts again when its file changes" in ended["remedy"]
        zoo.wait_for_state(name, lambda state: state is not None and state.state == "quarantined")
        told_of_all = invoke(*list_words(zoo))
        assert told_of_all.returncode == 0, told_of_all.stderr
        assert entry(told_of_all.stdout, zoo, name)["state"] == "quarantined"
        visitors.go_on(100)
        zoo.change(name, plugin(name, GOOD))
        assert listed(zoo, name)["channels"] == [name]
    zoo.remove(name)
    visitors.go_on(100)


def test_the_appliance_stops_in_order_after_all_that(zoo: Dropped, visitors: Witnesses) -> None:
    visitors.missed_nothing()
    assert zoo.running.errors() == {}
    assert zoo.running.stop() == 0


def test_one_that_shields_itself_for_ever_does_not_keep_the_appliance_from_stopping(
    start: Start, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "plugins")
    text = STUBBORN.replace(", deadline=trio.current_time() + 10", "")
    assert text != STUBBORN
    (folder / "stubborn.py").write_text(text)
    (folder / "stubborn.py").chmod(0o644)
    running = start("--set", f'plugins_dir=["{folder}"]', "--set", "stop.deadline=1s")
    running.wait_for("serving")

    assert running.stop() == 1
    running.wait_for("stopped by force")
