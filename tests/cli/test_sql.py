"""What the commands print is SQL alone, and does what its comments say."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from appliance.cli.main import cli
from tests.authoring import ROOT

if TYPE_CHECKING:
    from tests.postgres import Fresh

TABLE = "CREATE TABLE trades (id bigint PRIMARY KEY, time timestamptz NOT NULL DEFAULT now(), symbol text)"


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(cli, ["sql", *arguments], prog_name="appliance")
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def psql(fresh: Fresh, script: str) -> None:
    """Run a script as its reader would, and stop at the first error."""
    server = fresh.server
    command = [str(server.server.programs / "psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]
    place = [f"--host={server.socket}", f"--port={server.port}", f"--username={server.superuser}", fresh.name]
    done = subprocess.run([*command, *place], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def indexes(fresh: Fresh) -> list[str]:
    return [
        row[0]
        for row in fresh.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'trades' ORDER BY 1")
    ]


def test_help_teaches_what_they_are_for() -> None:
    text = printed("--help")
    assert re.search(
        r"(?m)^ +appliance sql trigger trades \| psql shop +runs them in the database shop$", text
    )
    assert [line.split()[0] for line in text.partition("Commands:\n")[2].splitlines()] == ["trigger", "xid"]


@pytest.mark.parametrize(
    ("command", "options"), [("trigger", {"--notify"}), ("xid", {"--xid", "--identity"})]
)
def test_help_explains_each_option(command: str, options: set[str]) -> None:
    listed = printed(command, "--help").partition("Options:\n")[2].splitlines()
    beginnings = [line.split() for line in listed if line.startswith("  -")]
    assert {words[0] for words in beginnings} == options | {"-h,"}
    assert [words for words in beginnings if len(words) < 3] == []


@pytest.mark.parametrize(("options", "name"), [([], "trades"), (["--notify", 'It\'s "new"'], 'It\'s "new"')])
@pytest.mark.parametrize("table", ["trades", "public.trades"])
def test_the_trigger_tells_of_rows(fresh: Fresh, table: str, options: list[str], name: str) -> None:
    fresh.execute(TABLE)
    psql(fresh, printed("trigger", table, *options))
    ((arguments,),) = fresh.execute(
        "SELECT tgargs FROM pg_trigger WHERE tgrelid = 'trades'::regclass AND tgname = 'appliance_notify'"
    )
    assert bytes(arguments) == name.encode() + b"\0"
    fresh.execute("INSERT INTO trades (id) VALUES (1)")


def test_a_pipe_brings_it_to_the_database(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    command = [sys.executable, "-m", "appliance.cli.main", "sql", "xid", "trades"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    psql(fresh, done.stdout)
    fresh.execute("INSERT INTO trades (id) VALUES (1)")
    assert fresh.execute("SELECT xid IS NOT NULL FROM trades") == [[True]]


def test_the_column_and_its_index_are_named_as_asked(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    script = printed("xid", "trades", "--xid", "Tx", "--identity", "id", "--identity", "symbol")
    psql(fresh, script)
    assert [index.partition("(")[2] for index in indexes(fresh) if "Tx" in index] == ['"Tx", id, symbol)']
    assert '--   xid = "Tx"' in script


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trigger"], "Missing argument 'TABLE'"),
        (
            ["trigger", "a; DROP TABLE a"],
            "Invalid value for 'TABLE': 'a; DROP TABLE a' is no name of a table",
        ),
        (["xid", "a.b.c"], "Invalid value for 'TABLE': 'a.b.c' is no name of a table"),
        (["xid", "t" * 64], f"Invalid value for 'TABLE': '{'t' * 64}' has 64 bytes; names have 1 to 63"),
        (["trigger", "t", "--notify", ""], "Invalid value for '--notify': '' has 0 bytes"),
        (["trigger", "t", "--notify", "ä" * 32], "has 64 bytes; names have 1 to 63"),
        (["trigger", "t", "--notify", "\udcff"], r"Invalid value for '--notify': '\udcff' is not in UTF-8"),
        (["xid", "t", "--xid", ""], "Invalid value for '--xid': '' has 0 bytes"),
        (["xid", "t", "--identity", "a" * 64], "Invalid value for '--identity'"),
    ],
)
def test_what_is_no_name_is_told_with_the_usage(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(cli, ["sql", *arguments], prog_name="appliance")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: appliance sql ")
    assert words in done.stderr
