"""Values as text: what stands in an environment variable or after `--set`, and TOML written out.

Must not know which setting the text is for: `Bare` text waits until the type is known.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from typing import Any

from appliance.settings import paths


class Bare(str):
    """Text without quotes, from the environment or the command line.

    Where a setting takes text it is that text; elsewhere it is read as a TOML value.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "Bare('…')"


def spelled(value: Any) -> Any:  # noqa: ANN401 - any TOML value
    """`value`, or what it says in TOML when it is bare text that is TOML, or else plain text."""
    if not isinstance(value, Bare):
        return value
    try:
        table = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):
        return str(value)
    # Text with line breaks could hold more than one value.
    return table["value"] if len(table) == 1 else str(value)


def written(value: Any) -> str:  # noqa: ANN401 - any TOML value
    """`value` in TOML."""
    match value:
        case bool():
            return "true" if value else "false"
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case int() | float():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(written(item) for item in value)}]"
        case dict():
            pairs = (f"{paths.joined('', key)} = {written(item)}" for key, item in value.items())
            return f"{{ {', '.join(pairs)} }}" if value else "{}"
        case _:
            return paths.quoted(str(value))
