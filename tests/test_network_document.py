"""What docs/security.md says of the network is what the code does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from appliance.edge import tls
from appliance.edge.http.frames import LARGEST, PREFACE, FloodError, Frames
from appliance.edge.http.headers import ALWAYS
from appliance.settings.tree import Settings

if TYPE_CHECKING:
    from pathlib import Path

PING = bytes((0, 0, 0, 6, 0, 0, 0, 0, 0))
RESET = bytes((0, 0, 0, 3, 0, 0, 0, 0, 1))


@pytest.fixture(scope="module")
def section(root: Path) -> str:
    page = (root / "docs" / "security.md").read_text(encoding="utf-8")
    found = page.partition("\n## The network\n")[2].partition("\n## ")[0]
    assert found
    return " ".join(found.split())


def figure(section: str, pattern: str) -> int:
    found = re.search(pattern, section)
    assert found is not None, pattern
    return int(found[1].replace(",", ""))


def lasts(data: bytes, now: float = 0.0) -> bool:
    frames = Frames(most_headers=100, now=0.0)
    try:
        frames.receive(PREFACE, 0.0)
        frames.receive(PING * 1000, 0.0)
        frames.receive(data, now)
    except FloodError:
        return False
    return True


def test_what_a_connection_of_http2_may_send(section: str) -> None:
    assert figure(section, r"may send ([\d,]+) frames that are no request") == 1000
    assert not lasts(PING)
    more = figure(section, r"and (\d+) more each second")
    assert lasts(PING * more, 1.0)
    assert not lasts(PING * (more + 1), 1.0)
    cost = figure(section, r"a reset counts as (\d+)")
    assert lasts(RESET * (more // cost), 1.0)
    assert not lasts(RESET * (more // cost) + PING, 1.0)
    assert figure(section, r"A frame has at most ([\d,]+) bytes") == LARGEST


def test_the_ciphers(section: str) -> None:
    assert "`ECDHE` and AES-GCM or ChaCha20-Poly1305" in section
    assert tls.CIPHERS == "ECDHE+AESGCM:ECDHE+CHACHA20"


def test_every_header_is_told(section: str) -> None:
    for name, value in ALWAYS:
        assert name.decode() in section.lower()
        if b";" not in value:
            assert value.decode() in section
    assert "`tls.hsts`, a year" in section
    assert float(Settings().tls.hsts) == 365 * 86_400.0
