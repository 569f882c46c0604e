"""The commands for the file that keeps durable histories: `appliance store check`, `export`, `compact` and `revert`."""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_FILE = click.Path(dir_okay=False, path_type=Path)
_DAMAGED = 1
_COULD_NOT_LOOK = 2


def _moment(_context: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    """Read a time, with its offset or as how long ago it is, as seconds since 1970."""
    from appliance.settings.quantities import seconds  # noqa: PLC0415 - help answers without loading it

    if text is None:
        return None
    with contextlib.suppress(ValueError):
        return time.time() - seconds(text)
    with contextlib.suppress(ValueError, OverflowError):
        moment = dt.datetime.fromisoformat(text)
        if moment.utcoffset() is not None:
            return moment.timestamp()
    raise click.BadParameter(f"{text!r} is no time: write 2030-01-31T12:00:00Z, or 1h for an hour ago")


@click.group()
def store() -> None:
    """Check, export, compact and revert the store: the file that keeps durable histories.

    It is `store.db` in the state folder. An appliance that runs has it for itself, so stop that first.

    \b
      appliance store check                  says what is in it, and whether all of it is good
      appliance store export > events.jsonl  gives its events as lines of JSON
      appliance store compact                makes it as small as what is in it
      appliance store revert                 takes the copy from before a newer appliance changed it
    """  # noqa: D301 - to click, \b says that these lines stay as they are


def _of_appliance(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say whose store it is."""
    config = click.option(
        "--config", type=_FILE, help="The TOML file of the appliance, which may name its state folder."
    )
    state_dir = click.option(
        "--state-dir", metavar="DIR", help="State folder of the appliance, where it is not the usual one."
    )
    return config(state_dir(command))


@store.command()
@_of_appliance
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def check(config: Path | None, state_dir: str | None, *, as_json: bool) -> None:
    """Say what is in the store, and whether all of it is good.

    All of it is read, and nothing is changed. Of each channel it tells the topics, their events (one that is in three
    topics counts three times), the bytes of their data, the times of the oldest and the newest, and what its
    producers have noted to go on from, by the first words of its names.

    Ends with status 0 when all is good, 1 when something is damaged, 2 when it could not be looked at: when an
    appliance runs with it, say.
    """
    from appliance.cli import stocktaking  # noqa: PLC0415 - as above
    from appliance.cli.progress import counting  # noqa: PLC0415 - as above
    from appliance.core.errors import StoreError  # noqa: PLC0415 - as above
    from appliance.store import inspection  # noqa: PLC0415 - as above

    file = _file(config, state_dir)
    try:
        with counting("events", sys.stderr) as count:
            findings = inspection.inspect(file, tell=count.add)
    except StoreError as error:
        click.echo(f"appliance: {error}", err=True)
        sys.exit(_COULD_NOT_LOOK)
    for line in [stocktaking.as_json(findings)] if as_json else stocktaking.as_table(findings):
        click.echo(line)
    if findings.flaws:
        sys.exit(_DAMAGED)


@store.command()
@_of_appliance
@click.option(
    "--channel",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="Only this channel, or topics such as price:BTC and price:B*; may be given several times.",
)
@click.option("--since", metavar="TIME", callback=_moment, help="Only events from this time on.")
@click.option("--until", metavar="TIME", callback=_moment, help="Only events before this time.")
def export(
    config: Path | None,
    state_dir: str | None,
    patterns: tuple[str, ...],
    since: float | None,
    until: float | None,
) -> None:
    """Write the events in the store to standard output.

    Each is a line of JSON, in the order in which they were kept:

    \b
      {"channel":"price","topic":"price:BTC","epoch":"9f…","offset":7,"at":1764.5,"received":1764.6,"data":{…}}

    `data` is byte for byte as it is kept. `at` is the time that the source gave, and `received` when the event came,
    in seconds since 1970. An event that is in several topics has a line for each.

    TIME is that of the source: 2030-01-31T12:00:00Z, or 1h for an hour ago. What is damaged is left out and told on
    standard error, and the status is then 1.
    """  # noqa: D301 - as above
    from appliance.cli.progress import counting  # noqa: PLC0415 - as above
    from appliance.store import exporting  # noqa: PLC0415 - as above
    from appliance.store.flaws import Flaws  # noqa: PLC0415 - as above

    selection = exporting.Selection(
        patterns=_patterns(patterns),
        since=-math.inf if since is None else since,
        until=math.inf if until is None else until,
    )
    flaws = Flaws()
    with counting("events", sys.stderr, hidden=sys.stdout.isatty()) as count:
        lines = exporting.export(_file(config, state_dir), selection, flaws, found=count.expect)
        with contextlib.closing(lines):
            _write(lines, count.add)
    for flaw in flaws.told:
        click.echo(f"appliance: {flaw}", err=True)
    if flaws.more:
        click.echo(f"appliance: … and {flaws.more:,} more", err=True)
    if flaws:
        sys.exit(_DAMAGED)


@store.command()
@_of_appliance
def compact(config: Path | None, state_dir: str | None) -> None:
    """Make the store as small as what is in it.

    It is written anew beside the old file, and takes its place once it is whole; what ends the command before then
    leaves the old one. This takes as much free room in the state folder as the events in it need. Where there is less,
    only the free parts of the file are given back, which needs hardly any.
    """
    from rich.filesize import decimal  # noqa: PLC0415 - as above

    from appliance.store import compaction  # noqa: PLC0415 - as above

    file = _file(config, state_dir)
    done = compaction.compact(file)
    click.echo(f"{file}: {decimal(done.before)} before, {decimal(done.after)} now")
    if done.lacking:
        click.echo(
            f"only its free parts were given back: to write it anew takes {decimal(done.lacking)} more room on the "
            f"file system of {file.parent}"
        )


@store.command()
@_of_appliance
def revert(config: Path | None, state_dir: str | None) -> None:
    """Go back to the store as it was before an upgrade.

    An appliance that brings the store to a newer version keeps a copy of it, `store.db-version-1`. This puts the copy
    in place, so that the older appliance can use it; the newer file stays beside it as `store.db-version-2`. What was
    kept since is not in the copy: clients who come back are told that they missed something, and rows of tables that
    came since are told again. Where no newer appliance has changed the store, nothing is done.
    """
    from appliance.store import spare  # noqa: PLC0415 - as above

    file = _file(config, state_dir)
    version = spare.revert(file)
    click.echo(f"{file}: {'as it was' if version is None else f'of version {version} again'}")


def _file(config: Path | None, state_dir: str | None) -> Path:
    from appliance.ops.state import state_folder  # noqa: PLC0415 - as above
    from appliance.settings.load import load  # noqa: PLC0415 - as above
    from appliance.store import schema  # noqa: PLC0415 - as above

    loaded = load(file=config, environment=os.environ, state_dir=state_dir)
    return state_folder(loaded.settings.state_dir, os.environ) / schema.FILE_NAME


def _patterns(given: Iterable[str]) -> tuple[str, ...]:
    """Take a channel's name for all its topics, and nothing for all there are."""
    from appliance.core import topics  # noqa: PLC0415 - as above
    from appliance.core.errors import RequestError  # noqa: PLC0415 - as above

    patterns = []
    for text in given:
        pattern = topics.join(text, topics.ANY) if topics.is_channel(text) else text
        try:
            patterns.append(topics.check(pattern))
        except RequestError as error:
            raise click.BadParameter(error.message, param_hint="'--channel'") from None
    return tuple(patterns) or (topics.ANY,)


def _write(lines: Iterable[bytes], tell: Callable[[int], object]) -> None:
    """Write lines to standard output until there are no more, or nobody reads them any more."""
    from appliance.core.errors import StartError  # noqa: PLC0415 - as above

    output = sys.stdout.buffer
    try:
        for line in lines:
            output.write(line)
            tell(1)
        output.flush()
    except OSError as error:
        # Python writes what is left when it ends, and would complain again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            raise StartError(
                f"standard output cannot be written ({error.strerror}): make room there"
            ) from error
