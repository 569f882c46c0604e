from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import Any

import pytest

from appliance.cli.greeting import Greeting, lines, show
from appliance.settings.address import Address

KEY = "sk_of_a_test"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    """Whoever read it has left."""

    def flush(self) -> None:
        raise BrokenPipeError


def greeting(*urls: str, **fields: Any) -> Greeting:
    return Greeting(
        **{
            "addresses": tuple(Address.parse(url) for url in urls or ("tls://127.0.0.1:8443",)),
            "key": KEY,
            "key_file": Path("/state/api_key"),
            "certificate": Path("/state/certificate.pem"),
            "fingerprint": "AB:CD",
            "trusted": False,
            **fields,
        }
    )


def told(greeting: Greeting, *, terminal: bool = False) -> list[str]:
    return [line.strip() for line in lines(greeting, terminal=terminal) if line]


def pasted(greeting: Greeting) -> list[str]:
    """What curl is called with when a shell runs the last line."""
    line = told(greeting)[-1]
    script = f"""curl() {{ printf '%s\\n' "$@"; }}; {line}"""
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


def test_a_newcomer_is_told_all_it_takes() -> None:
    assert told(greeting(), terminal=True) == [
        "The stream appliance is up.",
        "WebSocket    wss://127.0.0.1:8443/ws",
        f"page         https://127.0.0.1:8443/#key={KEY}",
        f"key          {KEY}",
        "certificate  SHA-256 AB:CD",
        "See the market move:",
        (
            "curl -N --cacert /state/certificate.pem "
            '-H "Authorization: Bearer $(cat /state/api_key)" "https://127.0.0.1:8443/sse?channels=price:*"'
        ),
    ]


def test_the_key_is_shown_in_a_terminal_alone() -> None:
    terminal, file = Terminal(), io.StringIO()
    show(greeting(), terminal)
    show(greeting(), file)
    assert KEY in terminal.getvalue()
    assert KEY not in file.getvalue()
    assert "key          /state/api_key\n" in file.getvalue()
    assert KEY not in repr(greeting())


@pytest.mark.parametrize("stream", [Gone(), None])
def test_nobody_needs_to_read_it(stream: io.StringIO | None) -> None:
    show(greeting(), stream)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "tls://127.0.0.1:8443",
            ["WebSocket    wss://127.0.0.1:8443/ws", "page         https://127.0.0.1:8443/"],
        ),
        ("tcp://0.0.0.0:80", ["WebSocket    ws://localhost:80/ws", "page         http://localhost:80/"]),
        ("tls://[::]:443", ["WebSocket    wss://localhost:443/ws", "page         https://localhost:443/"]),
        ("tls://[::1]:443", ["WebSocket    wss://[::1]:443/ws", "page         https://[::1]:443/"]),
        ("unix:/run/socket", ["socket       /run/socket"]),
    ],
)
def test_each_listener_is_told_as_one_reaches_it(url: str, shown: list[str]) -> None:
    addressed = told(greeting("unix:/first", url))
    assert addressed[1:] == ["socket       /first", *shown, *addressed[2 + len(shown) :]]


def test_configured_keys_are_not_told() -> None:
    shown = told(greeting(key=None, key_file=None))
    assert [line for line in shown if line.startswith("key") or "Authorization" in line] == []


@pytest.mark.parametrize(
    ("url", "fields", "arguments"),
    [
        (
            "tls://127.0.0.1:1",
            {"key_file": None},
            ["-N", "--cacert", "/state/certificate.pem", "https://127.0.0.1:1/sse?channels=price:*"],
        ),
        (
            "tls://example.com:1",
            {"trusted": True, "key_file": None},
            ["-N", "https://example.com:1/sse?channels=price:*"],
        ),
        (
            "tcp://[::1]:1",
            {"key_file": None, "certificate": None},
            ["-N", "http://[::1]:1/sse?channels=price:*"],
        ),
        (
            "unix:/run/my socket",
            {"key_file": None, "certificate": None},
            ["-N", "--unix-socket", "/run/my socket", "http://localhost/sse?channels=price:*"],
        ),
    ],
)
def test_the_line_to_paste_is_for_the_first_listener(
    url: str, fields: dict[str, Any], arguments: list[str]
) -> None:
    assert pasted(greeting(url, "tcp://127.0.0.1:2", **fields)) == arguments


def test_the_line_to_paste_reads_the_key_from_its_file(tmp_path: Path) -> None:
    key_file = tmp_path / "it's a $HOME" / "api_key"
    key_file.parent.mkdir()
    key_file.write_text(f"{KEY}\n")
    assert f"Authorization: Bearer {KEY}" in pasted(greeting(key_file=key_file))
