"""How far a command has come: seen on a terminal, and nowhere else."""

from __future__ import annotations

import io

import pytest

from appliance.cli.progress import counting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def shown(stream: io.StringIO, *, hidden: bool = False) -> str:
    with counting("events", stream, hidden=hidden) as count:
        count.expect(12_345)
        count.add(1_000)
        count.add(234)
    return stream.getvalue()


def test_a_terminal_shows_the_count_and_then_nothing_of_it() -> None:
    text = shown(Terminal())
    assert "1,234 of 12,345 events" in text
    assert text.endswith("\x1b[2K")  # the line is empty again


def test_a_count_without_an_end_is_shown_too() -> None:
    stream = Terminal()
    with counting("events", stream) as count:
        count.add(7)
    assert "7 events" in stream.getvalue()


def test_elsewhere_nothing_is_shown() -> None:
    assert shown(io.StringIO()) == ""
    assert shown(Terminal(), hidden=True) == ""
