"""The command `appliance upgrade`: another version of the file in the place of this one, unless it does not serve.

Must not know how that is done.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

_FILE = click.Path(dir_okay=False, path_type=Path)


class _Time(click.ParamType[float]):
    name = "TIME"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from appliance.settings.quantities import seconds  # noqa: PLC0415 - help answers without loading it

        try:
            return seconds(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


@click.command()
@click.argument("new", type=_FILE, required=False)
@click.option("--previous", is_flag=True, help="Go back to the file that was in place before.")
@click.option(
    "--unit", default="appliance.service", show_default=True, metavar="NAME", help="What runs the appliance."
)
@click.option(
    "--ready-within",
    type=_Time(),
    default="60s",
    show_default=True,
    help="How long the new one may take to serve.",
)
@click.option(
    "--watch", type=_Time(), default="10s", show_default=True, help="How long it must serve to be trusted."
)
@click.option(
    "--keep",
    type=click.IntRange(min=0, max=100),
    default=2,
    show_default=True,
    help="How many of the files before to keep.",
)
@click.option("--allow-downgrade", is_flag=True, help="Take an older version, too.")
@click.option(
    "--revert-store",
    is_flag=True,
    help="Where a newer version has changed the store, go back to the copy from before: what was kept since is lost.",
)
@click.option(
    "--no-restart", is_flag=True, help="Only put the file in place; it runs from the next start on."
)
@click.option(
    "--config", type=_FILE, help="The configuration to check with, where no unit of systemd says which."
)
@click.option("--dry-run", is_flag=True, help="Only check the file, and print what would be done.")
def upgrade(new: Path | None, *, previous: bool, **options: Any) -> None:  # noqa: ANN401 - as declared above
    """Put the file NEW in the place of the one that runs, and restart; if it does not serve, go back by itself.

    \b
      sudo appliance upgrade /tmp/appliance.pyz

    Before anything is touched, NEW is checked: that it is whole, fits its checksum (NEW.sha256, if it is there), is no
    older version, and runs here with the configuration, the plugins and the store that there are, as the user of the
    unit and in its sandbox. Then it takes the place of the file at once, and the unit is restarted. With the socket
    unit the ports stay open meanwhile; clients come back and resume.

    When NEW is not READY within --ready-within, or ends within --watch after that, the file before is put back and
    restarted. The files before are kept beside it: appliance.pyz.previous and so on.

    Ends with status 0 when NEW serves, 1 when it was refused or went back to the file before, 2 when something is left
    to be done by hand.
    """  # noqa: D301 - to click, \b says that these lines stay as they are
    from appliance.cli import upgrading  # noqa: PLC0415 - as above

    if previous == (new is not None):
        raise click.UsageError("name the file that comes, or say --previous")
    request = upgrading.Request(new=new, **options)
    sys.exit(upgrading.upgrade(request))
