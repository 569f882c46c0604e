"""The profiles of the replaced systems, started on this machine.

Must not know what their clients do.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import re
import socket
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.conftest import MANY
from tests.e2e.running import ANY_PORT, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.e2e.running import Running

ROOT = Path(__file__).resolve().parent.parent.parent.parent

LIVELY = (
    f"sources.simulated.symbols={MANY}",
    "sources.simulated.interval=250ms",
    "channels.signals.high=0.5",
    "status.every=1s",
)
"""Much comes soon: what the profiles leave to the source."""

_KEYS = "/etc/appliance/keys"
_COMMENTED = re.compile(r"^#(?=[\w\[\"])", re.MULTILINE)


def profile(name: str) -> Path:
    return ROOT / "config" / f"{name}.toml"


def words(file: Path, *options: str, port: int = 0) -> list[str]:
    """Give the words that start a profile here: on loopback, on a port of this machine, and beside it over TLS."""
    listen = tomllib.loads(file.read_text(encoding="utf-8"))["listen"][0]
    scheme = listen["url"].partition("://")[0]
    here = (
        f"listen[0].url={scheme}://127.0.0.1:{port}",
        f"listen[1].url={ANY_PORT}",
        f"listen[1].auth={listen['auth']}",
    )
    return ["--config", str(file), *(word for option in (*here, *options) for word in ("--set", option))]


def with_real_rows(name: str, folder: Path) -> tuple[Path, dict[str, str]]:
    """Write a profile with its last lines taken in use, and the keys that they name. Gives the keys, too."""
    text = _COMMENTED.sub("", profile(name).read_text(encoding="utf-8"))
    keys = {owner: f"key-of-{owner}" for owner in re.findall(rf'"{_KEYS}/(\w+)"', text)}
    for owner, key in keys.items():
        (folder / owner).write_text(key, encoding="utf-8")
        (folder / owner).chmod(0o600)
    file = folder / f"{name}.toml"
    file.write_text(text.replace(_KEYS, str(folder)), encoding="utf-8")
    return file, keys


def variables(text: str) -> tuple[str, ...]:
    """Give what stands in front of a command that has these variables, set by a shell as a document writes them."""
    return ("sh", "-c", f'set -a\n{text}\nexec "$@"', "sh")


def publish(running: Running, key: str, *events: Mapping[str, Any]) -> None:
    """Publish as an application does that has this key."""
    client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=PATIENCE)
    with contextlib.closing(client):
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        client.request("POST", "/api/v1/publish", json.dumps({"events": events}), headers)
        answer = client.getresponse()
        assert answer.status == 200, answer.read()


def free_port() -> int:
    """Find a port that nothing listens on, and that no client is given by chance: it is closed for a while."""
    for port in random.sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no free port")
