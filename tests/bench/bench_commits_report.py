"""What the bench found of commits: medians, worst cases, and a table.

Must not measure. As with servers, ratios are taken within a round, and the median of the rounds counts.
"""

from __future__ import annotations

from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import attrs
from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench.bench_following import PEER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.bench_commits import CommitEffort, Followed

PROMPT = 50.0
"""Milliseconds from commit to client, in the median, within which the appliance is to tell of what it has notice of."""
_WIDTH = 110


def commits_result(every: Sequence[Followed], effort: CommitEffort) -> dict[str, Any]:
    by_name = {followed.name: followed for followed in every}
    return {
        "effort": attrs.asdict(effort),
        "base": PEER,
        "followers": {followed.name: _figures(followed, by_name.get(PEER)) for followed in every},
    }


def commits_right(found: dict[str, Any]) -> bool:
    """Whether each row came once and in order, and soon where that is asked for."""
    return all(one["clean"] and one["met"] for one in found["followers"].values())


def show_commits(found: dict[str, Any]) -> None:
    effort = found["effort"]
    table = Table(
        title=f"{effort['rounds']} rounds of {effort['rows']} rows, one by one: ms from commit to client",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("", no_wrap=True)
    for heading in (
        "median",
        "p99",
        "worst",
        f"times\n{found['base']}",
        "least to most\nof rounds",
        "median\nat most",
        "rows",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, one in found["followers"].items():
        times = one["times_base_rounds"]
        table.add_row(
            name,
            *(f"{one[figure]:.2f}" for figure in ("median_ms", "p99_ms", "worst_ms")),
            *((f"{median(times):.2f}", f"{min(times):.2f} to {max(times):.2f}") if times else ("", "")),
            "" if one["most_ms"] is None else f"{one['most_ms']:g}: {'met' if one['met'] else 'NOT MET'}",
            "all" if one["clean"] else "WRONG",
        )
    Console(width=_WIDTH).print(table)


def _figures(followed: Followed, base: Followed | None) -> dict[str, Any]:
    rounds = _medians(followed)
    others = _medians(base) if base else []
    every = [delay * 1e3 for delays in followed.delays for delay in delays]
    follower = followed.follower
    most = PROMPT if follower.notified and not follower.is_peer else None
    return {
        "median_ms": median(every),
        "p99_ms": quantiles(every, n=100, method="inclusive")[-1],
        "worst_ms": max(every),
        "median_ms_rounds": rounds,
        "times_base_rounds": [delay / other for delay, other in zip(rounds, others, strict=False)],
        "clean": followed.clean,
        "most_ms": most,
        "met": most is None or median(every) <= most,
    }


def _medians(followed: Followed) -> list[float]:
    return [median(delays) * 1e3 for delays in followed.delays]
