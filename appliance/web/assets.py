"""The files of the page and the browser client, as they stand in the package.

Must not know how they are served.
"""

from __future__ import annotations

from importlib import resources
from pathlib import PurePath

from appliance.edge.http.app import Asset

_INDEX = "index.html"
_KINDS = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
"""Told here, not by the machine's own table: browsers refuse a script that comes as anything else."""


def assets() -> dict[str, Asset]:
    """Give each file under the path that it is served at; the page itself at the root."""
    found = {}
    for file in resources.files("appliance.web").joinpath("static").iterdir():
        kind = _KINDS[PurePath(file.name).suffix]
        found["/" if file.name == _INDEX else f"/{file.name}"] = Asset(file.read_bytes(), kind)
    return found
