"""What `appliance sql` prints: statements for the owner of a table, who may want to read them first.

Must not know the database: the appliance itself only ever reads.
"""

# ruff: noqa: S608 - names are quoted, and the owner of the table runs it

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.sources.postgres.names import identifier, literal, parts

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_NAME = 63


def trigger(table: str, notify: str) -> str:
    """Have each statement that inserts rows say so, for channels with `notify`."""
    name = parts(table)
    quoted = _quoted(name)
    function = _quoted((*name[:-1], "appliance_notify"))
    return f"""\
-- Each statement that inserts into {quoted} tells of it when its transaction commits:
-- once, without content, however many rows there are. Delivery does not depend on it; rows only come sooner.
-- Where rows are inserted into a partition by its own name, that partition needs the trigger too.
BEGIN;
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $appliance$
BEGIN
  PERFORM pg_notify(TG_ARGV[0], '');
  RETURN NULL;
END
$appliance$;
DROP TRIGGER IF EXISTS appliance_notify ON {quoted};
CREATE TRIGGER appliance_notify AFTER INSERT ON {quoted}
  FOR EACH STATEMENT EXECUTE FUNCTION {function}({literal(notify)});
COMMIT;

-- In the configuration, in the table of the channel:
--   notify = {_toml(notify)}

-- To undo it (the function only where no other table has the trigger):
--   DROP TRIGGER appliance_notify ON {quoted};
--   DROP FUNCTION {function}();
"""


def xid(table: str, *, column: str = "xid", key: Sequence[str] = ()) -> str:
    """Give a table the column that `follow = "xid"` goes by. `key` are the columns of its primary key, if known."""
    name = parts(table)
    quoted, number = _quoted(name), _one_line(column)
    index = _one_line(_cut(f"{name[-1]}_{column}"))
    columns = ", ".join([number, *(_one_line(part) for part in key)])
    end = "pg_snapshot_xmax(pg_current_snapshot())"
    back = f"UPDATE {quoted} SET {number} = '0' WHERE {number} >= {end}"
    unknown = "" if key else " /* , and here the columns of the primary key */"
    return f"""\
-- Each row of {quoted} gets the number of the transaction that inserts it (PostgreSQL 13 or newer).
-- The table is not rewritten: the rows that are there have no number, and count as past.
BEGIN;
SET LOCAL lock_timeout = '5s';  -- rather try again than hold up who writes
ALTER TABLE {quoted} ADD COLUMN IF NOT EXISTS {number} xid8;
ALTER TABLE {quoted} ALTER COLUMN {number} SET DEFAULT pg_current_xact_id();
COMMIT;

-- So that new rows are found at once. It takes its time, and holds up nobody; it does not run inside a transaction.
-- A partitioned table does not take CONCURRENTLY: leave the word out, or make such an index on each partition first.
CREATE INDEX CONCURRENTLY IF NOT EXISTS {index} ON {quoted} ({columns}{unknown});

-- In the configuration, in the table of the channel:
--   follow = "xid"
--   xid = {_toml(column)}

-- After rows were copied here from another database, before the channel starts:
--   {back};

-- To undo it (the index goes with the column):
--   ALTER TABLE {quoted} DROP COLUMN {number};
"""


def _quoted(name: Sequence[str]) -> str:
    return ".".join(_one_line(part) for part in name)


def _one_line(name: str) -> str:
    """A name in quotes that breaks no line, so that it can stand in a comment."""
    if name.isprintable():
        return identifier(name)
    escaped = name.replace("\\", "\\\\")
    return "U&" + identifier("".join(s if s.isprintable() else f"\\+{ord(s):06X}" for s in escaped))


def _toml(text: str) -> str:
    escaped = "".join(
        f"\\u{ord(sign):04X}" if ord(sign) < ord(" ") or ord(sign) == 127 else sign  # noqa: PLR2004 - DEL
        for sign in text.replace("\\", "\\\\").replace('"', '\\"')
    )
    return f'"{escaped}"'


def _cut(name: str) -> str:
    """The name of an index, which PostgreSQL would cut in silence."""
    end = "_idx"
    return name.encode()[: _LONGEST_NAME - len(end)].decode(errors="ignore") + end
