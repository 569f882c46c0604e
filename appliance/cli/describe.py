"""The command that prints what is served, for programs to read: `appliance describe openapi` and `asyncapi`.

Must not know what the documents say.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import click

from appliance.cli import outset

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("document", type=click.Choice(("openapi", "asyncapi")))
@click.option(
    "--config", "file", type=_FILE, help="The TOML file; without one, the embedded default is described."
)
def describe(
    document: Literal["openapi", "asyncapi"],
    file: Path | None,
    listen: tuple[str, ...],
    state_dir: str | None,
    overrides: tuple[str, ...],
) -> None:
    """Print a description of what `serve` would serve: `openapi` of HTTP, `asyncapi` of the sockets.

    A running appliance gives the same under /api/v1/openapi.json and /api/v1/asyncapi.json. What a listener decides,
    such as whether a key must be shown, is that of the first one.

    \b
      appliance describe openapi > openapi.json
      appliance describe asyncapi --config appliance.toml
    """  # noqa: D301 - to click, \b says that these lines stay as they are
    with outset.lightly("describe"):
        from appliance.cli import describing, serving  # noqa: PLC0415 - help answers without loading the server

    request = serving.Request(
        file=file, listen=listen, overrides=overrides, state_dir=state_dir, environment=dict(os.environ)
    )
    click.echo(describing.written(request, document))
