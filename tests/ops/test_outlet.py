"""The outlet of the log: whole lines, and no waiting for a reader that stalls or is gone."""

from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING, TextIO

import pytest

from appliance.ops.outlet import Outlet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    reading, writing = os.pipe()
    with (
        os.fdopen(reading, "rb", closefd=False) as reader,
        os.fdopen(writing, "w", encoding="utf-8") as stream,
    ):
        yield reader.fileno(), stream
        os.close(reading)


def ends(call: Callable[[], None]) -> bool:
    """Tell whether the call comes to an end at all, without hanging the tests if it does not."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(60)
    return not thread.is_alive()


def drain(file: int) -> bytes:
    """Read what lies in the pipe now."""
    os.set_blocking(file, False)
    chunks = []
    try:
        while chunk := os.read(file, 65_536):
            chunks.append(chunk)
    except BlockingIOError:
        pass  # it is empty
    return b"".join(chunks)


def test_lines_reach_a_file_at_once(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as stream:
        stream.write("before\n")
        outlet = Outlet(stream)
        assert outlet.write("größer")
        assert outlet.write("x" * 100_000)
        assert (tmp_path / "log").read_text(encoding="utf-8") == f"before\ngrößer\n{'x' * 100_000}\n"


def test_text_that_the_stream_cannot_encode_is_escaped(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="ascii") as stream:
        assert Outlet(stream).write("ü \ud800")
    assert (tmp_path / "log").read_text(encoding="ascii") == "\\xfc \\ud800\n"


def test_a_stalled_reader_costs_lines_and_no_waiting(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    outlet = Outlet(stream)
    results: list[bool] = []
    # A wait of 50 ms for each of the lines would not end in time.
    assert ends(lambda: results.extend(outlet.write(f"{number:0100}") for number in range(5000)))
    written = sum(results)
    assert 0 < written < 5000
    assert results == [True] * written + [False] * (5000 - written)

    assert drain(reader).decode().split() == [f"{number:0100}" for number in range(written)]
    assert outlet.write("again")
    assert drain(reader) == b"again\n"


def test_a_line_that_was_begun_is_finished_before_the_next(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    outlet = Outlet(stream)
    long = "x" * 200_000
    results: list[bool] = []
    assert ends(lambda: results.append(outlet.write(long)))
    assert results == [True]
    assert not outlet.write("dropped")
    received = drain(reader)
    while len(received) < len(long):
        outlet.write("next")
        received += drain(reader)
    assert received.startswith(long.encode() + b"\n")
    assert set(received[len(long) :].split()) <= {b"next"}


def test_a_reader_that_left_is_survived(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    outlet = Outlet(stream)
    assert outlet.write("heard")
    nothing, other = os.pipe()
    os.close(other)
    os.dup2(nothing, reader)  # closes the reading end
    os.close(nothing)
    assert not outlet.write("lost")
    assert not outlet.write("x" * 100_000)


def test_a_closed_stream_is_survived(tmp_path: Path) -> None:
    stream = (tmp_path / "log").open("w", encoding="utf-8")
    outlet = Outlet(stream)
    stream.close()
    assert not outlet.write("lost")
    assert not Outlet(stream).write("lost")


def test_a_full_disk_is_survived() -> None:
    with open("/dev/full", "w", encoding="utf-8") as stream:  # noqa: PTH123 - a device
        assert not Outlet(stream).write("lost")


def test_a_stream_in_memory_will_do() -> None:
    stream = io.StringIO()
    outlet = Outlet(stream)
    assert outlet.write("kept")
    assert stream.getvalue() == "kept\n"
    stream.close()
    assert not outlet.write("lost")
