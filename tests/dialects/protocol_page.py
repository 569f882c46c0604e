"""`docs/protocol.md` as steps: each fenced block with the mark that stands above it, `<!-- client -->`.

connect, get         the head of a request; KEY stands for the key
client, server       a message that is sent, and one that is then received
stream, event        the head of a request for server-sent events, and one that is then received
close, answer        how a connection ends, and what a request brings
made                 a message that cannot be provoked at will: it is held against the dialect alone
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"
_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[a-z]+) -->\n)?```(?P<language>[a-z]*)\n(?P<text>.*?)\n```$", re.MULTILINE | re.DOTALL
)


@attrs.frozen
class Step:
    """One block; `mark` is empty where there is none."""

    mark: str
    text: str
    line: int


def steps() -> Iterator[Step]:
    page = PAGE.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(page):
        yield Step(found["mark"] or "", found["text"], page.count("\n", 0, found.start("text")) + 1)
