"""The path of a setting as text, `listen[0].limits.sessions`, and as steps.

Must not know which settings exist.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

Step = str | int
"""A key of a table, or an index into a list."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STEP = re.compile(
    r"""\[(?P<index>\d{1,9})\]
    |(?P<dot>\.)?(?:(?P<bare>[A-Za-z0-9_-]+)|(?P<quoted>"(?:\\.|[^"\\])*")|'(?P<literal>[^']*)')""",
    re.VERBOSE,
)


def joined(path: str, *steps: Step) -> str:
    """The path of what lies `steps` below `path`; keys that need quotes get them."""
    for step in steps:
        if isinstance(step, int):
            path = f"{path}[{step}]"
        else:
            key = step if _BARE.fullmatch(step) else quoted(step)
            path = f"{path}.{key}" if path else key
    return path


def quoted(text: str) -> str:
    """The text as a basic string of TOML, which JSON writes but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def split(path: str) -> tuple[Step, ...]:
    """The steps of a path; ValueError says what is right."""
    steps, rest = leading(path)
    if rest:
        raise ValueError(f"{path!r} is not a path; write it as in limits.sessions or listen[0].url")
    return steps


def leading(text: str) -> tuple[tuple[Step, ...], str]:
    """The steps of the path that `text` begins with, and what follows it."""
    steps: list[Step] = []
    at = 0
    while found := _STEP.match(text, at):
        if found["index"] is not None:
            steps.append(int(found["index"]))
        elif (found["dot"] is None) == bool(steps):
            break
        else:
            steps.append(_key(found))
        at = found.end()
    return tuple(steps), text[at:]


def _key(found: re.Match[str]) -> str:
    if found["quoted"] is None:
        return found["bare"] or found["literal"] or ""
    try:
        return str(json.loads(found["quoted"]))
    except json.JSONDecodeError as error:
        raise ValueError(f"{found['quoted']} is not a quoted key: {error.msg}") from None


def upward(path: str) -> Iterator[str]:
    """The path itself and all above it, nearest first; the last is the empty path of the whole."""
    steps = split(path)
    for length in range(len(steps), -1, -1):
        yield joined("", *steps[:length])
