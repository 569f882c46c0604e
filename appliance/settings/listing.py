"""The settings in force as rows of path and value, with what is secret hidden.

Must not know which settings exist, so that a plugin's own settings are listed by it too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from appliance.settings import paths, schema, words
from appliance.settings.fields import Bytes, Seconds, Secret, mark
from appliance.settings.literals import Bare, written

if TYPE_CHECKING:
    from collections.abc import Iterator

HIDDEN = "(hidden)"


def redacted(settings: Any, path: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any attrs instance
    """Each setting with its value in TOML; what is not set is left out.

    Secrets are hidden, and so are the options of plugins: which of them are secret only their plugins know.
    """
    for attribute in schema.fields(type(settings)):
        value = getattr(settings, attribute.name)
        if mark(attribute).rest:
            yield from ((paths.joined(path, key), HIDDEN) for key in value)
        elif value is not None and schema.is_secret(attribute.type):
            yield paths.joined(path, attribute.name), HIDDEN
        elif schema.present(attribute.type) in (Seconds, Bytes) and value is not None:
            yield paths.joined(path, attribute.name), words.value_text(value, attribute.type)
        else:
            yield from _rows(value, paths.joined(path, attribute.name))


def _rows(value: Any, path: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any part of a tree
    match value:
        case None:
            return
        case Secret() | Bare():
            yield path, HIDDEN
        case dict():
            for key, item in value.items():
                yield from _rows(item, paths.joined(path, key))
        case list() | tuple() if any(attrs.has(type(item)) for item in value):
            for index, item in enumerate(value):
                yield from _rows(item, paths.joined(path, index))
        case _ if attrs.has(type(value)):
            yield from redacted(value, path)
        case _:
            yield path, written(value)
