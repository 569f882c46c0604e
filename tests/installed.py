"""The appliance on a server with systemd, installed by the lines of docs/operations.md; and clients of it.

Tests that only use what is installed share a machine: `as_installed` takes back what one has changed.
"""

from __future__ import annotations

import contextlib
import json
import re
import ssl
from typing import TYPE_CHECKING, Any, Final

from websockets.sync.client import ClientConnection, connect

from tests import unpacked
from tests.booted import PATIENCE, ROOT, Machine, booted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PORT: Final = 8443
CONFIGURATION: Final = "/etc/appliance/appliance.toml"
PLUGINS: Final = "/etc/appliance/plugins"
_OVERRIDE: Final = "/etc/systemd/system/appliance.service.d/test.conf"
_BLOCK: Final = re.compile(r"^<!-- (\S+) -->\n```(?:sh)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

ONCE: Final = """
import ctypes, gc, os, socket
from pathlib import Path
from appliance.api import Channel, Mode, hookimpl

DONE = Path(os.environ["STATE_DIRECTORY"]) / "done"

async def produce(feed, settings):
    if not DONE.exists():
        DONE.touch()
        {harm}
    async for number in feed.every(0.1):
        await feed.publish({{"number": number}}, key="all")

@hookimpl
def register_channels():
    return (Channel(name="counter", mode=Mode.LOG, message="count", produce=produce, topics=("all",)),)
"""
"""A plugin that does harm once, and then counts."""

_REMEMBER: Final = """
mkdir -p /root/as-installed/systemd/system
cp -a /etc/appliance /root/as-installed
cp -a /etc/systemd/system/appliance.* /root/as-installed/systemd/system
"""
_RENEW: Final = """
systemctl stop appliance.socket appliance.service
rm -rf /etc/appliance /etc/systemd/system/appliance.* /var/lib/private/appliance
cp -a /root/as-installed/. /etc
systemctl daemon-reload
systemctl reset-failed
journalctl --quiet --sync --rotate --vacuum-size=1
"""


def blocks() -> Mapping[str, str]:
    """The lines of docs/operations.md, by their marks."""
    return dict(_BLOCK.findall((ROOT / "docs" / "operations.md").read_text(encoding="utf-8")))


@contextlib.contextmanager
def installed(zipapp: Path) -> Iterator[Machine]:
    """A server on which the appliance is installed; systemd is one that waits for reloads."""
    install, start = blocks()["install"].splitlines()
    assert start == "systemctl start appliance"
    files = {zipapp: "/root/appliance.pyz", **unpacked.of_root(zipapp)}
    with booted(newer=True, files=files) as machine:
        machine.run(f"cd\n{install}\n{_REMEMBER}")
        unpacked.of_the_unit(machine, copied=unpacked.OF_ROOT)
        yield machine


def as_installed(machine: Machine, *, start: str = "appliance.socket appliance.service") -> None:
    """Have all be as it was when it was installed, with nothing kept, and nothing in the journal; then start that."""
    machine.run(f"{_RENEW}{start and f'systemctl start {start}'}")


def everything(machine: Machine) -> set[str]:
    """All files and folders but those that a machine that runs makes by itself."""
    own = ("run", "tmp", "proc", "sys", "dev", "var/log", "var/lib/systemd", "var/cache/ldconfig")
    pruned = " -o ".join(f"-path /{folder}" for folder in own)
    return set(machine.run(f"find / \\( {pruned} \\) -prune -o -print").splitlines())


def get(machine: Machine, path: str, *, verified: str = "--insecure") -> Any:
    key = "$(cat /var/lib/appliance/api_key)"
    return json.loads(
        machine.run(
            f'curl --silent --show-error --max-time 60 {verified} --header "Authorization: Bearer {key}" '
            f"https://localhost:{PORT}{path}"
        )
    )


def websocket(machine: Machine, *, key: str | None = None) -> ClientConnection:
    """A client of the machine that says who it is."""
    shown = key or machine.run("cat /var/lib/appliance/api_key").strip()
    return connect(
        f"wss://localhost:{PORT}/ws",
        sock=machine.connect(PORT),
        ssl=unverified(),
        additional_headers={"Authorization": f"Bearer {shown}"},
        open_timeout=PATIENCE,
    )


def unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def override(machine: Machine, *lines: str) -> None:
    machine.write(_OVERRIDE, "\n".join(("[Service]", *lines, "")))
    machine.run("systemctl daemon-reload")


def configure(machine: Machine, lines: str) -> None:
    """Add to the configuration."""
    with machine.root.joinpath(CONFIGURATION.lstrip("/")).open("a") as file:
        file.write(lines)


def restarted(machine: Machine, *, times: int = 1) -> None:
    machine.wait_until(
        lambda: set(machine.show("ActiveState,NRestarts").split()) == {"active", str(times)},
        f"systemd has restarted it {times} times",
    )


def events(machine: Machine) -> list[str]:
    return [entry["EVENT"] for entry in machine.journal() if "EVENT" in entry]
