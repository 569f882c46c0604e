"""Runs the commands of docs/tapes.md, and holds its lists against the code."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import attrs
import pytest
from click.testing import CliRunner

from appliance.cli import taping
from appliance.cli.main import cli
from appliance.cli.replaying import look
from appliance.loading.catalogue import collect
from appliance.loading.configured import configure
from appliance.loading.files import builtin_folder
from appliance.settings.load import load
from appliance.sources.tapes import lines, record, spool, writing
from appliance.sources.tapes.lines import Taped
from appliance.sources.tapes.settings import RecordSettings, ReplaySettings
from tests.cli.newsroom import replayed
from tests.cli.test_serving import PATIENCE, served, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = re.compile(r"^<!-- (\S+) -->\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MIB = 1024**2


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "tapes.md").read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    _, _, behind = page.partition(f"\n## {heading}\n")
    assert behind
    return behind.partition("\n## ")[0]


def commands(page: str, heading: str) -> str:
    [text] = re.findall(r"^```sh\n(.*?)^```", section(page, heading), re.MULTILINE | re.DOTALL)
    return str(text).replace("\\\n", "")


def told(page: str, heading: str) -> list[str]:
    [text] = [text for name, text in BLOCK.findall(section(page, heading)) if name == "told"]
    return str(text).splitlines()


def shape(told: str) -> str:
    """Leave out what is another each time."""
    return re.sub(r"\d[\d,.]*", "0", told)


@attrs.frozen
class Recorded:
    folder: Path
    status: int
    told: list[str]


@pytest.fixture(scope="module")
def recorded(page: str, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """What the page records of an appliance, but for less than an hour, and that appliance."""
    folder = tmp_path_factory.mktemp("page")
    write(folder, "")
    with served(
        folder, "--listen", "tls://127.0.0.1:0", "--set", "sources.simulated.interval=200ms"
    ) as running:
        [address] = running.wait_for("serving")["listeners"]
        program, *words = shlex.split(commands(page, "Recording an appliance"))
        assert program == "appliance"
        places = {"https://127.0.0.1:8443": address.replace("tls", "https"), "1h": "4s"}
        done = subprocess.run(
            [sys.executable, "-m", "appliance.cli.main", *(places.get(word, word) for word in words)],
            cwd=folder / "state",  # where key and certificate lie
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        yield Recorded(folder / "state", done.returncode, done.stderr.splitlines())


def test_recording_tells_what_the_page_says(page: str, recorded: Recorded) -> None:
    assert recorded.status == 0
    expected = told(page, "Recording an appliance")
    assert [shape(line) for line in recorded.told] == [shape(line) for line in expected]


def test_what_is_recorded_is_read_elsewhere(page: str, recorded: Recorded) -> None:
    done = subprocess.run(
        ["sh", "-c", commands(page, "Reading it elsewhere")],
        cwd=recorded.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    line, found = done.stdout.splitlines()
    assert (list(json.loads(line)), found) == (list(Taped.__struct_fields__), "True")


def test_what_is_recorded_is_played(page: str, recorded: Recorded) -> None:
    program, command, file, *words = shlex.split(commands(page, "Playing a tape"))
    assert (program, command, file) == ("appliance", "replay", "day.jsonl.gz")
    words[words.index("--listen") + 1] = "tcp://127.0.0.1:0"
    tape = recorded.folder / file
    # Not each of these channels has something to tell in so short a time.
    heading, _, names = f"{file}: {look(tape, None, tell=print, count=print)}".partition(" of ")
    [line] = told(page, "Playing a tape")
    assert shape(line).startswith(f"{shape(heading)} of ")
    assert set(names.split(", ")) <= set(line.partition(" of ")[2].split(", "))
    with replayed(recorded.folder, tape, *words) as running:
        running.wait_for("serving")
        running.wait_for("tape has ended")
        running.send(signal.SIGTERM)
        assert running.status == 0


def test_the_line_is_one_of_a_tape(page: str) -> None:
    [line] = [text for name, text in BLOCK.findall(page) if name == "line"]
    assert lines.write(lines.read(line.encode())) == line.encode()
    named = re.findall(r"^\| ([`\w, ]+) \|", section(page, "What is on it"), re.MULTILINE)[1:]
    assert re.findall(r"`(\w+)`", " ".join(named)) == list(Taped.__struct_fields__)


@pytest.mark.parametrize("name", ["record.toml", "replay.toml"])
def test_configurations_are_right(page: str, name: str, tmp_path: Path) -> None:
    [text] = [text for block, text in BLOCK.findall(page) if block == name]
    channels = configure(collect([builtin_folder()]), load(file=write(tmp_path, text), environment={}))
    assert {"tape", "rehearsal"} & {each.channel.name for each in channels}


def test_statuses_are_those_of_the_code(page: str) -> None:
    rows = re.findall(r"^\| (\d) \| (.*?) \|$", section(page, "Recording an appliance"), re.MULTILINE)
    assert [status for status, _ in rows] == ["0", "1", "2", "3"]
    assert taping.WITH_GAPS == 3


def test_each_option_of_a_player_is_told(page: str) -> None:
    rows = set(re.findall(r"^\| `(--\w+)` \|", section(page, "Playing a tape"), re.MULTILINE))
    help_text = CliRunner().invoke(cli, ["replay", "--help"]).stdout
    assert rows | {"--config", "--set", "--state-dir", "--listen"} == set(
        re.findall(r"^  (--[\w-]+)", help_text, re.MULTILINE)
    )


def test_bounds_and_defaults_are_those_of_the_code(page: str) -> None:
    assert f"up to {spool.MOST // MIB} MiB" in page
    assert f"at most {writing.MOST_AT_ONCE // MIB} MiB of lines" in page
    assert f"{RecordSettings(folder='x').every:g}" == "5"
    assert "5 seconds of events" in page
    assert f"{ReplaySettings(file='x').wait:g}" == "2"
    assert "2 seconds, unless" in page


def test_each_field_of_what_a_recorder_tells_is_named(page: str) -> None:
    [sentence] = re.findall(r"tells after each write how it goes: (.*?)\. When", page, re.DOTALL)
    assert re.findall(r"`(\w+)`", sentence) == list(record.Written.__struct_fields__)


def test_what_the_page_links_to_is_there(page: str, root: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page)
    assert [link for link in links if not (root / "docs" / link).exists()] == []
    headings = {f"#{heading.lower().replace(' ', '-')}" for heading in re.findall(r"(?m)^## (.+)$", page)}
    assert set(re.findall(r"\]\((#[^)]+)\)", page)) == headings
