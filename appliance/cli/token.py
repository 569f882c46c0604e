"""The commands for signed tokens: `appliance token create` and `inspect`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.cli import holding, moments, revoking
from appliance.cli.granting import granting, views_of

if TYPE_CHECKING:
    from appliance.settings.access import TokenSettings
    from appliance.settings.tree import Settings

_FILE = click.Path(dir_okay=False, path_type=Path)
_NOT_GOOD = 1


@click.group()
def token() -> None:
    """Make tokens (JWT), and look at them.

    Who issues tokens, and the most that they may allow, is in [[auth.tokens]] of the configuration.

    \b
      appliance token create --config appliance.toml --issuer own --sub ann --expires 1h
      appliance token inspect --config appliance.toml - < token
      appliance token revoke --config appliance.toml --principal own/ann
    """  # noqa: D301 - to click, \b says that these lines stay as they are


@token.command()
@click.option("--sub", "subject", required=True, metavar="NAME", help="Whose it is.")
@click.option(
    "--expires",
    required=True,
    metavar="TIME",
    callback=moments.ahead,
    help="When it ends: 1h, 90d, 2030-01-31 or 2030-01-31T12:00:00Z.",
)
@granting
@click.option("--config", type=_FILE, help="The TOML file of the appliance, with the issuer.")
@click.option(
    "--issuer", "name", metavar="NAME", help="Name of the issuer there, whose iss, aud and claims it gets."
)
@click.option("--secret-file", type=_FILE, help="File with the shared secret that signs it.")
@click.option("--key-file", type=_FILE, help="PEM file with the private key that signs it.")
@click.option("--alg", "algorithm", metavar="NAME", help="Algorithm; without it, one that fits.")
@click.option("--kid", "key_id", metavar="ID", help="Id of the key, where the issuer publishes several.")
@click.option("--iss", metavar="TEXT", help="Who issues it, where no issuer of a configuration says so.")
@click.option("--aud", "audience", multiple=True, metavar="TEXT", help="Who it is for, likewise.")
@click.option("--not-before", metavar="TIME", callback=moments.ahead, help="When it begins; without it, now.")
def create(
    config: Path | None,
    name: str | None,
    secret_file: Path | None,
    key_file: Path | None,
    algorithm: str | None,
    key_id: str | None,
    iss: str | None,
    **said: Any,  # noqa: ANN401 - the other options, as `minting` calls them
) -> None:
    """Make a token, and print it.

    The token alone is on standard output. What is not granted here, the issuer's entry says: a token without --read
    may read what that entry allows.
    """
    from appliance.cli import inspecting, minting  # noqa: PLC0415 - help answers without loading it

    settings = _issuer(config, name)
    try:
        key = minting.signing_key(secret_file, key_file, settings)
        made, principal = minting.mint(
            minting.Order(issuer=iss, views=views_of(said), **said),
            key,
            algorithm=minting.choose(key, algorithm, settings),
            key_id=key_id,
            settings=settings,
            now=time.time(),
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if config is not None and principal is not None:
        holding.note("token made", _loaded(config), principal=principal.name, id=principal.credential)
    click.echo(made)
    lines = [*inspecting.claimed(inspecting.inspect(made, None, time.time()), time.time())]
    if principal is not None:
        lines += [f"It lets in {principal.name}, who", *inspecting.allowed(principal)]
    for line in lines:
        click.echo(line, err=True)


@token.command()
@click.argument("text", metavar="TOKEN|-")
@click.option("--config", type=_FILE, help="The TOML file of the appliance that it is to be shown to.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def inspect(text: str, config: Path | None, *, as_json: bool) -> None:
    """Say what a token says, and with --config, whether it is good and what it allows.

    With - it is read from standard input, so that no list of processes shows it. Where its issuer publishes keys, they
    are fetched. Where a token comes from is not looked at.

    Ends with status 0 when nothing is wrong with it, else with 1.
    """
    from appliance.cli import inspecting  # noqa: PLC0415 - as above

    shown = (sys.stdin.read(65_536) if text == "-" else text).strip()
    issuers = None if config is None else _issuers(config)
    now = time.time()
    finding = inspecting.inspect(shown, issuers, now)
    for line in [inspecting.as_json(finding)] if as_json else inspecting.as_lines(finding, now):
        click.echo(line)
    if finding.problem is not None:
        sys.exit(_NOT_GOOD)


token.add_command(revoking.revoke)
token.add_command(revoking.revocations)


def _loaded(config: Path) -> Settings:
    from appliance.settings.load import load  # noqa: PLC0415 - as above

    return load(file=config, environment=os.environ).settings


def _issuers(config: Path) -> tuple[TokenSettings, ...]:
    return _loaded(config).auth.tokens


def _issuer(config: Path | None, name: str | None) -> TokenSettings | None:
    if config is None:
        if name is not None:
            raise click.UsageError("--issuer is one of a configuration: name that with --config")
        return None
    issuers = {entry.name: entry for entry in _issuers(config)}
    if name is None and len(issuers) == 1:
        return next(iter(issuers.values()))
    if name not in issuers:
        there = ", ".join(issuers) or "none"
        raise click.UsageError(f"name one of the issuers in {config} with --issuer; there: {there}")
    return issuers[name]
