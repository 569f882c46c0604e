"""The commands that print SQL for the owner of a table: `appliance sql trigger` and `appliance sql xid`.

Must not know the database: nothing is connected, and nothing but SQL goes to standard output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from appliance.core.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_NAME = 63
"""Bytes: PostgreSQL refuses a longer name of a notice, and cuts a longer name of a column."""
_TABLE = click.argument("table")


@click.group()
def sql() -> None:
    """Print SQL for the owner of a table.

    The appliance only ever reads, and a table with a time can be followed as it is. Two things make it better, and the
    owner of the table has to run them: a trigger brings rows in milliseconds, a column of transaction numbers makes
    sure of each row, however late it is committed. These commands print the statements, with comments and with how to
    undo them: read them, then run them.

    \b
      appliance sql trigger trades               shows them
      appliance sql trigger trades | psql shop   runs them in the database shop
      appliance sql xid trades --identity id | psql shop
    """  # noqa: D301 - to click, \b says that these lines stay as they are


@sql.command()
@_TABLE
@click.option("--notify", metavar="NAME", help="Name of the notices; without one, the name of the table.")
def trigger(table: str, notify: str | None) -> None:
    """Print a trigger that tells of new rows.

    TABLE is a name as in SQL: trades, market.trades, '"My Trades"'. Each statement that inserts into it then sends a
    notice when its transaction commits, and a channel with `notify` set to the notices' name looks at the table at
    once, where it would wait up to `every` otherwise. Whether rows come does not depend on it: a lost notice costs
    time, no row.

    The name may be the same for several tables, whose channels then look together.
    """
    from appliance.sources.postgres import ddl  # noqa: PLC0415 - help answers without loading what a command needs

    *_, bare = _table(table)
    name = bare if notify is None else notify
    _check_names([name], "'--notify'")
    click.echo(ddl.trigger(table, name), nl=False)


@sql.command()
@_TABLE
@click.option(
    "--xid",
    "column",
    metavar="NAME",
    default="xid",
    show_default=True,
    help="Name of the column, as in the channel's `xid`.",
)
@click.option(
    "--identity",
    multiple=True,
    metavar="COLUMN",
    help="Column of the primary key, for the index; may be given several times.",
)
def xid(table: str, column: str, identity: tuple[str, ...]) -> None:
    """Print a column of transaction numbers.

    TABLE is a name as in SQL: trades, market.trades, '"My Trades"'. Each new row then carries the number of the
    transaction that inserts it, and a channel with `follow = "xid"` delivers every row once, however long its
    transaction takes, where `follow = "window"` finds what is committed within `overlap`. It takes PostgreSQL 13 or
    newer.

    The table is not rewritten, and rows that are there stay as they are.
    """
    from appliance.sources.postgres import ddl  # noqa: PLC0415 - as above

    _table(table)
    _check_names([column], "'--xid'")
    _check_names(identity, "'--identity'")
    click.echo(ddl.xid(table, column=column, key=identity), nl=False)


def _table(name: str) -> tuple[str, ...]:
    """Take the name of a table apart."""
    from appliance.sources.postgres import names  # noqa: PLC0415 - as above

    try:
        found = names.parts(name)
    except SourceError as error:
        raise click.BadParameter(str(error), param_hint="'TABLE'") from None
    _check_names(found, "'TABLE'")
    return found


def _check_names(names: Iterable[str], hint: str) -> None:
    """Find names that PostgreSQL would not take, or would cut."""
    for name in names:
        try:
            length = len(name.encode())
        except UnicodeEncodeError:
            raise click.BadParameter(f"{name!r} is not in UTF-8", param_hint=hint) from None
        if not 0 < length <= _LONGEST_NAME:
            raise click.BadParameter(
                f"{name!r} has {length} bytes; names have 1 to {_LONGEST_NAME}", param_hint=hint
            )
