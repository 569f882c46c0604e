# ruff: noqa: S608 - names of this module

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest
from pg8000.core import CoreConnection  # type: ignore[import-untyped]

from appliance.core.errors import SourceError
from appliance.sources.postgres import ddl
from appliance.sources.postgres.names import identifier, parts
from tests.sources.postgres.following import following

if TYPE_CHECKING:
    from tests.postgres import Connection, Fresh

NAMES = ["rows", "public.rows", '"My ""Rows"""', "other.rows", f'"{"long" * 15}"', '"new\nline; DROP"']
PLAIN = "CREATE TABLE {} (id bigint PRIMARY KEY, time timestamptz NOT NULL DEFAULT now(), symbol text)"
PARTED = """
CREATE TABLE {} (id bigint, time timestamptz NOT NULL DEFAULT now(), symbol text, PRIMARY KEY (id, time))
PARTITION BY RANGE (time);
CREATE TABLE piece PARTITION OF {} DEFAULT
"""


def made(fresh: Fresh, form: str, table: str) -> str:
    """Make a table, and give its name in quotes."""
    quoted = ".".join(identifier(part) for part in parts(table))
    fresh.execute(f"CREATE SCHEMA other; {form.replace('{}', quoted)}")
    return quoted


def run(connection: Connection, script: str) -> None:
    """Run the statements one by one, as psql does: not all of them run inside a transaction."""
    for statement in re.split(r"; *(?:--[^\n]*)?\n(?!  |END|\$)", script):
        bare = re.sub(r"^--.*$", "", statement, flags=re.MULTILINE).strip()
        if bare:
            connection.execute(bare)


def undo(script: str, *, at: str) -> str:
    """The statements in the comments behind a line."""
    return "\n".join(
        line.removeprefix("--   ")
        for line in script.partition(at)[2].splitlines()
        if line.startswith("--   ")
    )


def configured(script: str) -> dict[str, object]:
    """The configuration that a script asks for."""
    lines = re.findall(r"^--   (\w+ = .*)$", script, flags=re.MULTILINE)
    return tomllib.loads("\n".join(lines))


@pytest.mark.parametrize("form", [PLAIN, PARTED])
@pytest.mark.parametrize("table", NAMES)
def test_the_trigger_tells_of_each_statement_once(fresh: Fresh, table: str, form: str) -> None:
    quoted = made(fresh, form, table)
    script = ddl.trigger(table, 'It\'s "new"\\ rows')
    path = fresh.server.socket / f".s.PGSQL.{fresh.server.port}"
    listening = CoreConnection(fresh.server.superuser, database=fresh.name, unix_sock=str(path))
    with fresh.session() as owner, listening as listener:
        run(owner, script)
        run(owner, script)  # again, as after a change of the name
        listener.execute_simple('LISTEN "It\'s ""new""\\ rows"')
        owner.execute(f"INSERT INTO {quoted} (id) SELECT i FROM generate_series(1, 1000) i")
        owner.execute(f"UPDATE {quoted} SET symbol = 'a'")
        owner.execute(f"BEGIN; INSERT INTO {quoted} (id) VALUES (-1); ROLLBACK")
        assert heard(listener) == [('It\'s "new"\\ rows', "")]
        owner.execute(undo(script, at="To undo it"))
        owner.execute(f"INSERT INTO {quoted} (id) VALUES (-2)")
        assert heard(listener) == []
    assert configured(script) == {"notify": 'It\'s "new"\\ rows'}


def heard(listener: CoreConnection) -> list[tuple[str, str]]:
    """The names and contents of notices since the last call."""
    listener.execute_simple("")
    found = [(name, content) for _, name, content in listener.notifications]
    listener.notifications.clear()
    return found


@pytest.mark.parametrize("key", [(), ("id",)])
@pytest.mark.parametrize("table", NAMES)
def test_the_column_is_added_without_a_rewrite(fresh: Fresh, table: str, key: tuple[str, ...]) -> None:
    quoted = made(fresh, PLAIN, table)
    fresh.execute(f"INSERT INTO {quoted} (id) SELECT i FROM generate_series(1, 10) i")
    where = "SELECT pg_relation_filenode($1::text::regclass)"
    before = fresh.execute(where, quoted)
    script = ddl.xid(table, column="Tx", key=key)
    with fresh.session() as owner:
        run(owner, script)
        run(owner, script)
        assert owner.execute(where, quoted) == before
        owner.execute(f"BEGIN; INSERT INTO {quoted} (id) VALUES (11)")
        ((xid,),) = owner.execute("SELECT pg_current_xact_id()::text")
        owner.execute("COMMIT")
        assert owner.execute(f'SELECT "Tx"::text, count(*)::int FROM {quoted} GROUP BY 1 ORDER BY 1') == [
            [xid, 1],
            [None, 10],
        ]
        indexes = """
            SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = $1::text::regclass AND NOT indisprimary"""
        ((index,),) = owner.execute(indexes, quoted)
        assert index.endswith('("Tx", id)' if key else '("Tx")')
        owner.execute(undo(script, at="To undo it"))
        assert owner.execute(indexes, quoted) == []
    assert configured(script) == {"follow": "xid", "xid": "Tx"}


def test_for_a_partitioned_table_it_says_what_else_to_do(fresh: Fresh) -> None:
    quoted = made(fresh, PARTED, "rows")
    script = ddl.xid("rows", key=("id", "time"))
    assert "A partitioned table does not take CONCURRENTLY" in script
    with fresh.session() as owner:
        run(owner, script.replace(" CONCURRENTLY IF", " IF"))
        owner.execute(f"INSERT INTO {quoted} (id) VALUES (1)")
        assert owner.execute("SELECT count(*)::int FROM rows WHERE xid IS NOT NULL") == [[1]]


async def test_a_table_can_be_followed_by_what_is_printed(fresh: Fresh) -> None:
    made(fresh, PLAIN, "rows")
    with fresh.session() as owner:
        run(owner, ddl.xid("rows", key=("id",)))
    async with following(fresh, follow="xid") as followed:
        assert await followed.poll() == []
        fresh.execute("INSERT INTO rows (id, symbol) VALUES (1, 'a')")
        assert len(await followed.poll()) == 1


def test_after_a_copy_the_numbers_are_set_back_as_printed(fresh: Fresh) -> None:
    made(fresh, PLAIN, "rows")
    script = ddl.xid("rows")
    with fresh.session() as owner:
        run(owner, script)
        owner.execute("INSERT INTO rows (id, xid) VALUES (1, '99999999999')")
        owner.execute(re.findall(r"^--   (UPDATE .*)$", script, flags=re.MULTILINE)[0])
        assert owner.execute("SELECT xid::text FROM rows") == [["0"]]


@pytest.mark.parametrize("write", [lambda name: ddl.trigger(name, "a"), ddl.xid])
def test_what_is_no_name_is_told(write: object) -> None:
    assert callable(write)
    with pytest.raises(SourceError, match="no name of a table"):
        write("rows; DROP TABLE rows")
