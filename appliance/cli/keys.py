"""The commands for API keys: `appliance keys create`, `list`, `show`, `rotate` and `revoke`."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Any

import click

from appliance.cli import moments
from appliance.cli.granting import granting, views_of
from appliance.cli.holding import of_appliance, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from appliance.access.key_file import KeyFile
    from appliance.access.secret_text import Made

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
_EXPIRES = click.option(
    "--expires",
    metavar="TIME",
    callback=moments.ahead,
    help="When it stops working: 90d, 2030-01-31 or 2030-01-31T12:00:00Z.",
)
_LONGEST_NAME = 200


@click.group()
def keys() -> None:
    """Make, list, rotate and revoke API keys.

    They are in `keys.json` in the state folder, or in the file that auth.keys_file names: as digests, so that the key
    itself is shown once, when it is made. An appliance that runs takes every change up within a second.

    \b
      appliance keys create app --read 'price:*' --expires 90d > app.key
      appliance keys list
      appliance keys rotate app --overlap 1d > app.key
      appliance keys revoke app
    """  # noqa: D301 - to click, \b says that these lines stay as they are


@keys.command()
@click.argument("name")
@granting
@_EXPIRES
@of_appliance
def create(
    name: str,
    config: Path | None,
    state_dir: str | None,
    expires: dt.datetime | None,
    **granted: Any,  # noqa: ANN401 - options of `granting`
) -> None:
    """Make a key for NAME, and print it.

    The key alone is on standard output, so that it can be sent into a file; it is not to be had again. NAME is who
    shows it, in the log and to whom it is told. Without --read it may read everything, without --publish publish
    nothing, and without --address come from anywhere. What it may read, it is shown whole without --fields, --hide,
    --only and --rate.
    """
    from appliance.access.keyring import Terms  # noqa: PLC0415 - as above

    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise click.BadParameter("is 1 to 200 characters in one line", param_hint="'NAME'")
    held = opened(config, state_dir)
    if name in held.configured:
        raise click.ClickException(f"{name!r} has a key in the configuration: choose another name")
    views = views_of(granted)
    terms = Terms(name=name, expires=expires, views=views, **{**granted, "read": granted["read"] or ("*",)})
    made = _changed(held.keys, lambda ring: ring.create(terms, _now()))
    held.note("key made", name=name, id=made.id)
    _tell(held.keys, made)


@keys.command(name="list")
@of_appliance
@_JSON
def list_keys(config: Path | None, state_dir: str | None, *, as_json: bool) -> None:
    """List all keys that were made here, also those that work no more.

    The last use is noted once a minute.
    """
    from appliance.cli import key_table  # noqa: PLC0415 - as above

    file = opened(config, state_dir).keys
    found, uses, now = file.read().keys, file.uses(), time.time()
    _print([key_table.as_json(found, uses, now)] if as_json else key_table.as_table(found, uses, now))


@keys.command()
@click.argument("name", metavar="NAME|ID")
@of_appliance
@_JSON
def show(name: str, config: Path | None, state_dir: str | None, *, as_json: bool) -> None:
    """Say all of the keys of a name, or of the one with an id; but not what opens."""
    from appliance.cli import key_table  # noqa: PLC0415 - as above

    file = opened(config, state_dir).keys
    found, uses, now = file.read().named(name), file.uses(), time.time()
    if not found:
        raise click.ClickException(f"{name!r} has no key: `appliance keys list` lists those that there are")
    if as_json:
        _print([key_table.as_json(found, uses, now)])
    else:
        _print(line for key in found for line in key_table.in_full(key, uses, now))


@keys.command()
@click.argument("name", metavar="NAME|ID")
@click.option(
    "--overlap",
    metavar="TIME",
    callback=moments.length,
    default="1h",
    show_default=True,
    help="How long the key before works on; 0: not at all.",
)
@_EXPIRES
@of_appliance
def rotate(
    name: str, overlap: dt.timedelta, expires: dt.datetime | None, config: Path | None, state_dir: str | None
) -> None:
    """Make another key in place of the one of a name, and print it.

    It allows what the one before did. Without --expires it works for as long as that was made for.
    """
    held = opened(config, state_dir)
    made = _changed(held.keys, lambda ring: ring.rotate(name, _now(), overlap=overlap, expires=expires))
    held.note("key rotated", name=name, id=made.id)
    _tell(held.keys, made)


@keys.command()
@click.argument("name", metavar="NAME|ID")
@of_appliance
def revoke(name: str, config: Path | None, state_dir: str | None) -> None:
    """Take back all keys of a name, or the one with an id: they let nobody in any more."""
    held = opened(config, state_dir)
    for key in _changed(held.keys, lambda ring: ring.revoke(name, _now())):
        held.note("key revoked", name=key.name, id=key.id)
        click.echo(f"{key.name}: key {key.id} is revoked")


def _changed(file: KeyFile, change: Callable[[Any], tuple[Any, Any]]) -> Any:  # noqa: ANN401 - what the change gives
    try:
        return file.change(change)
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def _tell(file: KeyFile, made: Made) -> None:
    from appliance.cli import key_table  # noqa: PLC0415 - as above

    click.echo(made.text)
    for key in file.read().named(made.id):
        for line in key_table.in_full(key, {}, time.time()):
            click.echo(line, err=True)
    click.echo(f"It is kept in {file.path} as a digest: nobody can show it again.", err=True)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)
