"""The command by which `appliance upgrade` asks the file that comes: what would you make of what is here?

It takes the options of `serve` and answers in JSON. Whatever it answers, the version before must understand: keys are
added, and none changes its meaning. Must not know who goes on from the answer.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from appliance.cli import outset

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(hidden=True)
@click.option("--config", "file", type=_FILE)
def prospect(
    file: Path | None, listen: tuple[str, ...], state_dir: str | None, overrides: tuple[str, ...]
) -> None:
    """Print what a start of this version would meet, as JSON: mistakes, warnings, the store."""
    with outset.lightly("prospect"):
        from appliance.cli import outlook, serving  # noqa: PLC0415 - help answers without loading the server

    request = serving.Request(
        file=file, listen=listen, overrides=overrides, state_dir=state_dir, environment=dict(os.environ)
    )
    click.echo(json.dumps(outlook.look(request)))
