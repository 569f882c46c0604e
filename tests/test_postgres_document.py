"""Runs docs/postgres.md against a real database, and holds what it says against the code."""

from __future__ import annotations

import json
import re
import shlex
import socket
import tomllib
from typing import TYPE_CHECKING, Any

import attrs
import click
import msgspec
import pytest
import trio
from click.testing import CliRunner

from appliance.api import Channel, Mode, SourceError
from appliance.cli import main
from appliance.loading.catalogue import collect
from appliance.loading.configured import arrange
from appliance.loading.files import builtin_folder
from appliance.settings import document
from appliance.settings.fields import Secret
from appliance.settings.load import load
from appliance.settings.tree import Settings
from appliance.sources.postgres.settings import PostgresSettings, TableSettings
from appliance.sources.postgres.source import Postgres
from appliance.testing import RecordingFeed
from tests.edge.stage import PATIENCE
from tests.postgres import Database, free_port
from tests.served import at, empty, examined, hear_of, run, serving, written

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from tests.postgres import Fresh

BLOCK = re.compile(r"^(?:<!-- (\S+) -->\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
PASSWORD = "change me"
VARIABLES = {"APPLIANCE_SOURCES__TRADING__PASSWORD": PASSWORD}


@attrs.frozen
class Block:
    mark: str
    kind: str
    text: str


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "postgres.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def blocks(page: str) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(page)]


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with Database() as server:
        yield server


@pytest.fixture
def trading(database: Database) -> Iterator[Fresh]:
    """The database of the page, with nothing in it. Its user is made by the page."""
    with empty(database, "trading", role="reader") as made:
        yield made


def prose(page: str) -> str:
    return BLOCK.sub("", page)


def section(page: str, heading: str) -> str:
    _, found, rest = page.partition(f"\n## {heading}\n")
    assert found
    return rest.partition("\n## ")[0]


def rows_of_tables(text: str) -> list[list[str]]:
    """The cells of all rows, without heads."""
    bodies = re.findall(r"^\|[-|]+\|\n((?:\|.*\|\n)+)", text, re.MULTILINE)
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for body in bodies
        for line in body.splitlines()
    ]


def commands(blocks: list[Block]) -> list[str]:
    joined = "\n".join(block.text for block in blocks if block.kind == "sh").replace("\\\n", " ")
    return [line for line in joined.splitlines() if line]


def run_block(trading: Fresh, block: Block) -> None:
    """Run what the page has its reader run in the database."""
    if block.kind == "sql":
        run(trading, block.text)
    for line in commands([block]):
        if line.endswith("| psql trading"):
            words = shlex.split(line.partition("|")[0])[1:]
            printed = CliRunner().invoke(main.cli, words)
            assert printed.exit_code == 0, printed.output
            run(trading, printed.output)


def prepare(trading: Fresh, blocks: list[Block]) -> None:
    """Run all that but the rows that are to be told."""
    for block in blocks:
        if block.mark != "rows":
            run_block(trading, block)


def timeless(message: Any) -> str:
    return MOMENT.sub("TIME", json.dumps(message, sort_keys=True))


# --- The page, from top to bottom. ---


def test_every_block_is_of_a_kind_that_is_held(page: str, blocks: list[Block]) -> None:
    assert page.count("```") == 2 * len(blocks)
    assert {(block.kind, block.mark) for block in blocks} == {
        *(("sql", ""), ("sql", "rows"), ("toml", "appliance.toml"), ("toml", ""), ("toml", "elsewhere")),
        *(("json", "event"), ("sh", ""), ("text", "requests"), ("ini", "pooler")),
    }


async def test_its_tables_are_streamed_as_it_says(
    blocks: list[Block], trading: Fresh, tmp_path: Path
) -> None:
    tables = [block.text for block in blocks if block.kind == "toml" and block.mark != "elsewhere"]
    file = written(tmp_path, "\n".join(tables))
    channels = tomllib.loads(file.read_text(encoding="utf-8"))["channels"]
    overrides = at(trading.server, "trading")
    async with serving(file, tmp_path, environment=VARIABLES, overrides=overrides) as served:
        await served.until_healthy(channels, healthy=False)
        async with served.client() as client:
            await client.say(type="subscribe", channels=[f"{channel}:*" for channel in channels])
            await client.hear_of("subscribed")
            begun: set[str] = set()
            for place, block in enumerate(blocks):
                if block.kind == "toml":
                    begun |= channels.keys() & tomllib.loads(block.text).get("channels", {}).keys()
                if block.mark == "rows":
                    await served.until_healthy(begun)
                run_block(trading, block)
                if block.mark == "event":
                    assert blocks[place - 1].mark == "rows"
                    shown = json.loads(block.text, parse_float=str)
                    [told] = await hear_of(client, shown["channel"], offset=shown["offset"])
                    assert timeless(told) == timeless(shown)
            assert begun == channels.keys()
            large, exact = await hear_of(client, "large_fills:all", "exact_fills:ETH")
            assert large["data"]["price"] == exact["data"]["price"] == "2310.10"
        _, newest = await served.get("/api/v1/topics/quotes:ETH/latest")
        assert newest["data"]["data"]["bid"] == "2310.1"


