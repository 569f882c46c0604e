"""The log as its reader sees it."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from appliance.ops.log import configure, set_level

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "v3ry-s3cret"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, appliance = logging.getLogger(), logging.getLogger("appliance")
    handlers, levels = root.handlers[:], (root.level, appliance.level)
    yield
    for added in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(added)
    root.setLevel(levels[0])
    appliance.setLevel(levels[1])
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def stream() -> io.StringIO:
    written = io.StringIO()
    configure(level="info", format="json", stream=written)
    return written


def read(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_of_json(stream: io.StringIO) -> None:
    structlog.get_logger("any.name").bind(session=7).info("session opened", client="10.0.0.1", topics=[1, 2])
    [line] = read(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "event": "session opened",
        "session": 7,
        "client": "10.0.0.1",
        "topics": [1, 2],
    }
    assert stream.getvalue().startswith('{"timestamp"')


def test_auto_is_json_for_a_stream_that_is_no_terminal() -> None:
    stream = io.StringIO()
    configure(level="info", format="auto", stream=stream)
    structlog.get_logger().info("started")
    assert read(stream)[0]["event"] == "started"


def test_auto_is_coloured_words_for_a_terminal() -> None:
    screen = Screen()
    configure(level="info", format="auto", stream=screen)
    structlog.get_logger().info("started", port=8443)
    assert "\x1b[" in screen.getvalue()
    assert "started" in screen.getvalue()


def test_json_stays_json_in_a_terminal() -> None:
    screen = Screen()
    configure(level="info", format="json", stream=screen)
    structlog.get_logger().info("started")
    assert read(screen)[0]["event"] == "started"


def test_the_console_has_no_colours_outside_a_terminal() -> None:
    stream = io.StringIO()
    configure(level="info", format="console", stream=stream)
    structlog.get_logger().info("started", port=8443)
    assert re.fullmatch(r"\d{4}-\S+Z \[info +\] started +port=8443\n", stream.getvalue())


def test_a_real_terminal() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w", encoding="utf-8") as terminal:
        configure(level="info", format="auto", stream=terminal)
        structlog.get_logger().info("started")
        shown = os.read(ours, 4096).decode()
    os.close(ours)
    assert "\x1b[" in shown
    assert "started" in shown


@pytest.mark.parametrize("least", ["debug", "info", "warning", "error"])
def test_the_least_level_holds_for_the_appliance(stream: io.StringIO, least: Any) -> None:
    levels = ["debug", "info", "warning", "error"]
    log = structlog.get_logger()
    bound = log.bind(a=1)
    set_level(least)
    for level in levels:
        getattr(log, level)("plain")
        getattr(bound, level)("bound")
        getattr(logging.getLogger("appliance.part"), level)("standard")
    written = levels[levels.index(least) :]
    assert [(line["level"], line["event"]) for line in read(stream)] == [
        (level, event) for level in written for event in ("plain", "bound", "standard")
    ]


@pytest.mark.parametrize(("least", "heard"), [("debug", 2), ("info", 2), ("warning", 2), ("error", 1)])
def test_other_loggers_are_heard_from_warning_up(stream: io.StringIO, least: Any, heard: int) -> None:
    set_level(least)
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logging.getLogger("hypercorn.error").log(level, "of %s", "hypercorn", extra={"connection": 7})
    assert len(read(stream)) == heard
    line = read(stream)[-1]
    assert (line["event"], line["level"], line["logger"]) == ("of hypercorn", "error", "hypercorn.error")
    assert line["connection"] == 7


@pytest.mark.filterwarnings("default")
def test_warnings_of_python_are_lines_too(stream: io.StringIO) -> None:
    warnings.warn("an old way", UserWarning, stacklevel=1)
    [line] = read(stream)
    assert "an old way" in line["event"]
    assert line["level"] == "warning"


def test_configuring_again_leaves_the_stream_before(stream: io.StringIO) -> None:
    other = io.StringIO()
    configure(level="info", format="json", stream=other)
    structlog.get_logger().info("here")
    assert stream.getvalue() == ""
    assert len(read(other)) == 1


@pytest.mark.parametrize("format_", ["json", "console"])
def test_no_secret_is_written(format_: Any) -> None:
    stream = io.StringIO()
    configure(level="info", format=format_, stream=stream)
    log = structlog.get_logger().bind(api_key=SECRET)
    log.info("GET /ws?token=%s", SECRET, headers={"Authorization": f"Bearer {SECRET}"}, password=SECRET)
    logging.getLogger("trio-websocket").warning("bad request: %s", f"/ws?api_key={SECRET}&a=1")
    try:
        fail(SECRET)
    except ValueError:
        log.exception("session failed")
    assert SECRET not in stream.getvalue()
    assert stream.getvalue().count("[redacted]") >= 5


def fail(secret: str) -> None:
    local = secret
    raise ValueError(f"cannot use token={local}")


def test_an_exception_is_structured_and_shows_no_locals(stream: io.StringIO) -> None:
    try:
        fail(SECRET)
    except ValueError:
        structlog.get_logger().exception("session failed", session=7)
    [line] = read(stream)
    [trace] = line["exception"]
    assert (line["level"], trace["exc_type"]) == ("error", "ValueError")
    assert trace["frames"][-1]["name"] == "fail"
    assert "locals" not in json.dumps(trace) or trace["frames"][-1].get("locals") is None
    assert SECRET not in stream.getvalue()


def test_a_group_of_exceptions_is_shown_whole(stream: io.StringIO) -> None:
    group = ExceptionGroup("both", [ValueError("one"), ExceptionGroup("inner", [KeyError("two")])])
    structlog.get_logger().error("failed", exc_info=group)
    assert all(text in stream.getvalue() for text in ("both", "one", "inner", "two"))


def test_an_exception_on_the_console_shows_no_locals() -> None:
    stream = io.StringIO()
    configure(level="info", format="console", stream=stream)
    try:
        fail(SECRET)
    except ValueError:
        structlog.get_logger().exception("session failed")
    assert "Traceback (most recent call last):\n" in stream.getvalue()
    assert "in fail\n" in stream.getvalue()
    assert SECRET not in stream.getvalue()


def test_what_a_client_sent_cannot_forge_the_console() -> None:
    stream = io.StringIO()
    configure(level="info", format="console", stream=stream)
    structlog.get_logger().info("odd\nforged", path="/\x1b[2J\r\n2030 forged", text="\x9b2J")
    assert stream.getvalue().count("\n") == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", stream.getvalue())


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


class OddError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("format_", ["json", "console"])
def test_nothing_that_is_logged_raises(format_: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(logging.getLogger(), "handlers", [])  # pytest's own raise what they cannot render
        configure(level="info", format=format_, stream=stream)
        log = structlog.get_logger()
        log.info("odd value", value=Odd(), nested=[{Odd(): Odd()}])
        log.info("odd arguments %s %d", *[Odd()])
        log.error("odd error", exc_info=OddError())
        logging.getLogger("plugin").warning("odd arguments %d", "x")
        logging.getLogger("plugin").warning("odd argument %s", Odd())
    assert "odd value" in stream.getvalue()
    assert "odd error" in stream.getvalue()
    assert stream.getvalue().count("log entry could not be rendered") == 3


def test_lines_that_nobody_read_are_counted() -> None:
    reading, writing = os.pipe()
    with (
        os.fdopen(reading, "rb", closefd=True) as reader,
        os.fdopen(writing, "w", encoding="utf-8") as stream,
    ):
        configure(level="info", format="json", stream=stream)
        log = structlog.get_logger()
        for number in range(2000):
            log.info("line", number=number)
        os.set_blocking(reading, False)
        before = [json.loads(line) for line in reader.read().splitlines()]
        log.info("moving again")
        note, after = [json.loads(line) for line in reader.read().splitlines()]
    assert [line["number"] for line in before] == list(range(len(before)))
    assert 0 < len(before) < 2000
    assert note["event"] == "log lines were dropped, nobody read them"
    assert (note["level"], note["count"]) == ("warning", 2000 - len(before))
    assert after["event"] == "moving again"


SURVIVOR = """
import sys
import structlog
from appliance.ops.log import configure
configure(level="info", format="json", stream=sys.stderr)
log = structlog.get_logger()
log.info("heard")
sys.stdin.readline()
for _ in range(100):
    log.info("lost")
print("alive", flush=True)
"""


def test_a_closed_pipe_does_not_end_the_process() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SURVIVOR],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "heard" in process.stderr.readline()
    process.stderr.close()
    process.stderr = None
    output, _ = process.communicate("go\n", timeout=60)
    assert (output, process.returncode) == ("alive\n", 0)
