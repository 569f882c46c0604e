"""API keys that systemd passes as a credential (`LoadCredential=auth.keys:FILE`).

Must not know the keys of the configuration file. No message here quotes what the credential holds.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from appliance.core.errors import Mistake
from appliance.settings.access import KeySettings
from appliance.settings.fields import Secret
from appliance.settings.secrets import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

CREDENTIAL = "auth.keys"
"""The name of the credential."""


@attrs.frozen
class Credentials:
    """The API keys in the credential, and what is wrong with it."""

    keys: tuple[KeySettings, ...] = ()
    mistakes: tuple[Mistake, ...] = ()


def credentials(environment: Mapping[str, str]) -> Credentials:
    """The keys in `$CREDENTIALS_DIRECTORY/auth.keys`: a line for each, `NAME KEY` or only `KEY`."""
    directory = environment.get("CREDENTIALS_DIRECTORY")
    if not directory or not (path := Path(directory, CREDENTIAL)).exists():
        return Credentials()
    try:
        # Who can read it is systemd's choice, so a warning could not be acted on.
        text, _ = read_text(path)
    except ValueError as error:
        return Credentials(mistakes=(Mistake("", str(error), str(path)),))
    keys: list[KeySettings] = []
    mistakes: list[Mistake] = []
    for number, line in enumerate(text.splitlines(), start=1):
        match line.split():
            case [] | ["#", *_]:
                continue
            case [key]:
                keys.append(KeySettings(name="credential", key=Secret(key)))
            case [name, key]:
                keys.append(KeySettings(name=name, key=Secret(key)))
            case _:
                mistakes.append(Mistake("", "expected `NAME KEY`, or only `KEY`", str(path), number))
    return Credentials(tuple(keys), tuple(mistakes))