async def test_its_indexes_serve_its_channels(blocks: list[Block], trading: Fresh, tmp_path: Path) -> None:
    tables = [block.text for block in blocks if block.kind == "toml" and block.mark != "elsewhere"]
    prepare(trading, blocks)
    run(trading, "INSERT INTO ticks SELECT n, 1, 'BTC', n, n FROM generate_series(1, 10000) n; ANALYZE ticks")
    found = await examined(written(tmp_path, "\n".join(tables)), trading.server, environment=VARIABLES)
    # The small table that it is joined with is read as a whole, as is best.
    ticks = found.pop("ticks")
    assert re.search(r"Index Scan using ticks_\w+ on ticks .*\n *Index Cond: ", ticks.plan)
    assert [name for name, each in found.items() if not each.served_by_index] == []


async def test_old_rows_are_read_as_it_says(
    page: str, blocks: list[Block], trading: Fresh, tmp_path: Path
) -> None:
    prepare(trading, blocks)
    run(trading, next(block.text for block in blocks if block.mark == "rows"))
    run(trading, "UPDATE fills SET executed_at = '2030-01-31 12:00:00.25+00'")
    [requests] = [block.text for block in blocks if block.mark == "requests"]
    paths = [line.removeprefix("GET ") for line in requests.splitlines()]
    file = written(tmp_path, next(block.text for block in blocks if block.mark == "appliance.toml"))
    rows = "channels.predictions={source='trading', table='ml_predictions', key=\"'BTC'\", time='time'}"
    overrides = [*at(trading.server, "trading"), rows]
    async with serving(file, tmp_path, environment=VARIABLES, overrides=overrides) as served:
        answers = {path.partition("?")[0]: await served.get(path) for path in paths}
        assert {status for status, _ in answers.values()} == {200}
        _, fills = answers["/api/v1/channels/fills/rows"]
        [fill] = fills["data"]
        assert (fill["price"], fill["executed_at"]) == ("43250.7500", "2030-01-31T12:00:00.25Z")
        [envelope] = re.findall(r"The answer is `(\{.*?\})`", section(page, "Old rows"))
        assert fills.keys() == json.loads(envelope.replace("[...]", "[]")).keys()
        assert fills["next"] is None


async def test_the_table_of_data_ws_needs_its_variables_alone(
    blocks: list[Block], root: Path, trading: Fresh, tmp_path: Path
) -> None:
    [line] = [line for line in commands(blocks) if "data-ws.toml" in line]
    variables = dict(word.split("=", 1) for word in shlex.split(line) if re.match(r"[A-Z_]+=", word))
    environment = {**variables, "DB_HOST": trading.server.host, "DB_PORT": str(trading.server.port)}
    assert environment.keys() - variables.keys() == {"DB_PORT"}
    async with serving(root / "config" / "data-ws.toml", tmp_path, environment=environment) as served:
        await served.until_healthy(["predictions"], healthy=False)
        prepare(trading, blocks)
        await served.until_healthy(["predictions"])
        async with served.client("/api/v1/predictions/stream") as client:
            row = "INSERT INTO ml_predictions (time, current_price) VALUES"
            run(trading, f"{row} ('2030-01-31 12:00:00+00', 50000.5)")
            assert (await client.hear())["current_price"] == 50000.5
            run(
                trading,
                "CREATE TABLE february PARTITION OF ml_predictions FOR VALUES FROM ('2030-02-01') TO ('2030-03-01');"
                f"{row} ('2030-02-01 12:00:00+00', 50001.5)",
            )
            assert (await client.hear())["current_price"] == 50001.5


# --- What it says of types and of mistakes. ---


