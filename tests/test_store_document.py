"""Runs the page docs/store.md from top to bottom, as an operator would; holds its figures against the code."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from appliance.cli.stocktaking import as_json
from appliance.loading.catalogue import collect
from appliance.loading.configured import configure
from appliance.loading.files import builtin_folder
from appliance.settings.load import load
from appliance.store import database, faults, schema, sweeping
from appliance.store.compaction import compact
from appliance.store.flaws import Flaws
from appliance.store.inspection import Contents, Findings
from appliance.store.store import open_store
from tests.authoring import PATIENCE
from tests.cli.test_serving import served
from tests.store.batches import batch, records

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = re.compile(r"^(?:<!-- (\S+) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STATE, BACKUPS = "/var/lib/appliance", "/var/backups"
WITHIN = 0.1
"""Share by which a size may differ from what the page says."""


@attrs.frozen
class Run:
    """What the commands of a block printed, and what the page says that they do."""

    commands: str
    status: int
    printed: str
    shown: str


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "store.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the configuration of the page, and a state folder in which it has kept events."""
    folder = tmp_path_factory.mktemp("page")
    [text] = [text for mark, _, text in BLOCK.findall(page) if mark == "appliance.toml"]
    (folder / "appliance.toml").write_text(placed(text.replace(":8080", ":0"), folder), encoding="utf-8")
    serve(folder)
    return folder


