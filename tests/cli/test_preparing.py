"""What a start needs of the machine."""

from __future__ import annotations

import datetime as dt
import socket
from typing import TYPE_CHECKING

import pytest

from appliance.access.keyring import Terms
from appliance.cli import preparing
from appliance.core.errors import StartError
from appliance.ops.activation import Passed
from appliance.ops.state import open_state
from appliance.settings.address import Address
from appliance.settings.load import load

if TYPE_CHECKING:
    from pathlib import Path

FREE = Address.parse("tcp://127.0.0.1:0")


def test_what_was_passed_is_used_and_the_rest_is_opened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as passed:
        port = passed.getsockname()[1]
        first, second = preparing.sockets(
            [FREE, Address.parse(f"tls://127.0.0.1:{port}")], [Passed(passed, "appliance.socket")]
        )
        with first.sock:
            assert (first.kept, second.kept) == (False, True)
            assert second.sock is passed
            assert str(second.address) == f"tls://127.0.0.1:{port}"
            assert first.address.port == first.sock.getsockname()[1] != 0


def test_where_one_cannot_be_opened_none_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    taken = Address.parse(f"tcp://127.0.0.1:{port}")
    with pytest.raises(StartError, match="the port is taken"):
        preparing.sockets([taken, taken], [])
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_the_more_is_kept_the_longer_a_start_may_take(tmp_path: Path) -> None:
    state = open_state(tmp_path / "state")
    assert preparing.reading_time(state) == 0
    for name in ("store.db", "store.db-wal"):
        with (state.folder / name).open("wb") as file:
            file.truncate(40 * 1024 * 1024)
    assert 10 < preparing.reading_time(state) < 60


def test_keys_of_the_configuration_are_all_there_are(tmp_path: Path) -> None:
    state = open_state(tmp_path / "state")
    configured = load(
        file=None, environment={"APPLIANCE_AUTH__KEYS": '[{name = "alice", key = "k-of-alice"}]'}
    )
    assert [key.name for key in preparing.keys(configured.settings, state).settings] == ["alice"]
    assert list(state.folder.iterdir()) == []


def test_without_any_one_is_made_and_kept(tmp_path: Path) -> None:
    state = open_state(tmp_path / "state")
    settings = load(file=None, environment={}).settings
    first, second = (preparing.keys(settings, state) for _ in range(2))
    assert first.settings == second.settings
    assert first.made is not None
    assert first.made not in repr(first)
    assert first.file == state.folder / "api_key"


def test_where_nobody_needs_a_key_none_is_made(tmp_path: Path) -> None:
    state = open_state(tmp_path / "state")
    environment = {"APPLIANCE_LISTEN": '[{url = "tcp://127.0.0.1:0", auth = "none"}]'}
    assert preparing.keys(load(file=None, environment=environment).settings, state).settings == ()


def test_a_certificate_is_for_the_listeners_that_encrypt(tmp_path: Path) -> None:
    state = open_state(tmp_path / "state")
    settings = load(file=None, environment={}).settings
    assert preparing.certificate(settings, state, [FREE]) is None
    pair = preparing.certificate(settings, state, [Address.parse("tls://127.0.0.1:0")])
    assert pair is not None
    assert [path.parent for path in pair] == [state.folder, state.folder]


def test_who_keeps_keys_needs_no_key_of_the_appliance(tmp_path: Path) -> None:
    state, settings = open_state(tmp_path / "state"), load(file=None, environment={}).settings
    file = preparing.key_file(settings, state.folder)
    assert file.path == state.folder / "keys.json"
    file.change(lambda ring: ring.create(Terms(name="ann"), dt.datetime.now(dt.UTC)))
    assert preparing.keys(settings, state).settings == ()
    assert not (state.folder / preparing.KEY_FILE).exists()


def test_a_key_of_the_appliance_that_is_there_goes_on_beside_those_that_are_kept(tmp_path: Path) -> None:
    state, settings = open_state(tmp_path / "state"), load(file=None, environment={}).settings
    made = preparing.keys(settings, state).made
    file = preparing.key_file(settings, state.folder)
    file.change(lambda ring: ring.create(Terms(name="ann"), dt.datetime.now(dt.UTC)))
    assert preparing.keys(settings, state).made == made


@pytest.mark.parametrize(
    "variables",
    [
        {"APPLIANCE_AUTH__TOKENS": '[{name = "own", algorithms = ["HS256"], secret = "x"}]'},
        {
            "APPLIANCE_AUTH__CERTIFICATES": '[{name = "feed", subject = {CN = "feed"}}]',
            "APPLIANCE_LISTEN__0__CLIENT_CERTIFICATES": "required",
            "APPLIANCE_TLS__CLIENT_CA": "clients.pem",
        },
    ],
)
def test_where_others_are_let_in_no_key_is_made(tmp_path: Path, variables: dict[str, str]) -> None:
    state = open_state(tmp_path / "state")
    assert preparing.keys(load(file=None, environment=variables).settings, state) == preparing.Keys(())


def test_the_file_of_keys_may_be_elsewhere(tmp_path: Path) -> None:
    named = str(tmp_path / "elsewhere.json")
    settings = load(file=None, environment={"APPLIANCE_AUTH__KEYS_FILE": named}).settings
    assert preparing.key_file(settings, tmp_path).path == tmp_path / "elsewhere.json"


def test_what_was_sealed_is_known_again_after_a_restart(tmp_path: Path) -> None:
    state = open_state(tmp_path / "state")
    key = preparing.seal_key(state)
    assert preparing.seal_key(state) == key
    file = tmp_path / "state" / preparing.SEAL_FILE
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("no key\n")
    with pytest.raises(StartError, match="seal_key: a key of a seal has 64 hexadecimal digits: remove it"):
        preparing.seal_key(state)
