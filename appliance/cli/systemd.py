"""`appliance systemd`: puts the appliance under systemd on this server, shows how it is, takes it away again."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.core.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.ops.installation import Change

_NOT_WELL = 3
"""The status that `systemctl status` has for a unit that does not run."""
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_dry_run = click.option("--dry-run", is_flag=True, help="Only print what would be done.")


@click.group()
def systemd() -> None:
    """Run the appliance as a service of this server, watched by systemd."""


@systemd.command()
@click.option("--file", type=_FILE, help="The file to install; without it, the one that runs now.")
@click.option(
    "--listen",
    multiple=True,
    metavar="URL",
    help="Where the first configuration listens: tls://HOST:PORT, tcp://HOST:PORT (plain) or unix:PATH; may be "
    "given several times. Without it, tls://0.0.0.0:8443.",
)
@_dry_run
def install(file: Path | None, listen: tuple[str, ...], *, dry_run: bool) -> None:
    """Install this file, a first configuration, and the units.

    It changes only what is not as it should be, and prints each change. A configuration that is there stays as it
    is; after a change of its [[listen]], this opens the new ports in the socket unit.
    """
    from appliance.ops import installation, systemctl, units  # noqa: PLC0415 - help answers without loading them

    _require(dry_run=dry_run)
    server = installation.Server()
    changes = installation.planned(
        server,
        file=(file or Path(sys.argv[0])).absolute(),
        urls=_addresses(listen),
        python=Path(sys.executable),
        systemd=systemctl.version(),
    )
    names = installation.unit_names(server, changes)
    if units.SOCKET not in names and server.socket.exists():
        _tell("disable", "--now", units.SOCKET, dry_run=dry_run)
    _carry_out(changes, dry_run=dry_run)
    if any(change.path in (server.unit, server.socket) for change in changes):
        _tell("daemon-reload", dry_run=dry_run)
    if not all(map(systemctl.is_enabled, names)):
        _tell("enable", *names, dry_run=dry_run)
    active = systemctl.is_active(units.UNIT)
    if not active:
        click.echo("start it:   systemctl start appliance")
    elif changes:
        click.echo(f"restart it: systemctl restart {' '.join(names)}")
    else:
        click.echo("all is in place, and runs")


@systemd.command()
@click.option("--purge", is_flag=True, help="Remove the configuration and all that was ever kept, too.")
@_dry_run
def uninstall(*, purge: bool, dry_run: bool) -> None:
    """Stop the appliance, and remove what `install` has put in place.

    The configuration in /etc/appliance, what is kept in /var/lib/appliance and the audit log in /var/log/appliance
    stay, unless --purge says otherwise.
    """
    from appliance.ops import installation, systemctl, units  # noqa: PLC0415 - as above

    _require(dry_run=dry_run)
    server = installation.Server()
    changes = installation.removals(server, purge=purge)
    names = [path.name for path in (server.socket, server.unit) if path.exists()]
    if names:
        _tell("disable", "--now", *names, dry_run=dry_run)
        # Once more: while it stopped, somebody may have come, and the socket have started it again.
        _tell("stop", *names, dry_run=dry_run)
    _carry_out(changes, dry_run=dry_run)
    if names:
        _tell("daemon-reload", dry_run=dry_run)
        if not dry_run and systemctl.show(units.UNIT, "ActiveState").get("ActiveState") == "failed":
            _tell("reset-failed", units.UNIT, dry_run=dry_run)
    if not changes:
        click.echo("nothing is installed")
    folders = (server.configuration.parent, server.state[0], server.logs[0])
    kept = [str(path) for path in folders if path.exists()]
    if kept and not purge:
        click.echo(f"kept: {', '.join(kept)}; --purge removes them")


@systemd.command()
def status() -> None:
    """Show how the appliance does: its unit, its version, where it listens, whether new clients are well served.

    Ends with status 0 when all is well, and with 3 otherwise.
    """
    from appliance.cli import standing  # noqa: PLC0415 - as above
    from appliance.ops import systemctl  # noqa: PLC0415 - as above

    systemctl.require()
    seen = standing.look()
    for line in seen.lines:
        click.echo(line)
    sys.exit(0 if seen.well else _NOT_WELL)


def _addresses(urls: tuple[str, ...]) -> tuple[str, ...]:
    from appliance.settings.address import Address  # noqa: PLC0415 - as above

    try:
        return tuple(str(Address.parse(url)) for url in urls)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--listen") from None


def _require(*, dry_run: bool) -> None:
    from appliance.ops import systemctl  # noqa: PLC0415 - as above

    systemctl.require()
    if os.geteuid() != 0 and not dry_run:
        words = " ".join(sys.argv[1:])
        raise StartError(
            f"only root may do this: sudo {sys.executable} {Path(sys.argv[0]).absolute()} {words}"
        )


def _carry_out(changes: Iterable[Change], *, dry_run: bool) -> None:
    for change in changes:
        click.echo(f"would {change}" if dry_run else str(change))
        if not dry_run:
            try:
                change.carry_out()
            except OSError as error:
                raise StartError(f"{error.filename}: {error.strerror}") from error


def _tell(*words: str, dry_run: bool) -> None:
    from appliance.ops import systemctl  # noqa: PLC0415 - as above

    says = f"run systemctl {' '.join(words)}"
    click.echo(f"would {says}" if dry_run else says)
    if not dry_run:
        systemctl.tell(*words)
