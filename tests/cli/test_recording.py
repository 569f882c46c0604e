"""The commands for tapes as somebody types them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from appliance.cli.main import cli
from appliance.sources.tapes.settings import RecordSettings, ReplaySettings
from tests.authoring import Done, run_appliance
from tests.cli.newsroom import Newsroom
from tests.cli.test_serving import PATIENCE
from tests.sources.tapes.reels import numbered, on_tape, record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOWHERE = ("record", "--url", "https://127.0.0.1:1", "--channels", "price:*")


def ran(*arguments: str) -> Done:
    done = CliRunner().invoke(cli, [*arguments], prog_name="appliance")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


RECORD = {"--url", "--channels", "--except", "--key-file", "--cacert", "--for", "--every", "--append"}
REPLAY = {"--speed", "--from", "--wait", "--loop", "--times", "--config", "--set", "--state-dir", "--listen"}


@pytest.mark.parametrize(("command", "options"), [("record", RECORD), ("replay", REPLAY)])
def test_help_explains_each_option(command: str, options: set[str]) -> None:
    done = ran(command, "--help")
    assert done.status == 0
    listed = done.output.partition("Options:\n")[2].splitlines()
    beginnings = [line.split() for line in listed if line.startswith("  -")]
    assert {words[0] for words in beginnings} == options | {"-h,"}
    assert [words for words in beginnings if len(words) < 3] == []


def test_defaults_are_those_of_the_sources(tmp_path: Path) -> None:
    assert re.search(rf"\[default: {RecordSettings(folder='x').every:.0f}s\]", ran("record", "--help").output)
    defaults = ReplaySettings(file=str(tmp_path))
    shown = re.findall(r"\[default: (\w+)\]", ran("replay", "--help").output)
    assert shown == [f"{defaults.speed:g}", f"{defaults.wait:g}s", defaults.times]


def test_the_example_of_help_is_read_as_it_stands(tmp_path: Path) -> None:
    text = ran("record", "--help").output
    names, left_out = re.findall(r"--(?:channels|except) (\S+)", text)[:2]
    file = tmp_path / "day.jsonl.gz"
    done = run_appliance(
        *(tmp_path, *NOWHERE, "--channels", names.strip("'"), "--except", left_out, str(file))
    )
    assert (done.status, done.output) == (1, "")
    assert done.errors.startswith("appliance: https://127.0.0.1:1 cannot be reached (")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*NOWHERE, "--channels", "price BTC"), "Invalid value for '--channels': "),
        ((*NOWHERE, "--except", "a*b*"), "Invalid value for '--except': "),
        (
            (*NOWHERE, "--for", "ten"),
            "Invalid value for '--for': 'ten' is no time: write a time as a number and",
        ),
        ((*NOWHERE, "--every", "0s"), "Invalid value for '--every': '0s' is no time at all: write 5s"),
        (
            (*NOWHERE, "--url", "localhost"),
            "'localhost' is no address of an appliance: write https://HOST:PORT",
        ),
        ((*NOWHERE, "--cacert", "/nowhere"), "/nowhere: no certificate can be read there"),
        ((*NOWHERE, "--key-file", "/nowhere"), "/nowhere"),
        (("record", "--url", "http://localhost"), "Missing option '--channels'"),
        (
            ("replay", "--speed", "0"),
            "Invalid value for '--speed': '0' is no speed: write 1, 60 or 0.5, or max",
        ),
        (("replay", "--speed", "inf"), "Invalid value for '--speed': 'inf' is no speed"),
        (
            ("replay", "--from", "noon"),
            "Invalid value for '--from': 'noon' is no time with its offset: write 2030",
        ),
        (("replay", "--from", "2030-01-31T12:00:00"), "is no time with its offset"),
    ],
)
def test_a_mistake_is_told_with_what_is_right(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = ran(*arguments, str(tmp_path / "day.jsonl.gz"))
    assert (done.status, done.output) == (2, "")
    assert words in " ".join(done.errors.split())
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newsroom]:
    shared = Newsroom(tmp_path_factory.mktemp("room"))
    with shared.open(most=10 * PATIENCE):
        yield shared


def test_a_key_or_certificate_that_is_not_right_ends_with_status_1(room: Newsroom, tmp_path: Path) -> None:
    right = [*room.recorded, str(tmp_path / "day.jsonl.gz")]
    (tmp_path / "other").write_text("sk_of_somebody")
    (tmp_path / "other").chmod(0o600)
    wrong_key = [str(tmp_path / "other") if word == str(room.key_file) else word for word in right]
    untrusted = [word for word in right if word not in ("--cacert", str(room.certificate))]
    unknown = [word.replace("fills:*", "nothing:*") for word in right]
    for words, problem in (
        (wrong_key, f"appliance: {room.url} answered 401: "),
        (untrusted, f"appliance: {room.url} is not trusted (self-signed certificate): name the certificate"),
        (unknown, f"appliance: {room.url} answered 404: "),
    ):
        done = run_appliance(tmp_path, *words)
        assert (done.status, done.output) == (1, "")
        assert done.errors.startswith(problem)
    assert not (tmp_path / "day.jsonl.gz").exists()


def test_it_ends_with_status_0_when_it_is_time(room: Newsroom, tmp_path: Path) -> None:
    tape = tmp_path / "day.jsonl.gz"
    done = run_appliance(tmp_path, *room.recorded, "--for", "500ms", str(tape))
    assert (done.status, done.output) == (0, "")
    assert run_appliance(tmp_path, *room.recorded, str(tape)).errors.splitlines() == [
        f"appliance: {tape} is there already: name another file, or append to this one"
    ]
    assert on_tape(tape) == []


def test_a_tape_without_events_cannot_be_played(tmp_path: Path) -> None:
    tape = record(tmp_path / "day.jsonl.gz", numbered(3))
    done = run_appliance(tmp_path, "replay", tape, "--from", "2031-01-31T12:00:00Z")
    assert (done.status, done.output) == (1, "")
    assert done.errors == (
        f"appliance: {tape} holds no events from 2031-01-31T12:00:00.000Z on that can be played: name another tape\n"
    )


def test_a_tape_that_is_not_there_cannot_be_played(tmp_path: Path) -> None:
    done = run_appliance(tmp_path, "replay", tmp_path / "gone")
    assert (done.status, done.output) == (1, "")
    assert "cannot be read (No such file or directory)" in done.errors
