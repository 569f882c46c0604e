"""`appliance check FILE --connect` with real databases: what is told of each channel, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import termios
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from appliance.cli.connecting import Trial
from appliance.core.errors import SourceError
from appliance.runtime.turnover import Turnover
from appliance.settings.load import load
from tests.authoring import ROOT, run_appliance
from tests.postgres import HOST, PASSWORD, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.postgres import Fresh

TABLE = """
CREATE TABLE trades (id bigint PRIMARY KEY, time timestamptz NOT NULL, symbol text, price numeric);
INSERT INTO trades
SELECT i, to_timestamp(i), CASE WHEN i % 2 = 0 THEN 'BTC' ELSE 'ETH' END, i FROM generate_series(1, 9) i;
"""
INDEX = "CREATE INDEX ON trades (time, id)"
TIMED = 'key = "symbol"\ntime = "time"\n'


@pytest.fixture(autouse=True)
def quiet() -> Iterator[list[Any]]:
    with capture_logs() as logs:
        yield logs


def source(fresh: Fresh, name: str = "main", *more: str) -> str:
    where = [f'host = "{HOST}"', f"port = {fresh.server.port}", f'database = "{fresh.name}"']
    return "\n".join(
        [f"[sources.{name}]", 'kind = "postgres"', *where, f'password = "{PASSWORD}"', *more, ""]
    )


def channel(name: str, text: str = f'table = "trades"\n{TIMED}', source: str = "main") -> str:
    return f'[channels.{name}]\nsource = "{source}"\n{text}'


async def asked(folder: Path, *configuration: str, within: float = 30.0) -> list[str]:
    """What is told of a configuration; at the end what was raised."""
    file = folder / "appliance.toml"
    file.write_text("\n".join(configuration))
    loaded = load(file=file, environment={})
    turnover = Turnover(loaded)
    channels = await turnover.assemble(strict=True, warn=lambda _: None)
    told: list[str] = []
    trial = Trial(
        settings=loaded.settings,
        plugins=turnover.plugins,
        timeout=within,
        width=None,
        tell=told.append,
        progress=lambda line: told.append(f"progress: {line}"),
    )
    try:
        await trial.run(channels)
    except SourceError as error:
        told += [f"failed: {line}" for line in str(error).splitlines()]
    return told


def events(told: list[str]) -> list[str]:
    """The lines of the newest events."""
    begin = next(at for at, line in enumerate(told) if line.startswith("  newest events:"))
    return [line.strip() for line in told[begin + 1 :] if line.startswith("    ")]


def facts(told: list[str]) -> dict[str, str]:
    begin = told.index("mine") + 1
    found = (re.fullmatch(r"  ([a-z]+)  +(.+)", line) for line in told[begin : told.index("", begin)])
    return {match[1]: match[2] for match in found if match}


async def test_a_good_table_is_shown_as_it_would_be_followed(tmp_path: Path, fresh: Fresh) -> None:
    fresh.execute(TABLE + INDEX)
    told = await asked(tmp_path, source(fresh), channel("mine"))
    assert told[:2] == ["progress: mine: asking main (postgres) …", ""]
    assert told[2] == "mine"
    assert facts(told) == {
        "source": "main (postgres)",
        "table": "trades",
        "key": "symbol",
        "time": "time (timestamp with time zone)",
        "identity": "id (the primary key)",
        "follow": "by time, every 5s, looking back over 1m",
    }
    at = told.index("  COLUMN  TYPE                      FIELD")
    assert told[at + 1 : at + 5] == [
        "  id      bigint                    id",
        "  time    timestamp with time zone  time",
        "  symbol  text                      symbol",
        "  price   numeric                   price",
    ]
    assert [line for line in told if "->" in line and "trades" in line] != []
    assert "  an index serves: it takes as long however large the table grows" in told
    first, *others = events(told)
    moment, topic, data = first.split(maxsplit=2)
    assert (moment, topic) == ("1970-01-01T00:00:09.000Z", "mine:ETH")
    assert json.loads(data) == {"id": 9, "time": "1970-01-01T00:00:09Z", "symbol": "ETH", "price": 9}
    assert [line.split()[1] for line in others] == ["mine:BTC", "mine:ETH", "mine:BTC", "mine:ETH"]
    assert fresh.connections() == []


@pytest.mark.parametrize(
    ("table", "identity", "statement"),
    [
        (TABLE, "", 'CREATE INDEX CONCURRENTLY ON "public"."trades" ("time", "id");'),
        (
            'CREATE TABLE trades (time timestamptz, "Odd ""id" int, symbol text)',
            "identity = ['Odd \"id']",
            'CREATE INDEX CONCURRENTLY ON "public"."trades" ("time");',
        ),
        (
            'CREATE TABLE trades (time timestamptz, "Odd ""id" int NOT NULL, symbol text)',
            "identity = ['Odd \"id']",
            'CREATE INDEX CONCURRENTLY ON "public"."trades" ("time", "Odd ""id");',
        ),
        (
            "CREATE TABLE trades (id int PRIMARY KEY, time timestamptz, symbol text, xid xid8)",
            'follow = "xid"',
            'CREATE INDEX CONCURRENTLY ON "public"."trades" ("xid", "id");',
        ),
    ],
)
async def test_the_index_that_it_prints_serves(
    tmp_path: Path, fresh: Fresh, table: str, identity: str, statement: str
) -> None:
    fresh.execute(table)
    configuration = source(fresh), channel("mine"), identity
    told = await asked(tmp_path, *configuration)
    assert "  no index serves: each look takes the longer, the larger the table grows" in told
    [printed] = [line.strip() for line in told if "CREATE INDEX" in line]
    assert printed == statement
    fresh.execute(printed)
    told = await asked(tmp_path, *configuration)
    assert "  an index serves: it takes as long however large the table grows" in told
    assert [line for line in told if "CREATE INDEX" in line] == []


async def test_a_partitioned_table_takes_it_without_the_word(tmp_path: Path, fresh: Fresh) -> None:
    fresh.execute("""
        CREATE TABLE trades (time timestamptz, id int NOT NULL, symbol text) PARTITION BY RANGE (time);
        CREATE TABLE piece PARTITION OF trades DEFAULT""")
    configuration = source(fresh), channel("mine"), 'identity = ["id"]'
    told = await asked(tmp_path, *configuration)
    [printed] = [line.strip() for line in told if "CREATE INDEX" in line]
    assert [line for line in told if "leave the word out" in line] != []
    fresh.execute(printed.replace("CONCURRENTLY ", ""))
    assert [line for line in await asked(tmp_path, *configuration) if "an index serves" in line] != []


@pytest.mark.parametrize(
    "rows", ['table = "seen"\n', "query = '''\nSELECT *\n  FROM trades\n'''\n"], ids=["view", "query"]
)
async def test_what_has_no_index_is_given_none(tmp_path: Path, fresh: Fresh, rows: str) -> None:
    fresh.execute(TABLE)
    fresh.execute("CREATE VIEW seen AS SELECT * FROM trades")
    told = await asked(tmp_path, source(fresh), channel("mine", f'{rows}{TIMED}identity = ["id"]\n'))
    assert [line for line in told if "no index serves" in line] != []
    assert [line for line in told if "CREATE INDEX" in line] == []
    assert facts(told).get("query", "SELECT * FROM trades") == "SELECT * FROM trades"
    assert len(events(told)) == 5


async def test_how_it_is_followed_is_told_in_words(tmp_path: Path, fresh: Fresh) -> None:
    fresh.execute("CREATE TABLE trades (a int, symbol text, xid xid8)")
    follow = 'table = "trades"\nkey = "{symbol}:x"\nfollow = "xid"\nevery = "90s"\nnotify = "news"\n'
    told = await asked(tmp_path, source(fresh), channel("mine", follow))
    found = facts(told)
    assert found["key"] == "{symbol}:x"
    assert found["time"] == "none"
    assert found["identity"].startswith("all columns: rows that are alike in each are one")
    assert found["follow"] == (
        "by the transaction numbers in xid, every 90s, and at once when a notice of news comes"
    )
    assert told[-1] == "  newest events: none"


async def test_columns_that_become_no_field_are_marked(tmp_path: Path, fresh: Fresh) -> None:
    fresh.execute(TABLE)
    told = await asked(tmp_path, source(fresh), channel("mine"), 'columns = { price = "last" }')
    assert "  symbol  text                      -" in told
    assert "  price   numeric                   last" in told
    assert events(told)[0].endswith(' {"last":9}')


async def test_all_channels_are_asked_whatever_is_wrong_with_some(tmp_path: Path, fresh: Fresh) -> None:
    fresh.execute(TABLE)
    down = f'[sources.down]\nkind = "postgres"\nhost = "{HOST}"\nport = {free_port()}\n'
    told = await asked(
        tmp_path,
        source(fresh),
        source(fresh, "closed").replace(PASSWORD, "hunter2"),
        down,
        channel("first", f'table = "tradse"\n{TIMED}'),
        channel("second", source="closed"),
        channel("third", source="down"),
        channel("last"),
    )
    assert [line for line in told if line.startswith("progress")] == [
        "progress: first: asking main (postgres) …",
        "progress: second: asking closed (postgres) …",
        "progress: third: asking down (postgres) …",
        "progress: last: asking main (postgres) …",
    ]
    assert [line for line in told if line in ("first", "second", "third", "last")] == ["last"]
    failed = [line.removeprefix("failed: ") for line in told if line.startswith("failed: ")]
    for line, beginning in zip(
        failed,
        [
            "channel first, source main (postgres): there is no table tradse that the user can see",
            f"channel second, source closed (postgres): {HOST}:{fresh.server.port} does not let postgres in",
            f"channel third, source down (postgres): no PostgreSQL listens at {HOST}:",
        ],
        strict=True,
    ):
        assert line.startswith(beginning)
    assert [line for line in told if "hunter2" in line or PASSWORD in line] == []


async def test_a_database_that_does_not_answer_holds_up_nobody(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as silent:
        where = f'[sources.main]\nkind = "postgres"\nhost = "{HOST}"\nport = {silent.getsockname()[1]}\n'
        told = await asked(tmp_path, where, channel("mine"), within=0.3)
    assert told[-1] == (
        "failed: channel mine, source main (postgres): no answer within 300ms; see what keeps it, or give it"
        " longer with --timeout"
    )


async def test_notices_need_a_connection_of_their_own(tmp_path: Path, fresh: Fresh) -> None:
    fresh.execute(TABLE)
    few = source(fresh, "main", "connections = 1")
    told = await asked(tmp_path, few, channel("mine"), 'notify = "news"')
    assert "`notify` takes a connection for itself" in told[-1]


async def test_rows_that_are_no_events_are_told_of(
    tmp_path: Path, fresh: Fresh, quiet: list[dict[str, Any]]
) -> None:
    fresh.execute(TABLE)
    fresh.execute("UPDATE trades SET symbol = NULL WHERE id = 9")
    told = await asked(tmp_path, source(fresh), channel("mine"))
    assert len(events(told)) == 4
    [left_out] = [log for log in quiet if log["event"] == "row left out"]
    assert left_out["reason"].startswith("its key, symbol, is NULL")


async def test_events_are_those_that_clients_would_get(tmp_path: Path, fresh: Fresh) -> None:
    fresh.execute(TABLE)
    (tmp_path / "plugins").mkdir(mode=0o755)
    (tmp_path / "plugins" / "mine.py").write_text(PLUGIN)
    folder = f'plugins_dir = ["{tmp_path}/plugins"]\n'
    told = await asked(tmp_path, folder, source(fresh), channel("mine"))
    assert [line.split("  ", 1)[-1] for line in events(told)] == [
        'mine:all mine:big  {"id":9,"price":18}',
        "no event: a plugin drops that of 'BTC'",
        (
            "refused, and told to nobody: mine: the event of 'ETH' does not fit its schema:"
            " data.price does not fit: Expected `float`, got `str`"
        ),
        "refused, and told to nobody: ZeroDivisionError('division by zero')",
        'mine:all  {"id":5,"price":10}',
    ]


PLUGIN = """
import msgspec
from appliance.api import DROP, Channel, Mode, hookimpl
import attrs

