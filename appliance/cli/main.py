"""The command line: each command of `appliance`, and what they have in common."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import appliance
from appliance.cli import outset
from appliance.cli.describe import describe
from appliance.cli.doctor import doctor
from appliance.cli.keys import keys
from appliance.cli.plugins import plugins
from appliance.cli.prospect import prospect
from appliance.cli.recording import record, replay
from appliance.cli.sql import sql
from appliance.cli.store import store
from appliance.cli.systemd import systemd
from appliance.cli.token import token
from appliance.cli.upgrade import upgrade
from appliance.core.errors import ApplianceError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

_FILE = click.Path(dir_okay=False, path_type=Path)


def main() -> None:
    """Run the command line; mistakes of the user end in one message and a status, never in a traceback."""
    try:
        cli(prog_name="appliance")
    except SettingsError as error:
        count = len(error.mistakes)
        found = "a mistake" if count == 1 else f"{count} mistakes"
        click.echo(f"appliance: the configuration has {found}", err=True)
        for mistake in error.mistakes:
            click.echo(f"  {mistake}", err=True)
        sys.exit(2)
    except ApplianceError as error:
        for line in str(error).splitlines():
            click.echo(f"appliance: {line}", err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Stream prices, predictions, signals and trades to thousands of clients over WebSocket, SSE and HTTP.

    Without a configuration it streams a simulated market: `appliance serve`.
    """


def _configured(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options by which a configuration is given."""
    overrides = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="PATH=VALUE",
        help="Set one key, as in --set limits.sessions=500.",
    )
    state = click.option("--state-dir", metavar="DIR", help="Folder for keys and certificates.")
    listen = click.option(
        "--listen",
        multiple=True,
        metavar="URL",
        help="tls://HOST:PORT, tcp://HOST:PORT (plain) or unix:PATH; may be given several times.",
    )
    return listen(state(overrides(command)))


@cli.command()
@click.option(
    "--config", "file", type=_FILE, help="The TOML file; without one, the embedded default is served."
)
@_configured
def serve(
    file: Path | None, listen: tuple[str, ...], state_dir: str | None, overrides: tuple[str, ...]
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    SIGHUP reads the configuration again and takes over what can change while clients are connected:
    certificate, keys, limits, log level. Every key of the file can also be set by an environment variable,
    APPLIANCE_LIMITS__SESSIONS for `sessions` in [limits].
    """
    with outset.lightly():
        from appliance.cli import serving  # noqa: PLC0415 - `version` and `--help` answer without loading the server

    request = serving.Request(
        file=file, listen=listen, overrides=overrides, state_dir=state_dir, environment=dict(os.environ)
    )
    sys.exit(serving.serve(request))


@cli.command()
@click.argument("file", type=_FILE)
@_configured
@click.option("--connect", is_flag=True, help="Ask the sources too: whether rows can come, and which.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, max=3600, min_open=True),
    metavar="SECONDS",
    default=30.0,
    show_default=True,
    help="How long a source may take with --connect, for each of its channels.",
)
def check(
    file: Path,
    listen: tuple[str, ...],
    state_dir: str | None,
    overrides: tuple[str, ...],
    *,
    connect: bool,
    timeout: float,
) -> None:
    """Check FILE as `serve` would read it, without serving: settings, plugins and their settings.

    With --connect, the source of each channel is then asked what it would read, as by

    \b
      appliance check appliance.toml --connect

    For a table that shows its columns and the fields that they become, what is the key, the time and the identity of
    a row, how new rows are found and whether an index serves that, and the newest rows as clients would get them. It
    only reads. What is being asked is told on standard error.

    Ends with status 0 when all is good, 1 when a source cannot be asked or a plugin does not load, 2 when something is
    wrong with the configuration.
    """  # noqa: D301 - to click, \b says that these lines stay as they are
    with outset.lightly():
        from appliance.cli import serving  # noqa: PLC0415 - as above

    request = serving.Request(
        file=file, listen=listen, overrides=overrides, state_dir=state_dir, environment=dict(os.environ)
    )
    if not connect:
        lines = serving.check(request)
    else:
        from appliance.cli import connecting  # noqa: PLC0415 - as above

        lines = serving.check(request, then=partial(connecting.connect, timeout=timeout))
    for line in lines:
        click.echo(line)


@cli.command()
def version() -> None:
    """Print the version."""
    click.echo(f"appliance {appliance.__version__}")


_configured(describe)
cli.add_command(describe)
cli.add_command(doctor)
cli.add_command(plugins)
cli.add_command(keys)
cli.add_command(token)
cli.add_command(sql)
cli.add_command(store)
cli.add_command(systemd)
cli.add_command(upgrade)
_configured(prospect)
cli.add_command(prospect)
cli.add_command(record)
_configured(replay)
cli.add_command(replay)


if __name__ == "__main__":
    main()