async def test_types_have_the_json_that_it_says(page: str, trading: Fresh) -> None:
    source = Postgres(
        reading(trading.server, user=trading.server.superuser, password=Secret(trading.server.password))
    )
    encode = msgspec.json.Encoder(decimal_format="number").encode
    shown = rows_of_tables(section(page, "Types"))
    assert len(shown) > 15
    for kind, _, expression, becomes in shown:
        table = TableSettings(
            query=f"SELECT {expression.strip('`')} AS v, 1 AS id, now() AS at",
            key="'all'",
            time="at",
            identity=("id",),
            columns={"v": "v"},
        )
        examination = await source.examine(table)
        [row] = examination.first
        assert encode(row.data["v"]).decode() == becomes.strip("`"), kind


def reading(server: Database, **changes: Any) -> PostgresSettings:
    said = {
        "host": server.host,
        "port": server.port,
        "database": "trading",
        "user": "reader",
        "password": Secret(PASSWORD),
    }
    return PostgresSettings(**{**said, **changes})


FILLS = {"table": "fills", "key": "symbol", "time": "executed_at"}


async def looked(source: PostgresSettings, **table: Any) -> None:
    await Postgres(source).examine(TableSettings(**{**FILLS, **table}))


async def followed(source: PostgresSettings, **table: Any) -> None:
    channel = Channel(name="fills", mode=Mode.LOG, message="event", source="postgres")
    told = TableSettings(**{**FILLS, **table})
    with trio.fail_after(PATIENCE):
        await Postgres(source).produce(RecordingFeed(channel, told), told)


async def silence(database: Database) -> None:
    with socket.create_server((database.host, 0)) as deaf:
        port = deaf.getsockname()[1]
        await looked(reading(database, port=port, connect_timeout=0.2, sslmode="disable"))


async def without_a_place(database: Database) -> None:
    database.execute("ALTER ROLE reader CONNECTION LIMIT 0")
    try:
        await looked(reading(database))
    finally:
        database.execute("ALTER ROLE reader CONNECTION LIMIT -1")


SLOW = "SELECT 1 AS id, 'a' AS symbol, now() AS executed_at, pg_sleep(10)::text AS slept"
MISTAKES: dict[str, Callable[[Database], Awaitable[None]]] = {
    "no PostgreSQL listens at": lambda d: looked(reading(d, port=free_port())),
    "the host": lambda d: looked(reading(d, host="db.invalid")),
    "… gave no answer": silence,
    "… speaks no TLS": lambda d: looked(reading(d, sslmode="require")),
    "… does not let": lambda d: looked(reading(d, password=Secret("wrong"))),
    "… asks for": lambda d: looked(reading(d, password=None, passfile="/nowhere")),
    "… says (3D000)": lambda d: looked(reading(d, database="tradings")),
    "… says (53300)": without_a_place,
    "… says (42501)": lambda d: looked(reading(d), table="secrets"),
    "there is no table": lambda d: looked(reading(d), table="fill"),
    "the table … has no column": lambda d: looked(reading(d), key="symbl"),
    "the column … of the table … is bigint, and no timestamp": lambda d: looked(reading(d), time="id"),
    "the column … of the table … is bigint, and not xid8": lambda d: looked(
        reading(d), follow="xid", xid="id"
    ),
    "a statement took longer": lambda d: looked(
        reading(d, statement_timeout=0.2), table=None, query=SLOW, identity=("id",)
    ),
    "more than": lambda d: followed(reading(d), window_rows=1),
    "the table … has the number": lambda d: looked(reading(d), table="copied", follow="xid"),
    "notify takes": lambda d: followed(reading(d, connections=1), notify="fills"),
}
"""The mistakes of the page's table, and what makes them."""

MISTAKEN = """
CREATE TABLE secrets (symbol text, executed_at timestamptz);
CREATE TABLE copied (id int PRIMARY KEY, symbol text, executed_at timestamptz, xid xid8);
INSERT INTO copied VALUES (1, 'BTC', now(), '999999999');
GRANT SELECT ON copied TO reader;
INSERT INTO fills (symbol, side, quantity, price) SELECT 'BTC', 'buy', 1, 1 FROM generate_series(1, 3);
"""


