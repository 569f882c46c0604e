"""Plugins as an operator drops them in: real files, whoever's umask it is."""

from __future__ import annotations

import shutil
import textwrap
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import structlog


def write(path: Path, text: str = "") -> Path:
    """Write a file, and the folders above it."""
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
    path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    path.chmod(0o644)
    return path


def pack(path: Path, files: Mapping[str, str]) -> Path:
    """Write a zip archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, textwrap.dedent(text).lstrip("\n"))
    path.chmod(0o644)
    return path


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def plugin(
    *channels: str,
    sources: Iterable[str] = (),
    source: str | None = None,
    version: object = 1,
    settings: str = "",
    before: str = "",
) -> str:
    """The text of a plugin. `version` is what its producers and sources tell, `before` stands at its beginning."""
    produce = "produce=produce" if source is None else f"source={source!r}"
    fields = "\n".join(f"    {line}" for line in (settings or "pass").splitlines())
    return f"""{before}
import attrs, trio
from appliance.api import Channel, Mode, Source, hookimpl

VERSION = {version!r}

@attrs.frozen(kw_only=True)
class Settings:
{fields}

@attrs.frozen
class Rows:
    settings: object
    version = VERSION
    async def produce(self, feed, settings):
        await trio.sleep_forever()

async def produce(feed, settings):
    await trio.sleep_forever()

produce.version = VERSION

@hookimpl
def register_channels():
    return [
        Channel(name=name, mode=Mode.STATE, message=name, {produce}, Settings=Settings)
        for name in {list(channels)!r}
    ]

@hookimpl
def register_sources():
    return [Source(kind=kind, open=Rows) for kind in {list(sources)!r}]
"""


def logged(captured: structlog.testing.LogCapture, event: str) -> list[str]:
    """What was told with an event's name: the error or file of each."""
    return [
        str(entry.get("error", entry.get("file"))) for entry in captured.entries if entry["event"] == event
    ]
