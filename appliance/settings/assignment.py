"""Put a value from the environment or the command line at its path in the table of the file.

Must not know which of the two it comes from, but for how keys are matched.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import attrs

from appliance.settings import paths, schema
from appliance.settings.literals import Bare, spelled

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

Keys = dict[str, Any] | list[Any]


class UnknownKeyError(ValueError):
    """A key that its table does not take: `known` are those that it takes, `place` is where it stands."""

    def __init__(self, place: int, known: Collection[str]) -> None:
        super().__init__("is not a known key")
        self.place = place
        self.known = tuple(known)


def assign(
    cls: type[attrs.AttrsInstance], table: dict[str, Any], parts: Sequence[str], text: str, *, fold: bool
) -> str:
    """Set what `parts` lead to in the table, and return its path; ValueError says why it cannot be set.

    With `fold` the parts are as in the environment: upper case, and `_` for what a name there cannot hold.
    """
    kind: Any = cls
    inside: Keys = table
    path = ""
    for place, part in enumerate(parts):
        step, kind, default = _step(kind, inside, part, place=place, fold=fold)
        path = paths.joined(path, step)
        if place == len(parts) - 1:
            # Lists and tables are read now, so that later values can be put into them.
            whole = schema.shape(kind).form in ("table", "list", "names")
            _put(inside, step, spelled(Bare(text)) if whole else Bare(text))
        else:
            inside = _entered(inside, step, kind, default, path)
    return path


def _step(kind: Any, inside: Keys, part: str, *, place: int, fold: bool) -> tuple[paths.Step, Any, Any]:  # noqa: ANN401 - annotations
    """The key or index that `part` means, the type of what is there, and its default."""
    form = schema.shape(kind)
    if isinstance(inside, list):
        if not part.isdecimal() or int(part) > len(inside):
            raise ValueError(f"`{part}` is no place in this list; the next free one is {len(inside)}")
        return int(part), form.inner if form.form == "list" else Any, attrs.NOTHING
    if form.form == "table":
        attributes = schema.attributes(form.inner)
        known = [*attributes, *(key for key in schema.secret_files(form.inner) if key not in attributes)]
        key = _matching(part, known, fold=fold)
        if key is not None:
            attribute = attributes.get(key)
            return (key, attribute.type, attribute.default) if attribute else (key, str, attrs.NOTHING)
        if not schema.rest(form.inner):
            raise UnknownKeyError(place, known)
    key = _matching(part, inside, fold=fold)
    if key is None:
        key = part.lower() if fold else part
    return key, form.inner if form.form == "names" else Any, attrs.NOTHING


def _matching(part: str, known: Collection[str], *, fold: bool) -> str | None:
    if not fold:
        return part if part in known else None
    return next(
        (key for key in known if re.sub(r"\W", "_", key, flags=re.ASCII).upper() == part.upper()), None
    )


def _entered(inside: Keys, step: paths.Step, kind: Any, default: Any, path: str) -> Keys:  # noqa: ANN401 - annotations
    """The table or list at `step`, made from the default where there is none."""
    form = schema.shape(kind).form
    if form == "scalar":
        raise ValueError(f"{path} holds one value, and no keys")
    there = spelled(_get(inside, step))
    if there is None:
        there = _defaults(default) or ([] if form == "list" else {})
    if isinstance(there, dict | list):
        _put(inside, step, there)
        return there
    raise ValueError(f"{path} is not a {'list' if form == 'list' else 'table'}, so nothing can be set in it")


def _defaults(default: Any) -> Keys | None:  # noqa: ANN401 - of any attribute's type
    """A default of lists and names as TOML would give it, so that a part of it can be changed."""
    if isinstance(default, tuple):
        return [
            attrs.asdict(item, filter=lambda _, v: v is not None) if attrs.has(type(item)) else item
            for item in default
        ]
    return (
        {k: dict(v) if isinstance(v, dict) else v for k, v in default.items()}
        if isinstance(default, dict)
        else None
    )


def _get(inside: Keys, step: paths.Step) -> Any:  # noqa: ANN401 - any TOML value
    if isinstance(inside, list):
        return inside[int(step)] if int(step) < len(inside) else None
    return inside.get(str(step))


def _put(inside: Keys, step: paths.Step, value: Any) -> None:  # noqa: ANN401 - any TOML value
    if isinstance(inside, dict):
        inside[str(step)] = value
    elif step == len(inside):
        inside.append(value)
    else:
        inside[int(step)] = value
