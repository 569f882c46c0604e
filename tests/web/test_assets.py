from __future__ import annotations

from html.parser import HTMLParser
from pathlib import PurePath
from typing import TYPE_CHECKING

from appliance.web.assets import assets

if TYPE_CHECKING:
    from pathlib import Path

KINDS = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}


class References(HTMLParser):
    """What a page asks its server for."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        asked = {"script": "src", "link": "href", "img": "src"}.get(tag)
        self.found += [value for name, value in attrs if name == asked and value]


def test_the_page_stands_at_the_root() -> None:
    found = assets()
    assert found["/"].kind == "text/html"
    assert found["/"].content.lstrip().lower().startswith(b"<!doctype html>")
    assert "/index.html" not in found


def test_each_file_is_served_as_it_stands(root: Path) -> None:
    files = {path.name: path.read_bytes() for path in (root / "appliance" / "web" / "static").iterdir()}
    served = {path.removeprefix("/") or "index.html": asset.content for path, asset in assets().items()}
    assert served == files


def test_browsers_are_told_what_each_file_is() -> None:
    found = assets()
    assert {path: asset.kind for path, asset in found.items() if path != "/"} == {
        path: KINDS[PurePath(path).suffix] for path in found if path != "/"
    }


def test_the_browser_client_is_there() -> None:
    assert assets()["/websocket-client.js"].kind == "text/javascript"


def test_what_the_page_asks_for_is_there() -> None:
    found = assets()
    asked = References(found["/"].content.decode()).found
    assert asked
    assert [path for path in asked if f"/{path.removeprefix('./').removeprefix('/')}" not in found] == []
