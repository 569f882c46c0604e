"""The sources of channels: whether rows can come, and come as soon from a large table as from a small one.

Must not know what kinds of source there are, nor how they were asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from appliance.ops.doctor.findings import Kind, note, ok, problem, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from appliance.ops.doctor.findings import Finding


@attrs.frozen(kw_only=True)
class Answer:
    """What the source of a channel said. `refusal` is why there can be no rows, with the remedy behind a semicolon.

    `served_by_index` says whether new rows are found as soon however many there are; `index` is a statement that
    makes it so, where one can be told.
    """

    channel: str
    refusal: str = ""
    served_by_index: bool = True
    index: str = ""


@attrs.frozen(kw_only=True)
class Facts:
    """`answers` is nothing when no source was asked; `askable` counts the channels whose sources could be."""

    askable: int
    answers: Sequence[Answer] | None


def judge(facts: Facts) -> Iterator[Finding]:
    if not facts.askable:
        yield ok(Kind.SOURCE, "no channel has one that can be asked what it would read")
    elif facts.answers is None:
        yield note(
            Kind.SOURCE,
            f"{facts.askable} {'channel has one' if facts.askable == 1 else 'channels have some'} to be asked",
            why="what a database refuses shows only when it is asked",
            remedy="`appliance doctor --connect`, which only reads",
        )
    else:
        yield from map(_judged, facts.answers)


def _judged(answer: Answer) -> Finding:
    if answer.refusal:
        what, _, remedy = " ".join(answer.refusal.split()).rpartition("; ")
        return problem(
            Kind.SOURCE,
            f"channel {answer.channel}: {what or remedy}",
            why="no row of it comes",
            remedy=remedy if what else "`appliance check FILE --connect` tells more",
        )
    if not answer.served_by_index:
        return warning(
            Kind.SOURCE,
            f"channel {answer.channel}: no index serves when new rows are looked for",
            why="each look takes the longer, the larger the table grows",
            remedy=f"`{answer.index}` there; leave CONCURRENTLY out for a partitioned table or a hypertable"
            if answer.index
            else "make an index of the columns that `query` sorts by",
        )
    return ok(Kind.SOURCE, f"channel {answer.channel}: rows can come, and an index serves")
