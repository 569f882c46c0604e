"""The commands for authors of plugins and those who run them: `appliance plugins new`, `check` and `list`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from appliance.cli import outset

_FILE = click.Path(dir_okay=False, path_type=Path)
_CONFIG = click.option(
    "--config", type=_FILE, help="The TOML file of the appliance; without one, the embedded default."
)


@click.group()
def plugins() -> None:
    """Write, check and list plugins: the files that add channels.

    A plugin is a Python file in a folder that `plugins_dir` in the configuration names. Begin with

    \b
      appliance plugins new fees       writes fees.py and tests/test_fees.py
      appliance plugins check fees.py  shows what it publishes
      appliance plugins list           shows which plugins there are, and how they fare
    """  # noqa: D301 - to click, \b says that these lines stay as they are


@plugins.command()
@click.argument("name")
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder to write into, made where it is missing; without one, the folder you are in.",
)
def new(name: str, folder: Path) -> None:
    """Write a plugin and its test.

    NAME.py adds a channel NAME; tests/test_NAME.py tests it. Both run as they are: change the figures into yours.
    The appliance passes over the folder tests, so that plugin and test can lie in one of its plugins folders.
    Nothing that is there is overwritten.
    """
    from appliance.cli import starter  # noqa: PLC0415 - help answers without loading what a command needs

    if problem := starter.problem(name):
        raise click.BadParameter(problem, param_hint="'NAME'")
    written = starter.write(name, folder)
    click.echo(f"{written.plugin}: the plugin, with the channel `{name}`")
    click.echo(f"{written.test}: its test; the appliance passes over the folder `{starter.TESTS}`")
    click.echo("\nNext:")
    for line in starter.next_steps(written):
        click.echo(f"  {line}")


@plugins.command()
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@_CONFIG
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, max=3600),
    default=3.0,
    show_default=True,
    help="How long to run its channels; 0: only load it.",
)
def check(file: Path, config: Path | None, seconds: float) -> None:
    """Show what the plugin FILE publishes.

    It is loaded as the appliance would load it: who may write it is looked at, it is imported in a process of its own,
    and its names and settings are checked. Then its channels run, with a line for each event in each of its topics:
    time, topic, offset, data. Nobody is served, and of other channels only the built-in ones run, for FILE to watch.
    With --config, its settings are those in there.

    Ends with status 0 when all is good, 1 when something is wrong with the plugin, 2 when with the configuration.
    """
    with outset.lightly("rehearsal"):
        import trio  # noqa: PLC0415 - as above

        from appliance.cli import rehearsal  # noqa: PLC0415 - as above
        from appliance.ops import log  # noqa: PLC0415 - as above
        from appliance.settings.load import load  # noqa: PLC0415 - as above

    loaded = load(file=config, environment=os.environ)
    log.configure(level=loaded.draft.log.level, format="console", stream=sys.stderr)
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}")

    async def rehearse() -> None:
        await rehearsal.rehearse(file, loaded, seconds=seconds, tell=click.echo)

    trio.run(rehearse)


@plugins.command(name="list")
@_CONFIG
@click.option(
    "--state-dir", metavar="DIR", help="State folder of the appliance, where it is not the usual one."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def list_plugins(config: Path | None, state_dir: str | None, *, as_json: bool) -> None:
    """List plugins, and how they fare.

    Each has its name, state, channels and file, and below it what is wrong. They are those of the appliance that runs
    with this state folder. When none runs, they are those that would be loaded.

    The states: loaded; refused (what ran before it changed goes on); incomplete (a channel lacks what another plugin
    had); quarantined (a producer was ended for its conduct).
    """
    with outset.lightly("inventory"):
        from appliance.cli import inventory  # noqa: PLC0415 - as above
        from appliance.settings.load import load  # noqa: PLC0415 - as above

    found = inventory.take(load(file=config, environment=os.environ, state_dir=state_dir), os.environ)
    for line in [inventory.as_json(found)] if as_json else inventory.as_table(found):
        click.echo(line)
