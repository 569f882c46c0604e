"""The commands for tapes: `appliance record` and `appliance replay`."""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path
from typing import Literal

import attrs
import click

from appliance.cli import outset

_FILE = click.Path(dir_okay=False, path_type=Path)


def _names(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Read topics and patterns, of which an option may have several, with commas."""
    from appliance.core.errors import RequestError  # noqa: PLC0415 - help answers without loading it
    from appliance.core.topics import check  # noqa: PLC0415 - as above

    names = tuple(name for text in given for name in text.split(",") if name)
    try:
        return tuple(map(check, names))
    except RequestError as error:
        raise click.BadParameter(error.message) from None


def _seconds(_context: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    from appliance.settings.quantities import seconds  # noqa: PLC0415 - as above

    try:
        return None if text is None else seconds(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no time: {error}") from None


def _some_seconds(context: click.Context, option: click.Parameter, text: str) -> float:
    found = _seconds(context, option, text)
    if not found:
        raise click.BadParameter(f"{text!r} is no time at all: write 5s, 100ms")
    return found


def _speed(_context: click.Context, _option: click.Parameter, text: str) -> float | Literal["max"]:
    if text == "max":
        return "max"
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise click.BadParameter(f"{text!r} is no speed: write 1, 60 or 0.5, or max")
    return speed


def _moment(_context: click.Context, _option: click.Parameter, text: str | None) -> dt.datetime | None:
    if text is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise click.BadParameter(f"{text!r} is no time with its offset: write 2030-01-31T12:00:00Z")
    return moment


def _tell(text: str) -> None:
    click.echo(text, err=True)


@click.command()
@click.argument("file", type=_FILE)
@click.option(
    "--url",
    required=True,
    help="Where the appliance is: https://HOST:PORT, or http:// for a plain listener.",
)
@click.option(
    "--channels",
    "names",
    multiple=True,
    required=True,
    callback=_names,
    metavar="NAMES",
    help="Topics and patterns, with commas or given several times: 'price:*,signals:all'.",
)
@click.option(
    "--except",
    "left_out",
    multiple=True,
    callback=_names,
    metavar="NAMES",
    help="Topics and patterns that are left out of these.",
)
@click.option("--key-file", type=_FILE, help="File that holds an API key.")
@click.option(
    "--cacert",
    type=_FILE,
    help="Certificate to trust: certificate.pem of the appliance; without one, those of the system.",
)
@click.option(
    "--for",
    "duration",
    callback=_seconds,
    metavar="TIME",
    help="How long to record, once connected, as in 90s, 1h; without it, until Ctrl-C.",
)
@click.option(
    "--every",
    default="5s",
    show_default=True,
    callback=_some_seconds,
    metavar="TIME",
    help="How often what came is written: what a crash can take.",
)
@click.option("--append", is_flag=True, help="Go on with FILE where it is there.")
def record(  # noqa: PLR0913 - an option each
    *,
    file: Path,
    url: str,
    names: tuple[str, ...],
    left_out: tuple[str, ...],
    key_file: Path | None,
    cacert: Path | None,
    duration: float | None,
    every: float,
    append: bool,
) -> None:
    """Record what an appliance publishes, on the tape FILE, until Ctrl-C or SIGTERM.

    Each event is recorded once for each topic that it is heard in, so name topics that have no events in common. Of a
    channel whose topics are its keys that is all of them; of the built-in ones:

    \b
      appliance record --url https://HOST:8443 --key-file api_key --cacert certificate.pem \\
        --channels 'price:*,predictions:*,market:*,portfolio:*,signals:all,trades:*' \\
        --except trades:all day.jsonl.gz

    The tape is JSON Lines in gzip, and grows every few seconds: `zcat` reads it, even after a crash. When the
    connection breaks, it comes back, and goes on behind what it heard last; what is missing nevertheless is told on
    standard error.

    Ends with status 0 when the tape has all that was published, 3 when it has gaps, 1 when it could not go on.
    """  # noqa: D301 - to click, \b says that these lines stay as they are
    with outset.lightly("record"):
        from appliance.cli import progress, taping  # noqa: PLC0415 - as above
        from appliance.cli.listening import Target  # noqa: PLC0415 - as above
        from appliance.settings.secrets import read_secret  # noqa: PLC0415 - as above

    try:
        key = None if key_file is None else str(read_secret(key_file).secret)
        target = Target.at(url, key=key, certificate=cacert)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    request = taping.Request(
        target=target,
        names=names,
        left_out=left_out,
        path=file,
        append=append,
        seconds=duration,
        every=every,
    )
    with progress.counting("events recorded", sys.stderr) as count:
        status = taping.record(request, tell=_tell, count=count.add)
    sys.exit(status)


@click.command()
@click.argument("file", type=_FILE)
@click.option(
    "--speed", default="1", show_default=True, callback=_speed, help="How many times as fast; or max."
)
@click.option(
    "--from",
    "start",
    callback=_moment,
    metavar="TIME",
    help="Where on the tape to begin: when events were received, as in 2030-01-31T12:00:00Z.",
)
@click.option(
    "--wait",
    default="2s",
    show_default=True,
    callback=_seconds,
    metavar="TIME",
    help="How long to wait before it begins, so that clients are there.",
)
@click.option("--loop", is_flag=True, help="Begin anew when the tape has ended.")
@click.option(
    "--times",
    type=click.Choice(["original", "now"]),
    default="original",
    show_default=True,
    help="Whether events have the times of the tape, or those of today.",
)
@click.option("--config", type=_FILE, help="The TOML file, as for `serve`: listeners, keys, limits, plugins.")
def replay(  # noqa: PLR0913 - an option each
    *,
    file: Path,
    speed: float | Literal["max"],
    start: dt.datetime | None,
    wait: float,
    times: str,
    config: Path | None,
    listen: tuple[str, ...],
    state_dir: str | None,
    overrides: tuple[str, ...],
    loop: bool,
) -> None:
    """Serve the channels on the tape FILE, as they were, until SIGTERM or Ctrl-C.

    Clients connect as to any appliance. Only what is on the tape is served; channels that the configuration knows keep
    their own settings. What came first comes first, and as long after what was before it as on the tape:

    \b
      appliance replay day.jsonl.gz --speed 60 --listen tcp://127.0.0.1:8080
      appliance replay day.jsonl.gz --from 2030-01-31T14:30:00Z

    Key, certificate and whatever else is kept lie in the folder `replay` of the state folder, so that nothing is
    mistaken for what has really happened. When the tape has ended, it goes on serving what there was.
    """  # noqa: D301 - to click, \b says that these lines stay as they are
    with outset.lightly("replay"):
        from appliance.cli import progress, replaying, serving  # noqa: PLC0415 - help answers without loading the server

    asked = serving.Request(
        file=config, listen=listen, overrides=overrides, state_dir=state_dir, environment=dict(os.environ)
    )
    known = replaying.known(asked)
    with progress.counting("events looked at", sys.stderr) as count:
        content = replaying.look(file, start, tell=_tell, count=count.add)
    _tell(f"{file}: {content}")
    request = replaying.Replay(
        **attrs.asdict(asked, recurse=False),
        path=file,
        speed=speed,
        start=start,
        wait=wait,
        loop=loop,
        times=times,
        channels=frozenset(content.channels),
        known=known,
    )
    sys.exit(serving.serve(request))
