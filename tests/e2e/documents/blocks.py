"""The documents of the four replaced systems as their readers have them: the code blocks, by language and heading.

Must not know what becomes of a block.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs

FOLDER = Path(__file__).resolve().parent.parent.parent / "spec"
NAMES = ("ara", "cryptointel", "data-ws", "trading-stream")

_PART = re.compile(
    r"^(?P<level>#{1,6}) (?P<heading>[^\n]+)$|^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_HOST = re.compile(
    r"localhost:8000|localhost:8443|host:port|your-domain\.com"
    r"|cryptointel-data-production\.magicmike\.workers\.dev"
)
_TOKEN = re.compile(r"YOUR_API_KEY|YOUR_JWT_TOKEN|YOUR_TOKEN|your-jwt-token")


@attrs.frozen
class Block:
    """A block of code; `number` counts those of its document, `headings` are those that it stands under."""

    document: str
    number: int
    language: str
    headings: tuple[str, ...]
    text: str = attrs.field(repr=False)

    def __str__(self) -> str:
        return f"{self.document} {self.number}: {self.title}"

    @property
    def title(self) -> str:
        return self.headings[-1]

    @property
    def message(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.text)
        return message

    def here(self, place: str, key: str = "") -> str:
        """Put a host and a key in the place of the document's. All else stays as it is."""
        return _TOKEN.sub(key, _HOST.sub(place, self.text))


def blocks(document: str, language: str | None = None, under: str | None = None) -> list[Block]:
    """Give the blocks of a document: those of a language, and those somewhere under a heading."""
    found = []
    headings: list[str] = []
    number = 0
    for part in _PART.finditer((FOLDER / f"{document}.md").read_text(encoding="utf-8")):
        if part["level"]:
            headings = [*headings[: len(part["level"]) - 1], part["heading"]]
            continue
        number += 1
        if language in (None, part["language"]) and (under is None or under in headings):
            found.append(Block(document, number, part["language"], tuple(headings), part["text"]))
    assert found, f"{document} has no {language} under {under!r}"
    return found


def block(document: str, language: str, under: str) -> Block:
    """Give the only one of a language under a heading."""
    [found] = blocks(document, language, under)
    return found
