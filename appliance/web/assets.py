"""The files of the page and the browser client, as they stand in the package.

Must not know how they are served.
"""

from __future__ import annotations

import mimetypes
from importlib import resources

from appliance.edge.http.app import Asset

_INDEX = "index.html"


def assets() -> dict[str, Asset]:
    """Give each file under the path that it is served at; the page itself at the root."""
    found = {}
    for file in resources.files("appliance.web").joinpath("static").iterdir():
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        found["/" if file.name == _INDEX else f"/{file.name}"] = Asset(file.read_bytes(), kind)
    return found