@pytest.fixture(scope="module")
def runs(page: str, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    tools = tmp_path_factory.mktemp("tools")
    for name, module in {"appliance": "-m appliance.cli.main", "python3": ""}.items():
        tool = tools / name
        tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        tool.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parent.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    found: list[Run] = []
    for mark, kind, text in BLOCK.findall(page):
        if kind == "sh":
            done = subprocess.run(
                ["sh", "-e", "-c", placed(text, folder)],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            found.append(Run(text, done.returncode, done.stdout, ""))
            if "store.db-behind" in text:
                serve(folder)
        elif mark == "output":
            found[-1] = attrs.evolve(found[-1], shown=placed(text, folder))
    return found


def placed(text: str, folder: Path) -> str:
    """The page's folders, within one of the test's."""
    assert shlex.quote(str(folder)) == str(folder)
    return text.replace(STATE, f"{folder}/state").replace(BACKUPS, f"{folder}/backups")


def serve(folder: Path) -> None:
    """Serve until something was kept that was not there before."""
    with served(folder, "--set", "sources.simulated.interval=100ms") as running:
        [address] = running.wait_for("serving")["listeners"]
        url = f"{address.replace('tcp', 'http')}/api/v1/topics/price:BTC/events?wait=30"
        with urllib.request.urlopen(url, timeout=PATIENCE) as response:  # noqa: S310 - our own
            first = json.load(response)["data"]["position"]
        with urllib.request.urlopen(f"{url}&after={first}", timeout=PATIENCE) as response:  # noqa: S310 - our own
            assert json.load(response)["data"]["position"] != first
        running.send(signal.SIGTERM)
        assert running.status == 0


def shape(printed: str) -> list[str]:
    """Leave out what is another each time: numbers, with their units and signs, and room between columns. Of channels
    that may have said nothing yet, only the name stays.
    """
    numbers = re.sub(r'(?<="epoch":")\w+|-?\d[\d,.]*( bytes| kB| MB)?', "0", printed)
    others = re.sub(r"(?m)^(alerts|drift|scores) .*", r"\1", numbers)
    return [re.sub(r" +", " ", line) for line in others.splitlines()]


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def section(page: str, heading: str) -> str:
    _, _, behind = page.partition(f"\n## {heading}\n")
    return behind.partition("\n## ")[0]


def test_all_commands_of_the_page_do_what_it_says(runs: list[Run]) -> None:
    assert len(runs) == 8
    assert [(run.commands, run.printed) for run in runs if run.status] == []
    assert [shape(run.printed) for run in runs] == [shape(run.shown) for run in runs]


@pytest.mark.usefixtures("runs")
def test_what_is_exported_is_what_was_kept(folder: Path) -> None:
    found = lines(folder / "events.jsonl")
    assert {line["channel"] for line in found} == {"price"}
    offsets = [line["offset"] for line in found if line["topic"] == "price:BTC"]
    assert offsets == list(range(1, len(offsets) + 1))


@pytest.mark.usefixtures("runs")
def test_a_copy_that_is_put_back_begins_new_epochs_and_goes_on(folder: Path) -> None:
    before, after = (
        [line for line in lines(folder / name) if line["topic"] == "price:BTC"]
        for name in ("events.jsonl", "rescued.jsonl")
    )
    assert [line["data"] for line in after[: len(before)]] == [line["data"] for line in before]
    assert len(after) > len(before)
    assert {line["epoch"] for line in before}.isdisjoint({line["epoch"] for line in after})
    assert not (folder / "state" / "store.db").exists()  # moved away


def test_a_channel_that_is_not_durable_any_more_leaves_the_file(
    page: str, folder: Path, tmp_path: Path, runs: list[Run]
) -> None:
    assert runs
    text = (folder / "appliance.toml").read_text(encoding="utf-8")
    (tmp_path / "appliance.toml").write_text(
        text.replace("durable = true", "durable = false"), encoding="utf-8"
    )
    (tmp_path / "state").mkdir(mode=0o700)
    for found in (folder / "backups" / "appliance").iterdir():
        found.rename(tmp_path / "state" / found.name)
    serve(tmp_path)
    connection = sqlite3.connect(tmp_path / "state" / "store.db")
    assert connection.execute("SELECT count(*) FROM topics WHERE channel = 'price'").fetchone() == (0,)
    connection.close()
    assert "`history.durable = false`" in section(page, "What is in it")


def test_what_is_durable_by_itself_is_told(page: str, folder: Path) -> None:
    channels = configure(collect([builtin_folder()]), load(file=folder / "appliance.toml", environment={}))
    durable = {each.channel.name for each in channels if each.durable}
    [sentence] = re.findall(r"(?s)are durable as they are, and so are (.*?)\. Others", page)
    assert set(re.findall(r"`(\w+)`", sentence)) == durable - {"price"}


def sizes(page: str) -> Iterator[tuple[int, int, int]]:
    for row in re.findall(r"^\| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", page, re.MULTILINE):
        data, file, compacted = (int(cell.replace(",", "")) for cell in row)
        yield data, file, compacted


def test_events_are_as_large_as_the_page_says(page: str, tmp_path: Path) -> None:
    told = list(sizes(page))
    assert [data for data, _, _ in told] == [100, 200, 500, 1_000, 2_000]
    for data, file, compacted in told:
        path = tmp_path / f"{data}.db"
        assert measured(path, data) == pytest.approx((file, compacted), rel=WITHIN), data
    [sentence] = re.findall(r"20 topics that keep 1,000 events of 200 bytes each take about (\d+) MB", page)
    [of_200] = [file for data, file, _ in told if data == 200]
    assert 20 * 1_000 * of_200 / 1e6 == pytest.approx(int(sentence), rel=WITHIN)


def measured(path: Path, data: int) -> tuple[float, float]:
    """Bytes that an event takes in a store of 20 topics that has let go of as many events as it has."""
    topics, keep, at_once = 20, 400, 25
    store = open_store(path, sync="normal")
    number = 1
    for first in range(1, 2 * keep, at_once):
        for topic in range(topics):
            name = f"price:S{topic}"
            added = records(name, range(first, first + at_once), number=number, body=b"x" * data)
            number += at_once
            store.write(batch(added, firsts={name: first + at_once - keep}))
    store.close()
    events = topics * keep
    return path.stat().st_size / events, compact(path).after / events


def test_the_bounds_are_told(page: str) -> None:
    part = section(page, "How large it is")
    assert f"deletes up to {sweeping.MOST_ROWS:,} events" in part
    assert f"the log, {database.CHECKPOINT * 4096 // 10**6} MB or" in part


def test_programs_are_told_each_field(page: str) -> None:
    found = Findings(file=Path("store.db"), size=0, channels={"price": Contents()}, flaws=Flaws())
    told = json.loads(as_json(found))
    [sentence] = re.findall(r"With `--json` programs get (.*?)\n\n", page, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", sentence)) == {*told, *told["channels"][0]}


def messages() -> list[str]:
    """All that is told of a store that cannot be used."""
    path = Path("/var/lib/appliance/store.db")
    codes = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT)
    errors = []
    for code in codes:
        error = sqlite3.OperationalError("as SQLite says it")
        error.sqlite_errorcode = code
        errors.append(str(faults.explained(path, error)))
    return [
        *errors,
        str(faults.in_use(path)).replace("process:", "process (4711):"),
        str(faults.newer(path, schema.NEWEST + 1, schema.NEWEST)),
        str(faults.foreign(path, "a database of another application")),
    ]


def test_each_message_has_its_remedy_and_no_other_stands_there(page: str) -> None:
    rows = re.findall(r"^\| `(.*?)` \|", section(page, "When it cannot be used"), re.MULTILINE)
    patterns = [re.escape(row).replace("…", ".*") for row in rows]
    told = messages()
    assert [
        row
        for row, pattern in zip(rows, patterns, strict=True)
        if not any(re.search(pattern, each) for each in told)
    ] == []
    assert [each for each in told if not any(re.search(pattern, each) for pattern in patterns)] == []


def test_what_the_page_links_to_is_there(page: str, root: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page)
    assert [link for link in links if not (root / "docs" / link).exists()] == []
    headings = {f"#{heading.lower().replace(' ', '-')}" for heading in re.findall(r"(?m)^## (.+)$", page)}
    assert set(re.findall(r"\]\((#[^)]+)\)", page)) == headings
