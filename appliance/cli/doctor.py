"""The command `appliance doctor`: says what is not well with a server, and what to do about it."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import click

from appliance.cli import outset

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--config", "file", type=_FILE, help="The TOML file; without one, the embedded default is looked at."
)
@click.option(
    "--listen",
    multiple=True,
    metavar="URL",
    help="tls://HOST:PORT, tcp://HOST:PORT (plain) or unix:PATH; may be given several times.",
)
@click.option("--state-dir", metavar="DIR", help="Folder for keys and certificates.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Set one key, as in --set limits.sessions=500.",
)
@click.option("--connect", is_flag=True, help="Ask the sources too: whether rows can come, and by an index.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, max=3600, min_open=True),
    metavar="SECONDS",
    default=30.0,
    show_default=True,
    help="How long a source may take with --connect, for each of its channels.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def doctor(
    file: Path | None,
    listen: tuple[str, ...],
    state_dir: str | None,
    overrides: tuple[str, ...],
    *,
    connect: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Say what is not well with this server and this configuration, and what to do.

    It looks at the interpreter, the configuration and its plugins, the unit of systemd, the ports, the certificate,
    permissions, disk, memory, open files, the settings of the kernel and the clock; with --connect at the databases
    too. It changes nothing, and may be asked while the appliance runs.

    \b
      ok       it is well
      note     it is worth knowing
      warning  it will hurt one day
      problem  it hurts now

    Ask as the user that the appliance runs as; root is told the most, but of other users' rights only what it sees.

    Ends with status 0 when there is no problem, 1 when there is one, 2 when the configuration cannot be read.
    """  # noqa: D301 - to click, \b says that these lines stay as they are
    with outset.lightly("doctor"):
        from appliance.cli import diagnosis, serving, verdicts  # noqa: PLC0415 - help answers without loading the server

    request = serving.Request(
        file=file, listen=listen, overrides=overrides, state_dir=state_dir, environment=dict(os.environ)
    )
    found = []
    tell = partial(click.echo, err=True)
    for finding in diagnosis.diagnose(request, timeout=timeout if connect else None, tell=tell):
        found.append(finding)
        if not as_json:
            for line in verdicts.lines(finding):
                click.echo(line)
    click.echo(verdicts.as_json(found) if as_json else f"\n{verdicts.summary(found)}")
    if verdicts.has_problem(found):
        sys.exit(1)
