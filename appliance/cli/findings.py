"""What an examination of a channel's source found, as lines for people.

Must not know how it was asked for, nor the source.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import attrs
from rich.cells import cell_len, set_cell_size

from appliance.api import Rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from appliance.api import Row

_HEADS = ("COLUMN", "TYPE", "FIELD")
_NO_FIELD = "-"
_CUT = "…"


class Examination(Protocol):
    """What a source says of the rows of a channel.

    `facts` say how they are found, by names. `columns` are names, types, and the fields of the data that they become,
    if any. `plan` is how the source finds new rows, `served_by_index` whether that takes as long however many rows
    there are, and `index` the statement that makes an index for it, where it can be told. `first` are the newest rows.
    """

    @property
    def facts(self) -> Sequence[tuple[str, str]]: ...

    @property
    def columns(self) -> Sequence[tuple[str, str, str | None]]: ...

    @property
    def plan(self) -> str: ...

    @property
    def served_by_index(self) -> bool: ...

    @property
    def index(self) -> str: ...

    @property
    def first(self) -> Sequence[Row]: ...


@runtime_checkable
class Examinable(Rows, Protocol):
    """An opened source that can also say what it would read for a channel, without following it."""

    async def examine(self, settings: Any) -> Examination:  # noqa: ANN401 - as for `produce`
        """Look at it; SourceError says why rows could not come."""


@attrs.frozen(kw_only=True)
class Finding:
    """A channel's source, what it says, and the newest rows as lines: as clients would get them."""

    channel: str
    source: str
    found: Examination
    events: Sequence[str]


def lines(finding: Finding, *, width: int | None = None) -> Iterator[str]:
    """Give the lines. Events are cut to a `width` in cells of a terminal, where there is one."""
    found = finding.found
    yield finding.channel
    yield from _indented(_table([("source", finding.source), *found.facts]))
    yield ""
    shown = [(name, kind, _NO_FIELD if field is None else field) for name, kind, field in found.columns]
    yield from _indented(_table([_HEADS, *shown]))
    yield ""
    yield "  how new rows are found:"
    yield from _indented((printable(line) for line in found.plan.splitlines()), by=4)
    yield from _indented(_advice(found))
    yield ""
    yield f"  newest events:{'' if finding.events else ' none'}"
    yield from (_cut(f"    {event}", width) for event in finding.events)


def printable(text: str) -> str:
    """Write what would not show, or would command a terminal, as JSON escapes it."""
    return "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in text)


def _advice(found: Examination) -> Iterator[str]:
    if found.served_by_index:
        yield "an index serves: it takes as long however large the table grows"
        return
    yield "no index serves: each look takes the longer, the larger the table grows"
    if found.index:
        yield "make one (a partitioned table or a hypertable does not take CONCURRENTLY: leave the word out):"
        yield f"  {printable(found.index)}"


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Lay out rows of texts, each column as wide as its widest text."""
    clean = [[printable(text) for text in row] for row in rows]
    widths = [max(cell_len(row[column]) for row in clean) for column in range(len(rows[0]) - 1)]
    for *head, last in clean:
        padded = (text + " " * (width - cell_len(text)) for text, width in zip(head, widths, strict=True))
        yield "  ".join([*padded, last])


def _indented(texts: Iterable[str], *, by: int = 2) -> Iterator[str]:
    return (f"{' ' * by}{text}" for text in texts)


def _cut(text: str, width: int | None) -> str:
    if width is None or cell_len(text) <= width:
        return text
    return set_cell_size(text, max(width - cell_len(_CUT), 0)) + _CUT
