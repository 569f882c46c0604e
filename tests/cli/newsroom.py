"""What tests of tapes share: an appliance to publish into over TLS, a recorder, and one that plays; each a process."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import time
from typing import TYPE_CHECKING, Any

import attrs

from appliance.sources.tapes.lines import Taped
from appliance.sources.tapes.reading import read
from tests import asking
from tests.cli.test_serving import PATIENCE, ROOT, Served, lasting, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.asking import Begun

KEY = "sk_of_the_desk"
CONFIGURATION = """
[[listen]]
url = "tls://127.0.0.1:PORT"

[[auth.keys]]
name = "desk"
key = "sk_of_the_desk"
publish = ["*"]

[channels.fills]
source = "publish"
history.durable = DURABLE
"""


@attrs.define
class Newsroom:
    """An appliance of which only the test publishes. It may be killed, and comes back on its port."""

    folder: Path
    durable: bool = False
    port: int = 0
    running: Served | None = None
    published: int = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        return self.folder / "state" / "certificate.pem"

    @property
    def key_file(self) -> Path:
        file = self.folder / "key"
        file.touch(mode=0o600)
        file.write_text(KEY, encoding="utf-8")
        return file

    @property
    def recorded(self) -> tuple[str, ...]:
        """The words that record what is published here."""
        return (
            *("record", "--url", self.url, "--key-file", str(self.key_file)),
            *("--cacert", str(self.certificate), "--channels", "fills:*", "--every", "100ms"),
        )

    @contextlib.contextmanager
    def open(self, *, most: float = PATIENCE) -> Iterator[Served]:
        text = CONFIGURATION.replace("PORT", str(self.port)).replace("DURABLE", json.dumps(self.durable))
        write(self.folder, text)
        with lasting(most, self.folder) as running:
            [address] = running.wait_for("serving")["listeners"]
            self.port = int(address.rpartition(":")[2])
            yield running

    def publish(self, count: int) -> None:
        """Publish as many events, whose data is their number."""
        events = [
            {"channel": "fills", "key": "BTC", "data": {"n": number}}
            for number in range(self.published, self.published + count)
        ]
        self.published += count
        context = ssl.create_default_context(cafile=self.certificate)
        client = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=PATIENCE, context=context)
        with contextlib.closing(client):
            headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
            client.request("POST", "/api/v1/publish", json.dumps({"events": events}), headers)
            answer = client.getresponse()
            assert answer.status == 200, answer.read()


@attrs.define
class Told:
    """A command that is under way; `lines` are those of its standard error that were read."""

    process: Begun
    lines: list[str] = attrs.field(factory=list)

    def wait_for(self, words: str) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            if words in line:
                return self.lines[-1]
        raise AssertionError(f"{words!r} was not told: {self.lines}")

    def end(self, number: int) -> int:
        """Send a signal, and give the exit status."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        assert self.process.stderr is not None
        self.lines += self.process.stderr.read().splitlines()
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def told(*words: str) -> Iterator[Told]:
    """Run a command, until the block ends."""
    line = ("appliance", *words)
    alone = {"PATH": os.environ["PATH"]}
    with asking.of_this_tree().begin(line, folder=ROOT, environment=alone, within=PATIENCE) as process:
        try:
            yield Told(process)
        finally:
            process.kill()


@contextlib.contextmanager
def replayed(folder: Path, tape: Path, *words: str) -> Iterator[Served]:
    """Play a tape in a process, until the block ends."""
    command = ("replay", str(tape), "--state-dir", str(folder / "state"), *words)
    with told(*command) as running:
        running.wait_for(" of ")  # what is on the tape; behind it stands the log
        yield Served(running.process, folder)


def await_lines(path: Path, count: int) -> list[Any]:
    """Wait until so many events are on a tape, and give their data."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = list(read(path)) if path.exists() else []
        if len(found) >= count:
            return [each.content for each in found if isinstance(each, Taped)]
        time.sleep(0.05)
    raise AssertionError(f"{path} has {len(found)} events of {count}")
