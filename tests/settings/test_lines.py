"""Where things stand, held against `tomllib` for documents of any form."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from appliance.core.errors import Mistake
from appliance.settings import paths
from appliance.settings.lines import Places, in_order, key_lines
from appliance.settings.literals import written

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE = '''\
# a comment with [brackets] and = signs
top = "a # no comment" # one
text = """
[not.a.table]
key = 1 \\""" still text"""
raw = \'\'\'
[nor.this]\'\'\'

[limits] # here
sessions = 5
"quoted key" . inner = 1

[[listen]]
url = "tls://[::1]:443"
limits = {sessions = 1, "message bytes" = [1, {deep = 2}]}
[listen.more]
at = 2030-01-31 12:00:00Z

[[listen]]
origins = [
  "a",   # with ] a bracket
  "b",

  { c = 1 },
]
[listen.limits]
sessions = 6
[[listen.inner]]
a = 1
[[listen.inner]]
[after.all]
'''


def test_each_path_has_its_line() -> None:
    assert key_lines(SAMPLE) == {
        "top": 2,
        "text": 3,
        "raw": 6,
        "limits": 9,
        "limits.sessions": 10,
        'limits."quoted key"': 11,
        'limits."quoted key".inner': 11,
        "listen": 13,
        "listen[0]": 13,
        "listen[0].url": 14,
        "listen[0].limits": 15,
        "listen[0].limits.sessions": 15,
        'listen[0].limits."message bytes"': 15,
        'listen[0].limits."message bytes"[0]': 15,
        'listen[0].limits."message bytes"[1]': 15,
        'listen[0].limits."message bytes"[1].deep': 15,
        "listen[0].more": 16,
        "listen[0].more.at": 17,
        "listen[1]": 19,
        "listen[1].origins": 20,
        "listen[1].origins[0]": 21,
        "listen[1].origins[1]": 22,
        "listen[1].origins[2]": 24,
        "listen[1].origins[2].c": 24,
        "listen[1].limits": 26,
        "listen[1].limits.sessions": 27,
        "listen[1].inner": 28,
        "listen[1].inner[0]": 28,
        "listen[1].inner[0].a": 29,
        "listen[1].inner[1]": 30,
        "after": 31,
        "after.all": 31,
    }
    assert set(key_lines(SAMPLE)) == set(all_paths(tomllib.loads(SAMPLE)))


def test_lines_that_end_as_on_windows_count_once() -> None:
    assert key_lines("a = 1\r\n[b]\r\nc = [\r\n1]\r\n") == {"a": 1, "b": 2, "b.c": 3, "b.c[0]": 4}


def all_paths(value: Any, path: str = "") -> Iterator[str]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from all_paths(inner, paths.joined(path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from all_paths(inner, paths.joined(path, index))


KEYS = st.sampled_from(["a", "b-1", "c_2", "x y", 'q"', "é", "", "a.b", "]", "#", "="])
SCALARS = (
    st.integers()
    | st.booleans()
    | st.sampled_from(["", "]", "#", "a\nb", '"""', "'''", "x = 1", "\\", "[t]", 'ends"'])
    | st.datetimes()
    | st.dates()
    | st.times()
)
TREES = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
        max_leaves=12,
    ),
    max_size=5,
)


class Document:
    """Write a table as TOML in a form that `data` chooses, and note on which line each path begins."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.text = ""
        self.lines: dict[str, int] = {}

    def chance(self) -> bool:
        return self.data.draw(st.booleans())

    def note(self, path: str, *, again: bool = False) -> None:
        line = self.text.count("\n") + 1
        self.lines[path] = line if again else self.lines.get(path, line)

    def gap(self) -> None:
        self.text += self.data.draw(st.sampled_from(["", " ", "\n", " # ] } \" '\n", "\r\n\t"]))

    def key(self, key: str) -> str:
        return paths.joined("", key)

    def table(self, table: dict[str, Any], path: str, header: str) -> None:
        later: list[tuple[str, Any]] = []
        for key, value in table.items():
            tables = isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
            if (isinstance(value, dict) or tables) and self.chance():
                later.append((key, value))
            else:
                self.pair(key, value, path)
                self.text += self.data.draw(st.sampled_from(["\n", " # = [\n", "\n\n"]))
        for key, value in later:
            below, name = paths.joined(path, key), f"{header}.{self.key(key)}" if header else self.key(key)
            if isinstance(value, dict):
                self.note(below, again=True)
                self.text += f"[ {name} ]\n"
                self.table(value, below, name)
                continue
            self.note(below)
            for index, item in enumerate(value):
                self.note(paths.joined(below, index))
                self.text += f"[[{name}]] # a comment\n"
                self.table(item, paths.joined(below, index), name)

    def pair(self, key: str, value: Any, path: str) -> None:
        below = paths.joined(path, key)
        self.note(below)
        while isinstance(value, dict) and len(value) == 1 and self.chance():
            ((inner, value),) = value.items()
            key, below = f"{key}\0{inner}", paths.joined(below, inner)
            self.note(below)
        self.text += " . ".join(map(self.key, key.split("\0"))) + " = "
        self.value(value, below)

    def value(self, value: Any, path: str) -> None:
        if isinstance(value, dict):
            self.text += "{ "
            for number, (key, inner) in enumerate(value.items()):
                self.text += ", " if number else ""
                self.pair(key, inner, path)
            self.text += " }"
        elif isinstance(value, list):
            self.text += "["
            for index, inner in enumerate(value):
                self.gap()
                self.note(paths.joined(path, index))
                self.value(inner, paths.joined(path, index))
                self.gap()
                self.text += "," if index < len(value) - 1 or self.chance() else ""
            self.gap()
            self.text += "]"
        elif isinstance(value, str) and "'''" not in value and self.chance():
            self.text += f"'''\n{value}'''"
        elif isinstance(value, str) and self.chance():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            self.text += f'"""\n{escaped}"""'
        else:
            self.text += written(value)


@given(TREES, st.data())
def test_lines_agree_with_tomllib_in_any_document(tree: dict[str, Any], data: st.DataObject) -> None:
    document = Document(data)
    document.table(tree, "", "")
    assert tomllib.loads(document.text) == tree
    assert key_lines(document.text) == document.lines


def test_a_mistake_has_the_nearest_place() -> None:
    places = Places(
        origin="a.toml", lines={"listen": 3, "listen[0]": 4}, origins={"listen[0].auth": "APPLIANCE_X"}
    )
    assert places.mistake("listen[0].url", "is required") == Mistake(
        "listen[0].url", "is required", "a.toml", 4
    )
    assert places.mistake("listen[0].auth", "is wrong") == Mistake(
        "listen[0].auth", "is wrong", "APPLIANCE_X"
    )
    assert places.mistake("limits", "is wrong") == Mistake("limits", "is wrong", "a.toml")


def test_mistakes_stand_in_the_order_of_the_file() -> None:
    mistakes = [Mistake("c", "x", "ENV"), Mistake("b", "x", "f", 9), Mistake("a", "x", "f", 10)]
    assert [mistake.path for mistake in in_order(mistakes)] == ["b", "a", "c"]


def test_a_mistake_is_told_once() -> None:
    mistake, other = Mistake("b", "is wrong", "a.toml", 9), Mistake("b", "is odd", "a.toml", 9)
    assert in_order([mistake, other, mistake]) == (mistake, other)