async def test_what_is_wrong_is_said_as_the_table_says(
    page: str, blocks: list[Block], trading: Fresh
) -> None:
    run(trading, next(block.text for block in blocks if block.kind == "sql"))
    run(trading, MISTAKEN)
    shown = [cells[0].strip("`") for cells in rows_of_tables(section(page, "When something is wrong"))]
    rows = [text for text in shown if text not in warnings(page)]
    found = {text: [make for begins, make in MISTAKES.items() if text.startswith(begins)] for text in rows}
    assert len(rows) == len(MISTAKES)
    for text, makers in found.items():
        [make] = makers
        with pytest.raises(SourceError) as told:
            await make(trading.server)
        said = str(told.value).replace("`", "")
        assert re.match(re.escape(text).replace("…", ".+"), said), (text, said)


def warnings(page: str) -> list[str]:
    part = section(page, "When something is wrong").partition("| Warning or error |")[2]
    return re.findall(r"^\| `(.*?)` \|", part, re.MULTILINE)


def test_warnings_are_those_of_the_log(page: str, root: Path) -> None:
    files = [
        *(root / "appliance" / "sources" / "postgres").glob("*.py"),
        root / "appliance" / "runtime" / "feed.py",
    ]
    logged = "\n".join(file.read_text(encoding="utf-8") for file in files)
    assert len(warnings(page)) > 4
    assert [text for text in warnings(page) if f'"{text}"' not in logged] == []


# --- What it names. ---


def test_settings_exist(page: str) -> None:
    known = {row.path for row in document.rows()}
    tops = {attribute.name for attribute in attrs.fields(Settings)}
    named = set(re.findall(r"`([a-z_]+\.[a-z_.]+)(?:`| =)", prose(page)))
    general = {name for name in named if name.partition(".")[0] in tops} - {"store.db"}
    assert len(general) > 7
    assert general - known == set()
    of_channels = {name.rpartition(".")[2] for name in named if name.startswith("history.")}
    assert of_channels == {"durable", "count", "age", "bytes"}


def test_every_setting_of_a_table_is_told_of(page: str) -> None:
    text = page.replace("`", " ")
    missing = {
        row.path for row in document.rows(TableSettings) if not re.search(rf"\b{row.path}\b", text)
    } | {row.path for row in document.rows(PostgresSettings) if not re.search(rf"\b{row.path}\b", text)}
    assert missing == set()


def test_figures_are_the_defaults(page: str) -> None:
    table, source, settings = TableSettings(table="t", key="k", time="t"), PostgresSettings(), Settings()
    for said in (
        f"Every `every` ({table.every:g} s)",
        f"last `overlap` ({table.overlap / 60:g} minute)",
        f"`batch` rows ({table.batch:,}) and `batch_bytes` ({table.batch_bytes // 1024**2} MiB)",
        f"`row_bytes` ({table.row_bytes // 1024} KiB",
        f"at most `connections` ({source.connections})",
        f"`limits.topics` topics ({settings.limits.topics:,})",
        f"`producers.events_per_second` ({settings.producers.events_per_second:,.0f})",
        f"up to `restart.most` ({settings.restart.most:g} s)",
    ):
        assert said in " ".join(page.split()), said
    assert table.window_rows == 1_000_000
    assert settings.limits.event_bytes <= table.row_bytes


def test_commands_are_those_of_the_appliance(blocks: list[Block]) -> None:
    for line in commands(blocks):
        words = [word for word in shlex.split(line.partition("|")[0]) if not re.match(r"[A-Z_]+=", word)]
        if words[0] == "export":
            continue
        assert words.pop(0) == "appliance.pyz"
        command: click.Command = main.cli
        context = command.make_context("appliance", list(words))
        while isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
            # Click says what is wrong with an option by raising.
            context = command.make_context(command.name, list(words), parent=context, resilient_parsing=False)


def test_connections_elsewhere_are_ones_that_a_start_takes(blocks: list[Block], tmp_path: Path) -> None:
    [text] = [block.text for block in blocks if block.mark == "elsewhere"]
    found = load(file=written(tmp_path, text), environment={})
    assert found.mistakes == ()
    opened = arrange(collect([builtin_folder()]), found).sources
    assert opened["elsewhere"].settings.sslmode == "verify-full"


def test_what_the_page_links_to_is_there(page: str, root: Path) -> None:
    links = re.findall(r"\]\(([^)#]*)(#[^)]*)?\)", page)
    headings = {
        f"#{heading.lower().replace(' ', '-').replace(',', '')}"
        for heading in re.findall(r"(?m)^## (.+)$", page)
    }
    assert [link for link, _ in links if link and not (root / "docs" / link).exists()] == []
    assert {place for link, place in links if not link} == headings
