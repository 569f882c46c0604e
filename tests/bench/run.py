"""`make bench`: the running appliance against a bare loop of `send` and two peers; its dialects; and how soon rows of
tables come, against two servers made by hand.

Must not be believed for a single figure: machines are noisy, so rounds interleave all servers in short
turns, and medians count.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from tests.bench.bench_commits import CommitEffort, measure_commits
from tests.bench.bench_commits_report import commits_result, commits_right, show_commits
from tests.bench.bench_dialects import OWN, dialects
from tests.bench.bench_following import FOLLOWERS
from tests.bench.bench_measure import machine
from tests.bench.bench_recipes import BenchError, Recipe, choose, recipes
from tests.bench.bench_report import result, right, show
from tests.bench.bench_rounds import Effort, bring_up, run_rounds
from tests.bench.bench_servers import ROOT
from tests.bench.load import allow_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@attrs.frozen
class Report:
    """How the figures of a part are shown, and whether they are as they should be."""

    show: Callable[[dict[str, Any]], None]
    right: Callable[[dict[str, Any]], bool]


REPORTS = {
    "servers": Report(show, right),
    "dialects": Report(show, right),
    "commits": Report(show_commits, commits_right),
}


def progress(text: str) -> None:
    click.echo(text, err=True)


def measure(effort: Effort, wanted: Sequence[Recipe], base: str) -> dict[str, Any]:
    """Start what is measured, measure it, and leave nothing behind."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        all_measured = []
        for recipe in wanted:
            progress(f"{recipe.name}: starting, {effort.clients} clients of each kind connecting")
            all_measured += bring_up(recipe, effort, folder, stack)
        run_rounds(all_measured, effort, progress)
        return result(all_measured, effort, base)


def parts(effort: Effort) -> dict[str, tuple[Effort, str]]:
    """Give how each part is measured, and what its costs stand beside.

    Dialects differ less than servers and are all of one process, so that fewer turns tell; and bursts of a state
    channel, whose newest event is what counts, are no measure.
    """
    fewer = attrs.evolve(effort, modes=("single",), turns=max(1, effort.turns // 3))
    return {"servers": (effort, "floor"), "dialects": (fewer, OWN)}


@click.command()
@click.option("--clients", default=1000, show_default=True)
@click.option("--rounds", default=7, show_default=True)
@click.option("--turns", default=6, show_default=True, help="How often a round measures each server.")
@click.option(
    "--events", default=10, show_default=True, help="Single events of a turn; bursts bring twice as many."
)
@click.option("--rows", default=50, show_default=True, help="Rows of a round for each that follows a table.")
@click.option(
    "--only",
    default="",
    help="Some of: floor,floor TLS,appliance,appliance TLS,websockets,fastapi,own protocol,data-ws,ara,"
    f"trading signals,trading prices,{','.join(follower.name for follower in FOLLOWERS)}.",
)
@click.option("--checkout", is_flag=True, help="Measure the checkout, not dist/appliance.pyz.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write all figures to this file too.")
@click.option("--check", is_flag=True, help="Fail when a bound is not met or an offset is wrong.")
def main(rows: int, only: str, file: Path | None, *, checkout: bool, check: bool, **amounts: Any) -> None:
    """Measure the appliance against a bare loop of send, websockets and FastAPI, its dialects, and how soon rows of
    tables come.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    allow_files()
    program = ["-m", "appliance.cli.main"] if checkout else [str(ROOT / "dist" / "appliance.pyz")]
    appliance = [sys.executable, *program]
    names = {name.strip() for name in only.split(",") if name.strip()}
    found: dict[str, Any] = {"machine": machine()}
    try:
        followers = [follower for follower in FOLLOWERS if follower.name in names or not names]
        wanted = choose(
            [*recipes(appliance), dialects(appliance)], names, beside=[one.name for one in FOLLOWERS]
        )
        effort = Effort(**amounts)
        for part, (how, base) in parts(effort).items():
            if chosen := [recipe for recipe in wanted if recipe.part == part]:
                found[part] = measure(how, chosen, base)
        if followers:
            commits = CommitEffort(rounds=effort.rounds, rows=rows)
            found["commits"] = commits_result(
                measure_commits(commits, followers, appliance, progress), commits
            )
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    reported = [(report, found[part]) for part, report in REPORTS.items() if part in found]
    for report, figures in reported:
        report.show(figures)
    click.echo(", ".join(f"{name} {value}" for name, value in found["machine"].items()))
    if file is not None:
        file.write_text(json.dumps(found, indent=2))
    if check and not all(report.right(figures) for report, figures in reported):
        sys.exit(1)


if __name__ == "__main__":
    main()
