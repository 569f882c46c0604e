"""The command line: `appliance serve`, `appliance check`, `appliance plugins`, `appliance version`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import appliance
from appliance.cli.plugins import plugins
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
    from appliance.cli import serving  # noqa: PLC0415 - `version` and `--help` answer without loading the server

    request = serving.Request(
        file=file, listen=listen, overrides=overrides, state_dir=state_dir, environment=dict(os.environ)
    )
    sys.exit(serving.serve(request))


@cli.command()
@click.argument("file", type=_FILE)
@_configured
def check(file: Path, listen: tuple[str, ...], state_dir: str | None, overrides: tuple[str, ...]) -> None:
    """Check FILE as `serve` would read it, without serving: settings, plugins and their settings."""
    from appliance.cli import serving  # noqa: PLC0415 - as above

    request = serving.Request(
        file=file, listen=listen, overrides=overrides, state_dir=state_dir, environment=dict(os.environ)
    )
    for line in serving.check(request):
        click.echo(line)


@cli.command()
def version() -> None:
    """Print the version."""
    click.echo(f"appliance {appliance.__version__}")


cli.add_command(plugins)


if __name__ == "__main__":
    main()
