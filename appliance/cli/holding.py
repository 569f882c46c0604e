"""What commands about keys and tokens work on: the settings of an appliance, and the files that say who is let in.

Must not know the commands.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from appliance.cli import outset

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.access.key_file import KeyFile
    from appliance.access.revoked import RevocationFile
    from appliance.settings.tree import Settings

FILE = click.Path(dir_okay=False, path_type=Path)


def of_appliance(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which appliance is meant."""
    config = click.option("--config", type=FILE, help="The TOML file of the appliance.")
    state_dir = click.option(
        "--state-dir", metavar="DIR", help="State folder of the appliance, where it is not the usual one."
    )
    return config(state_dir(command))


@attrs.frozen
class Holding:
    """Of one appliance. Its folder is there."""

    settings: Settings
    keys: KeyFile
    revocations: RevocationFile

    @property
    def configured(self) -> set[str]:
        """The names that the configuration has keys for."""
        return {key.name for key in self.settings.auth.keys}

    def note(self, event: str, **fields: object) -> None:
        """Tell the audit log what was done; the command has done it, even where that cannot be told."""
        note(event, self.settings, **fields)


def opened(config: Path | None, state_dir: str | None) -> Holding:
    with outset.lightly("holding"):
        from appliance.cli.preparing import key_file, revocation_file  # noqa: PLC0415 - help answers without loading it
        from appliance.ops.state import open_state, state_folder  # noqa: PLC0415 - as above
        from appliance.settings.load import load  # noqa: PLC0415 - as above

    settings = load(file=config, environment=os.environ, state_dir=state_dir).settings
    folder = state_folder(settings.state_dir, os.environ)
    if settings.auth.keys_file is None and not folder.exists():
        folder = open_state(folder).folder
    return Holding(settings, key_file(settings, folder), revocation_file(settings, folder))


def note(event: str, settings: Settings, **fields: object) -> None:
    """Tell the audit log of a configuration what a command has done, by whom."""
    from appliance.ops import audit  # noqa: PLC0415 - as above

    try:
        audit.note(settings.audit.file, event, **fields)
    except OSError as error:
        click.echo(f"warning: this is not in the audit log: {error.strerror or error}", err=True)
