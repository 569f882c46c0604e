"""`make bench`: the running appliance against a bare loop of `send` and two peers, in one run.

Must not be believed for a single figure: machines are noisy, so rounds interleave all servers and
medians count.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from tests.bench.bench_report import result, right, show
from tests.bench.bench_rounds import Effort, bring_up, run_rounds
from tests.bench.bench_servers import ROOT, BenchError, recipes
from tests.bench.load import allow_files


def progress(text: str) -> None:
    click.echo(text, err=True)


def measure(effort: Effort, program: list[str], only: set[str]) -> dict[str, Any]:
    """Start what is measured, measure it, and leave nothing behind."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        all_measured = []
        for recipe in recipes([sys.executable, *program]):
            if not only or recipe.name in only:
                progress(f"{recipe.name}: starting, {effort.clients} clients connecting")
                all_measured.append(bring_up(recipe, effort, folder, stack))
        run_rounds(all_measured, effort, progress)
        return result(all_measured, effort)


@click.command()
@click.option("--clients", default=1000, show_default=True)
@click.option("--rounds", default=7, show_default=True)
@click.option(
    "--events", default=50, show_default=True, help="Single events of a phase; bursts bring twice as many."
)
@click.option("--only", default="", help="Some of: floor,appliance,appliance TLS,websockets,fastapi.")
@click.option("--checkout", is_flag=True, help="Measure the checkout, not dist/appliance.pyz.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write all figures to this file too.")
@click.option("--check", is_flag=True, help="Fail when a bound is not met or an offset is wrong.")
def main(
    clients: int, rounds: int, events: int, only: str, file: Path | None, *, checkout: bool, check: bool
) -> None:
    """Measure the appliance against a bare loop of send, websockets and FastAPI."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    allow_files()
    program = ["-m", "appliance.cli.main"] if checkout else [str(ROOT / "dist" / "appliance.pyz")]
    names = {name.strip() for name in only.split(",") if name.strip()}
    try:
        found = measure(Effort(clients=clients, rounds=rounds, events=events), program, names)
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    show(found)
    if file is not None:
        file.write_text(json.dumps(found, indent=2))
    if check and not right(found):
        sys.exit(1)


if __name__ == "__main__":
    main()
