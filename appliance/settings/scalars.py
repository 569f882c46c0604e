"""One value of TOML to one Python value, strictly: what the type does not name is a mistake.

Must not know tables or lists.
"""

from __future__ import annotations

import datetime as dt
import enum
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.settings import quantities, words
from appliance.settings.fields import Bytes, Seconds, Secret
from appliance.settings.literals import Bare, spelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from cattrs import BaseConverter

    from appliance.settings.paths import Step


class Wrong(Exception):  # noqa: N818 - it is no error of the program, but a finding in what somebody wrote
    """What is wrong with a value and with all that lies in it: steps below it, and the problem there.

    `right` is what a table comes to without that, where it comes to anything.
    """

    def __init__(self, *problems: tuple[tuple[Step, ...], str], right: Any = None) -> None:  # noqa: ANN401 - of the type that was read
        super().__init__(*problems)
        self.problems = tuple(dict.fromkeys(problems))
        self.right = right


def unexpected(value: Any, kind: Any) -> Wrong:  # noqa: ANN401 - any TOML value and annotation
    return Wrong(((), words.unexpected(value, kind)))


def register(converter: BaseConverter) -> None:
    """Teach a converter to read scalars in this strict way."""
    for text in (str, Path, Secret):
        converter.register_structure_hook(text, _text)
    for plain, read in _PLAIN.items():
        converter.register_structure_hook(plain, _strict(read))
    converter.register_structure_hook(enum.Enum, _member)
    converter.register_structure_hook(Seconds, _strict(_seconds))
    converter.register_structure_hook(Bytes, _strict(_bytes))
    converter.register_structure_hook_func(lambda kind: kind is Any, lambda value, _: spelled(value))
    converter.register_structure_hook_func(lambda kind: bool(words.choices(kind)), _choice)


def _text(value: Any, kind: Any) -> Any:  # noqa: ANN401 - a hook of cattrs
    # cattrs looks at base classes first, so that an enumeration of texts arrives here.
    if issubclass(kind, enum.Enum):
        return _member(value, kind)
    if not isinstance(value, str):
        raise unexpected(value, kind)
    if unfit := words.control_character(value):
        raise Wrong(((), unfit))
    return kind(value)


def _member(value: Any, kind: Any) -> Any:  # noqa: ANN401 - a hook of cattrs
    return kind(_choice(value, kind))


def _choice(value: Any, kind: Any) -> Any:  # noqa: ANN401 - a hook of cattrs
    options = words.choices(kind)
    for candidate in (str(value), spelled(value)) if isinstance(value, Bare) else (value,):
        for option in options:
            if candidate == option and type(candidate) is type(option):
                return option
    close = (
        words.nearest(value, [o for o in options if isinstance(o, str)]) if isinstance(value, str) else None
    )
    question = f'; did you mean "{close}"?' if close else ""
    raise Wrong(((), words.unexpected(value, kind) + question))


def _strict(read: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """A hook that reads with `read`, which gives None for what it does not take."""

    def hook(value: Any, kind: Any) -> Any:  # noqa: ANN401 - a hook of cattrs
        if isinstance(kind, enum.EnumMeta):
            return _member(value, kind)
        plain = spelled(value)
        taken = read(plain)
        if taken is None:
            raise unexpected(plain, kind)
        return taken

    return hook


def _whole(value: Any) -> int | None:  # noqa: ANN401 - any TOML value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:  # noqa: ANN401 - any TOML value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _seconds(value: Any) -> float | None:  # noqa: ANN401 - any TOML value
    try:
        return quantities.seconds(value) if isinstance(value, str) else _number(value)
    except ValueError:
        return None


def _bytes(value: Any) -> int | None:  # noqa: ANN401 - any TOML value
    try:
        return quantities.size(value) if isinstance(value, str) else _whole(value)
    except ValueError:
        return None


def _date(value: Any) -> dt.date | None:  # noqa: ANN401 - any TOML value
    dated = isinstance(value, dt.date) and not isinstance(value, dt.datetime)
    return value if dated else None


_PLAIN: dict[type, Callable[[Any], Any]] = {
    bool: lambda value: value if isinstance(value, bool) else None,
    int: _whole,
    float: _number,
    dt.datetime: lambda value: value if isinstance(value, dt.datetime) else None,
    dt.date: _date,
    dt.time: lambda value: value if isinstance(value, dt.time) else None,
}
