"""The CryptoIntel document as its readers have it: the code blocks, by language and by the heading above them.

Must not know what becomes of a block.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs

DOCUMENT = Path(__file__).resolve().parent.parent / "spec" / "cryptointel.md"

_PART = re.compile(
    r"^(?P<level>#{1,6}) (?P<heading>[^\n]+)$|^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_CHANNEL = re.compile(r"`((?:price|signals|market):[^`]+)`")


@attrs.frozen
class Block:
    language: str
    headings: tuple[str, ...]
    text: str

    @property
    def title(self) -> str:
        return self.headings[-1]

    @property
    def message(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.text)
        return message


def blocks(language: str, under: str) -> list[Block]:
    """Give the blocks of a language that stand somewhere under a heading."""
    found = []
    headings: list[str] = []
    for part in _PART.finditer(DOCUMENT.read_text(encoding="utf-8")):
        if part["level"]:
            headings = [*headings[: len(part["level"]) - 1], part["heading"]]
        elif part["language"] == language and under in headings:
            found.append(Block(language, tuple(headings), part["text"]))
    assert found, f"the document has no {language} under {under!r}"
    return found


def channels() -> list[str]:
    """Give the channels that the document names, without those whose name stands for another."""
    named = dict.fromkeys(_CHANNEL.findall(DOCUMENT.read_text(encoding="utf-8")))
    return [name for name in named if "{" not in name and name != "price:symbol"]
