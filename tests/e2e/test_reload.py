"""SIGHUP: what can change is taken over without dropping a client, and a bad file changes nothing."""

from __future__ import annotations

import contextlib
import json
import signal
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from websockets.exceptions import ConnectionClosed

from tests.e2e.honest import Witnesses
from tests.e2e.running import PATIENCE, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from websockets.sync.client import ClientConnection

    from tests.e2e.conftest import Start
    from tests.e2e.running import Running

ALICE = f"alice-{SECRET}"
BOB = f"bob-{SECRET}"

CARL = f"carl-{SECRET}"
"""Of the honest client, who is to notice nothing."""

COMMON = f"""
[[listen]]
url = "tls://127.0.0.1:0"

[sources.simulated]
interval = "50ms"

[[auth.keys]]
name = "carl"
key = "{CARL}"
"""


def keys(**owners: str) -> str:
    return "".join(f'[[auth.keys]]\nname = "{name}"\nkey = "{key}"\n' for name, key in owners.items())


@attrs.frozen
class Reloaded:
    """An appliance with an honest client of carl's, and its file."""

    running: Running
    file: Path
    witnesses: Witnesses

    def reload(self, text: str, event: str = "configuration reloaded", *, above: str = "") -> dict[str, Any]:
        """Write the file anew, and give the line that tells what became of it."""
        self.file.write_text(above + COMMON + text)
        before = self.running.tell(signal.SIGHUP)
        line = self.running.wait_for(event, after=before)
        self.witnesses.go_on()
        return line

    def answer_of(self, key: str) -> int:
        return self.running.get("/ws/stats", key=key)[0]


@pytest.fixture(scope="module")
def shared(start_shared: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reloaded]:
    file = tmp_path_factory.mktemp("reloaded") / "appliance.toml"
    file.write_text(COMMON + keys(alice=ALICE))
    running = start_shared("--config", str(file), key=CARL)
    with Witnesses.of(running, 1) as witnesses:
        yield Reloaded(running, file, witnesses)


@pytest.fixture
def reloaded(shared: Reloaded) -> Iterator[Reloaded]:
    """The same for all tests, with the file that it was started with."""
    shared.reload(keys(alice=ALICE))
    yield shared
    shared.witnesses.go_on()


def test_keys_come_and_go(reloaded: Reloaded) -> None:
    assert (reloaded.answer_of(ALICE), reloaded.answer_of(BOB)) == (200, 401)

    with reloaded.running.connect(key=ALICE) as open_before:
        line = reloaded.reload(keys(bob=BOB))
        assert line["changed"]
        assert "has been taken back" in _last_words(open_before)
    assert (reloaded.answer_of(ALICE), reloaded.answer_of(BOB)) == (401, 200)
    with reloaded.running.connect(key=ALICE) as late:
        assert "INVALID_TOKEN" in late.recv(PATIENCE)
    with reloaded.running.connect(key=BOB) as new:
        new.send('{"type": "ping"}')
        assert "pong" in new.recv(PATIENCE)


def _last_words(client: ClientConnection) -> str:
    """Give the last message before the session was closed."""
    text = ""
    with contextlib.suppress(ConnectionClosed):
        while True:
            text = str(client.recv(PATIENCE))
    return text


def test_a_key_file_with_another_key_is_read(reloaded: Reloaded, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.touch(0o600)
    entry = f'[[auth.keys]]\nname = "alice"\nkey_file = "{file}"\n'
    file.write_text(ALICE)
    reloaded.reload(entry)
    assert reloaded.answer_of(ALICE) == 200

    file.write_text(BOB)
    reloaded.reload(entry)

    assert (reloaded.answer_of(ALICE), reloaded.answer_of(BOB)) == (401, 200)


def test_limits_hold_for_open_sessions_too(reloaded: Reloaded) -> None:
    asked = json.dumps({"type": "subscribe", "channels": ["price:BTC", "price:ETH"]})
    with reloaded.running.connect() as open_before:
        reloaded.reload(keys(alice=ALICE) + "[limits]\nsubscriptions = 1\n")

        open_before.send(asked)

        assert "limits.subscriptions" in open_before.recv(PATIENCE)


def test_the_log_level_changes(reloaded: Reloaded) -> None:
    running = reloaded.running
    reloaded.reload(keys(alice=ALICE) + '[log]\nlevel = "debug"\n')
    with running.connect(f"/ws?token=wrong-{SECRET}", key=""):
        pass
    with pytest.raises(Exception, match="404"), running.connect("/nowhere"):
        pass
    running.wait_for("connection refused", why="unknown_path")

    reloaded.file.write_text(COMMON + keys(alice=ALICE) + '[log]\nlevel = "warning"\n')
    before = running.tell(signal.SIGHUP)
    with running.connect():
        pass
    reloaded.reload(keys(alice=ALICE))
    with running.connect():
        pass
    running.wait_for("session opened", after=before)

    levels = {line["level"] for line in running.log[before:]}
    assert "debug" not in levels


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[limits]\nsesions = 1\n", "limits.sesions"),
        ("[limits\n", "is not TOML"),
        ("[channels.prise]\n", "channels.prise"),
        ('[sources.simulated]\nintervall = "1s"\n', "simulated"),
        ('[[auth.keys]]\nname = "eve"\nkey = "with a space"\n', "auth.keys[2].key"),
    ],
    ids=["unknown key", "no TOML", "unknown channel", "twice", "a key that nobody can show"],
)
def test_a_bad_file_is_refused_whole(reloaded: Reloaded, text: str, mistake: str) -> None:
    line = reloaded.reload(keys(bob=BOB) + text, "configuration refused, the one before stays")

    assert mistake in "\n".join(line["mistakes"])
    assert (reloaded.answer_of(ALICE), reloaded.answer_of(BOB)) == (200, 401)


def test_a_file_that_nobody_foresaw_is_refused(reloaded: Reloaded) -> None:
    reloaded.reload(
        keys(bob=BOB),
        "configuration refused, the one before stays",
        above='plugins_dir = ["a\\u0000b"]\n',
    )

    assert (reloaded.answer_of(ALICE), reloaded.answer_of(BOB)) == (200, 401)


def test_a_key_file_for_everyone_is_warned_of(reloaded: Reloaded, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(ALICE)
    file.chmod(0o644)
    before = len(reloaded.running.log)

    reloaded.reload(f'[[auth.keys]]\nname = "alice"\nkey_file = "{file}"\n')

    assert str(file) in reloaded.running.wait_for("configuration", after=before)["warning"]


def test_a_missing_file_is_refused(reloaded: Reloaded) -> None:
    reloaded.file.unlink()
    before = reloaded.running.tell(signal.SIGHUP)

    line = reloaded.running.wait_for("configuration refused, the one before stays", after=before)

    assert "No such file" in line["mistakes"][0]
    assert reloaded.answer_of(ALICE) == 200


def test_what_needs_a_restart_is_named(reloaded: Reloaded) -> None:
    text = keys(bob=BOB) + '[heartbeat]\ninterval = "7s"\n[channels.trades]\nenabled = false\n'

    line = reloaded.reload(text, "some changes wait for a restart")

    assert line["level"] == "warning"
    assert "heartbeat.interval" in line["settings"]
    assert not any(setting.startswith("channels.") for setting in line["settings"])
    assert reloaded.answer_of(BOB) == 200
