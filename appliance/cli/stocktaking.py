"""What was found in a store, in words: for operators, and for programs.

Must not know how it was found.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
from rich.filesize import decimal

from appliance.core.instants import timestamp
from appliance.store.faults import remedy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from appliance.store.inspection import Contents, Findings

_HEADS = ("CHANNEL", "TOPICS", "EVENTS", "BYTES", "OLDEST", "NEWEST", "NOTED")
_NUMBERS = slice(1, 4)
"""Columns that stand at the right."""


def as_table(findings: Findings) -> Iterator[str]:
    """Give a verdict, what is wrong, and the lines of a table."""
    flaws = findings.flaws
    yield f"{findings.file}: {'damaged' if flaws else 'good'}"
    yield from (f"  {_printable(flaw)}" for flaw in flaws.told)
    if flaws.more:
        yield f"  … and {flaws.more:,} more"
    if flaws:
        yield "What to do: keep what can be read with `appliance store export`, then"
        yield remedy(findings.file)
    if findings.version is None:
        return
    yield f"version {findings.version}, {decimal(findings.size)}, of which {decimal(findings.free)} are free"
    yield ""
    yield from _columns([_HEADS, *(_row(name, each) for name, each in findings.channels.items())])


def as_json(findings: Findings) -> str:
    content = {
        "file": str(findings.file),
        "good": not findings.flaws,
        "version": findings.version,
        "bytes": findings.size,
        "free_bytes": findings.free,
        "channels": [
            {
                "channel": name,
                "topics": each.topics,
                "events": each.events,
                "bytes": each.size,
                "oldest": _moment(each.oldest),
                "newest": _moment(each.newest),
                "noted": each.notes,
            }
            for name, each in findings.channels.items()
        ],
        "flaws": findings.flaws.told,
        "more_flaws": findings.flaws.more,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


def _row(name: str, contents: Contents) -> tuple[str, ...]:
    noted = [label if count == 1 else f"{label} ({count:,})" for label, count in contents.notes.items()]
    return (
        _printable(name),
        f"{contents.topics:,}",
        f"{contents.events:,}",
        decimal(contents.size),
        _moment(contents.oldest) or "-",
        _moment(contents.newest) or "-",
        _printable(", ".join(noted)) or "-",
    )


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        cells[_NUMBERS] = [
            text.rjust(width) for text, width in zip(row[_NUMBERS], widths[_NUMBERS], strict=True)
        ]
        yield "  ".join(cells).rstrip()


def _moment(at: float) -> str | None:
    """A time; of a channel without events there is none."""
    return timestamp(at) if math.isfinite(at) else None


def _printable(text: str) -> str:
    """What is damaged may hold anything, also what a terminal would take for a command."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)
