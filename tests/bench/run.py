"""`make bench`: the running appliance against a bare loop of `send` and two peers, in one run.

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

import click

from tests.bench.bench_report import result, right, show
from tests.bench.bench_rounds import Effort, bring_up, run_rounds
from tests.bench.bench_servers import ROOT, BenchError, Recipe, choose, recipes
from tests.bench.load import allow_files

if TYPE_CHECKING:
    from collections.abc import Sequence


def progress(text: str) -> None:
    click.echo(text, err=True)


def measure(effort: Effort, wanted: Sequence[Recipe]) -> dict[str, Any]:
    """Start what is measured, measure it, and leave nothing behind."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        all_measured = []
        for recipe in wanted:
            progress(f"{recipe.name}: starting, {effort.clients} clients of each kind connecting")
            all_measured += bring_up(recipe, effort, folder, stack)
        run_rounds(all_measured, effort, progress)
        return result(all_measured, effort)


@click.command()
@click.option("--clients", default=1000, show_default=True)
@click.option("--rounds", default=7, show_default=True)
@click.option("--turns", default=6, show_default=True, help="How often a round measures each server.")
@click.option(
    "--events", default=10, show_default=True, help="Single events of a turn; bursts bring twice as many."
)
@click.option(
    "--only", default="", help="Some of: floor,floor TLS,appliance,appliance TLS,websockets,fastapi."
)
@click.option("--checkout", is_flag=True, help="Measure the checkout, not dist/appliance.pyz.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write all figures to this file too.")
@click.option("--check", is_flag=True, help="Fail when a bound is not met or an offset is wrong.")
def main(only: str, file: Path | None, *, checkout: bool, check: bool, **amounts: int) -> None:
    """Measure the appliance against a bare loop of send, websockets and FastAPI."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    allow_files()
    program = ["-m", "appliance.cli.main"] if checkout else [str(ROOT / "dist" / "appliance.pyz")]
    names = {name.strip() for name in only.split(",") if name.strip()}
    try:
        found = measure(Effort(**amounts), choose(recipes([sys.executable, *program]), names))
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    show(found)
    if file is not None:
        file.write_text(json.dumps(found, indent=2))
    if check and not right(found):
        sys.exit(1)


if __name__ == "__main__":
    main()