class Trade(msgspec.Struct):
    id: int
    price: float

def route(event, settings):
    if event.data["id"] == 6:
        1 / 0
    return ("all", "big") if event.data["price"] > 10 else ("all",)

@hookimpl
def register_channels():
    return [Channel(name="mine", mode=Mode.LOG, message="m", source="simulated", route=route, schema=Trade, open=True)]

@hookimpl
def transform(event):
    number = event.data["id"]
    if number == 8:
        return DROP
    price = "much" if number == 7 else event.data["price"] * 2
    return attrs.evolve(event, data={"id": number, "price": price})
"""


async def test_a_source_that_breaks_is_told_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir(mode=0o755)
    (tmp_path / "plugins" / "broken.py").write_text("""
from appliance.api import Source, hookimpl

class Broken:
    def __init__(self, settings): pass
    async def produce(self, feed, settings): pass
    async def examine(self, settings): raise KeyError("first\\nsecond")

@hookimpl
def register_sources():
    return [Source(kind="broken", open=Broken)]
""")
    told = await asked(
        tmp_path, f'plugins_dir = ["{tmp_path}/plugins"]', '[channels.price]\nsource = "broken"\n'
    )
    assert told == [
        "progress: price: asking broken …",
        r"failed: channel price, source broken: KeyError: 'first\nsecond'; correct the plugin of the source",
    ]


async def test_without_any_source_to_ask_it_says_so(tmp_path: Path) -> None:
    assert await asked(tmp_path, "") == [
        "nothing to connect to: no channel has a source that can be asked what it would read"
    ]


def test_in_a_terminal_events_are_cut_to_its_width(tmp_path: Path, fresh: Fresh) -> None:
    fresh.execute(TABLE)
    fresh.execute("UPDATE trades SET symbol = repeat('x', 199)")
    file = tmp_path / "appliance.toml"
    file.write_text(source(fresh) + channel("mine"))
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 90))
    command = [sys.executable, "-m", "appliance.cli.main", "check", str(file), "--connect"]
    with subprocess.Popen(command, cwd=ROOT, stdout=theirs, env={"PATH": os.environ["PATH"]}) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how a terminal ends
            while piece := os.read(ours, 65_536):
                shown += piece
        os.close(ours)
    assert process.returncode == 0
    told = shown.decode().splitlines()
    assert [len(line) for line in told if "mine:x" in line] == [90] * 5
    assert [line for line in told if line.endswith("…")] == [line for line in told if "mine:x" in line]
    plan = [line for line in told if "Sort Key" in line or "Filter" in line]
    assert max(map(len, plan)) > 90


def test_the_command_tells_what_it_found_and_what_failed_apart(tmp_path: Path, fresh: Fresh) -> None:
    fresh.execute(TABLE)
    file = tmp_path / "appliance.toml"
    file.write_text(
        source(fresh)
        + source(fresh, "closed").replace(PASSWORD, "hunter2")
        + channel("first", source="closed")
        + channel("last")
    )
    check = partial(run_appliance, tmp_path, "check", file, "--connect")
    done = check()
    assert done.status == 1
    assert done.output.startswith(f"{file}: good\n")
    assert "\nlast\n  source    main (postgres)\n" in done.output
    assert '  last:ETH  {"id":9,' in done.output
    *progress, problem = done.errors.splitlines()
    assert progress == ["first: asking closed (postgres) …", "last: asking main (postgres) …"]
    assert problem.startswith("appliance: channel first, source closed (postgres): ")
    assert "hunter2" not in done.output + done.errors
    assert PASSWORD not in done.output + done.errors
    done = check("--set", f"sources.closed.password={PASSWORD}")
    assert (done.status, done.errors.splitlines()) == (0, progress)
    done = check("--set", "channels.last.every=never")
    assert (done.status, done.output) == (2, "")
