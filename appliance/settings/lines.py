"""Where things stand in the configuration: the line of each key path in a text of TOML.

Must not know which keys are right. The scanner takes text that `tomllib` has taken.
"""

from __future__ import annotations

import bisect
import re
import tomllib
from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs

from appliance.core.errors import Mistake
from appliance.settings import paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r'[ \t]*(?:(?P<bare>[A-Za-z0-9_-]+)|(?P<quoted>"(?:\\.|[^"\\])*"|\'[^\']*\'))[ \t]*')
_TEXT = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'",
    re.DOTALL,
)
_OTHER = re.compile(r"[^,\]}#\r\n]*")


@attrs.frozen(kw_only=True)
class Places:
    """Where each path was set: `lines` of the file `origin`, or elsewhere as `origins` says."""

    origin: str = ""
    lines: Mapping[str, int] = MappingProxyType({})
    origins: Mapping[str, str] = MappingProxyType({})

    def mistake(self, path: str, problem: str) -> Mistake:
        """The mistake with its place, or with that of the nearest table around it which has one."""
        for above in paths.upward(path):
            if above in self.origins:
                return Mistake(path, problem, self.origins[above])
            if above in self.lines:
                return Mistake(path, problem, self.origin, self.lines[above])
        return Mistake(path, problem, self.origin)

    def mistakes(
        self, problems: Iterable[tuple[tuple[paths.Step, ...], str]], *, below: str = ""
    ) -> tuple[Mistake, ...]:
        """The mistakes in the order of the file, then those that come from elsewhere."""
        return in_order(self.mistake(paths.joined(below, *steps), problem) for steps, problem in problems)


def in_order(mistakes: Iterable[Mistake]) -> tuple[Mistake, ...]:
    """Each mistake once: those of the file in its order, then those that come from elsewhere."""
    return tuple(
        sorted(dict.fromkeys(mistakes), key=lambda m: (m.line is None, m.line or 0, m.origin, m.path))
    )


def key_lines(text: str) -> dict[str, int]:
    """The line of every path in the text; a table's is that of its header, or of its first key."""
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.breaks = [found.start() for found in re.finditer("\n", text)]
        self.lines: dict[str, int] = {}
        self.repeats: dict[str, int] = {}

    def scan(self) -> dict[str, int]:
        table = ""
        self.take(_BLANK)
        while self.at < len(self.text):
            if self.text.startswith("[[", self.at):
                table = self.header(2)
            elif self.text.startswith("[", self.at):
                table = self.header(1)
            else:
                self.pair(table)
            self.take(_BLANK)
        return self.lines

    def header(self, brackets: int) -> str:
        self.at += brackets
        line, keys = self.line(), self.keys()
        path = ""
        for key in keys[:-1]:
            path = paths.joined(path, key)
            self.lines.setdefault(path, line)
            if path in self.repeats:
                path = paths.joined(path, self.repeats[path])
        path = paths.joined(path, keys[-1])
        if brackets == 1:
            self.lines[path] = line
        else:
            self.lines.setdefault(path, line)
            self.repeats[path] = self.repeats.get(path, -1) + 1
            path = paths.joined(path, self.repeats[path])
            self.lines[path] = line
        self.at += brackets
        return path

    def pair(self, path: str) -> None:
        line = self.line()
        for key in self.keys():
            path = paths.joined(path, key)
            self.lines.setdefault(path, line)
        self.at += 1
        self.take(_BLANK)
        self.value(path)

    def value(self, path: str) -> None:
        match self.text[self.at]:
            case "[":
                self.array(path)
            case "{":
                self.inline(path)
            case '"' | "'":
                self.take(_TEXT)
            case _:
                self.take(_OTHER)

    def array(self, path: str) -> None:
        self.at += 1
        index = 0
        while not self.ends("]"):
            item = paths.joined(path, index)
            self.lines[item] = self.line()
            self.value(item)
            index += 1

    def inline(self, path: str) -> None:
        self.at += 1
        while not self.ends("}"):
            self.pair(path)

    def ends(self, bracket: str) -> bool:
        """Step over blanks and a comma, and over the closing bracket where it stands."""
        self.take(_BLANK)
        if self.text.startswith(",", self.at):
            self.at += 1
            self.take(_BLANK)
        closed = self.text.startswith(bracket, self.at)
        self.at += closed
        return closed

    def keys(self) -> list[str]:
        keys = [self.key()]
        while self.text.startswith(".", self.at):
            self.at += 1
            keys.append(self.key())
        return keys

    def key(self) -> str:
        found = _KEY.match(self.text, self.at)
        if not found:
            raise ValueError(f"no key at line {self.line()}")
        self.at = found.end()
        if found["bare"] is not None:
            return found["bare"]
        return str(tomllib.loads(f"key = {found['quoted']}")["key"])

    def take(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def line(self) -> int:
        return bisect.bisect_left(self.breaks, self.at) + 1
