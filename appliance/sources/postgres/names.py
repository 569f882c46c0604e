"""Names and texts as SQL writes them, and a query as something to select from.

Must not know the database: what is asked here is how a text reads, and not what it names.
"""

from __future__ import annotations

import re
import string

from appliance.core.errors import SourceError

_PART = re.compile(r'\s*(?:"((?:[^"\0]|"")+)"|([^\W\d][\w$]*))\s*(\.|$)')
_FOLDED = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_MOST_PARTS = 2

_SKIPPED = re.compile(
    r"""
      '(?:[^']|'')*'                            # text
    | "(?:[^"]|"")*"                            # a name
    | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$  # text in dollars
    | --[^\n]*
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"[eE]'(?:[^'\\]|''|\\.)*'", re.DOTALL)
_WORD = re.compile(r"[^\W\d][\w$]*")
_FIRST = re.compile(r"[\s(]*(\w+)")
_READING = ("SELECT", "WITH", "VALUES", "TABLE")


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text in quotes. With a backslash it is written so that it reads the same under all settings."""
    quoted = "'" + text.replace("'", "''") + "'"
    return "E" + quoted.replace("\\", "\\\\") if "\\" in text else quoted


def parts(name: str) -> tuple[str, ...]:
    """Take `table` or `schema.table` apart, as SQL reads it: what stands in no double quotes is in small letters."""
    found: list[str] = []
    at, more = 0, True
    while more:
        match = _PART.match(name, at)
        if match is None or len(found) == _MOST_PARTS:
            raise SourceError(
                f"{name!r} is no name of a table; write `table` or `schema.table`, and a part with capitals, blanks"
                ' or signs in double quotes: "My Table"'
            )
        quoted, plain, point = match.groups()
        found.append(plain.translate(_FOLDED) if quoted is None else quoted.replace('""', '"'))
        at, more = match.end(), point == "."
    return tuple(found)


def written(name: tuple[str, ...]) -> str:
    """The name as one writes it: in double quotes only where it needs them. The reverse of `parts`."""
    return ".".join(part if re.fullmatch(r"[^\W\dA-Z][^\WA-Z]*", part) else identifier(part) for part in name)


def subquery(query: str) -> str:
    """A query to select from; SourceError where it is none, or more than one."""
    bare = _without_texts(query)
    first = _FIRST.match(bare)
    if ";" in bare:
        raise SourceError("`query` has a `;`; give one query, without a `;` at its end")
    if first is None or first[1].upper() not in _READING:
        found = f", not with {first[1]}" if first else ""
        raise SourceError(f"`query` must begin with {', '.join(_READING[:-1])} or {_READING[-1]}{found}")
    if re.search(r"(?<![\w$])\$\d", bare):
        raise SourceError(
            "`query` has a parameter such as $1, for which nothing is given; write the value there"
        )
    depth = 0
    for sign in re.findall(r"[()]", bare):
        depth += 1 if sign == "(" else -1
        if depth < 0:
            break
    if depth:
        raise SourceError("the parentheses of `query` do not match; correct it")
    # On lines of its own: its last one may end in a comment.
    return f"(\n{query}\n)"


def _without_texts(query: str) -> str:
    """The query with a blank for each text, quoted name and comment, in which any sign may stand."""
    bare: list[str] = []
    at = 0
    while at < len(query):
        if query.startswith("/*", at):
            at = _behind_comment(query, at)
            bare.append(" ")
        elif found := _ESCAPED.match(query, at) or _SKIPPED.match(query, at):
            at = found.end()
            bare.append(" ")
        elif found := _WORD.match(query, at):
            # At once, for an `e` or a `$` within a word begins no text.
            at = found.end()
            bare.append(found[0])
        else:
            bare.append(query[at])
            at += 1
    return "".join(bare)


def _behind_comment(query: str, at: int) -> int:
    """Where a comment ends that begins there; comments may stand in comments."""
    depth = 0
    for sign in re.compile(r"/\*|\*/").finditer(query, at):
        depth += 1 if sign[0] == "/*" else -1
        if not depth:
            return sign.end()
    raise SourceError("a comment in `query` has no end; close it with */")
