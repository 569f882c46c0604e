"""What a document's block runs in: Node, a page in Chromium, Python, a shell. What it says is read as it comes.

Must not know documents, nor what a block should say.
"""

from __future__ import annotations

import abc
import contextlib
import functools
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from tests.e2e.chromium import Tab
from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from playwright.sync_api import Browser, ConsoleMessage

    Words = list[Any]
    """What was written to the console in one call."""
    Passes = Callable[[Words], object]

T = TypeVar("T")

CLIENTS = Path(__file__).resolve().parent.parent / "clients"
CONSOLE = "console-as-json.js"
PAGE = """<!doctype html>
<meta charset="utf-8">
<title>An example</title>
<link rel="icon" href="data:,">
<main></main>
<script src="console-as-json.js"></script>
<script src="{name}" type="{kind}"></script>
"""

_TICK = 0.05
"""Seconds between two looks at what was said."""


def surroundings(variables: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of a program that talks to this machine alone."""
    return {**os.environ, "NO_PROXY": "*", "no_proxy": "*", **variables}


def shell(line: str, *, folder: Path, variables: Mapping[str, str] | None = None) -> str:
    """Run a line as it would be pasted, and give what it wrote."""
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env=surroundings(variables or {}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


@attrs.define(eq=False)
class Program:
    """A process; `lines` is what it has written so far."""

    process: subprocess.Popen[str]
    lines: list[str] = attrs.field(factory=list)
    _changed: threading.Condition = attrs.field(factory=threading.Condition)
    _ended: bool = False

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, *command: str, folder: Path, variables: Mapping[str, str] | None = None
    ) -> Iterator[Program]:
        """Run a command for as long as the context lasts."""
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=surroundings(variables or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        program = cls(process)
        reader = threading.Thread(target=program._read)
        reader.start()
        try:
            yield program
        finally:
            process.kill()
            process.wait(PATIENCE)
            reader.join(PATIENCE)
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def wait_for_change(self, known: int) -> None:
        """Wait a moment for more than the lines that are known already; there is none after the end."""
        with self._changed:
            if len(self.lines) == known:
                assert not self._ended, f"it has ended: {self.lines[-20:]}"
                self._changed.wait(_TICK)

    def wait_for(self, pattern: str, *, times: int = 1) -> list[re.Match[str]]:
        """Wait for so many different lines that match the pattern, and give the matches."""
        deadline = time.monotonic() + PATIENCE
        while True:
            lines = [*self.lines]
            found = [match for line in dict.fromkeys(lines) if (match := re.fullmatch(pattern, line))]
            if len(found) >= times:
                return found
            assert time.monotonic() < deadline, f"{len(found)} times {pattern!r} in {lines[-20:]}"
            self.wait_for_change(len(lines))


def python(script: Path, *paths: Path, **variables: str) -> contextlib.AbstractContextManager[Program]:
    """Run a script with these folders in front of what can be imported."""
    search = os.pathsep.join(map(str, paths))
    return Program.running(
        sys.executable,
        "-u",
        script.name,
        folder=script.parent,
        variables={"PYTHONPATH": search, **variables},
    )


class Example(abc.ABC):
    """A JavaScript that runs."""

    @abc.abstractmethod
    def said(self) -> Sequence[Words]:
        """Give what it has written to the console so far, in the order in which it did."""

    @abc.abstractmethod
    def complaints(self) -> Sequence[str]:
        """Give its errors and warnings, its own and those of what it runs in."""

    @abc.abstractmethod
    def pause(self) -> None:
        """Let it run for a moment."""

    @abc.abstractmethod
    def do(self, script: str) -> None:
        """Run a line beside it, which sees its names."""

    def hear(self, passes: Passes, *, times: int = 1) -> list[Words]:
        """Wait until it has said so many things that pass, and give them."""
        return self._wait(lambda: [words for words in self.said() if passes(words)], times)

    def hear_different(
        self, passes: Passes, *, times: int = 2, meanwhile: Callable[[], object] | None = None
    ) -> list[Words]:
        """As `hear`, but what was said twice counts once. `meanwhile` is done again and again until then."""
        return self._wait(
            lambda: [
                json.loads(text)
                for text in dict.fromkeys(json.dumps(words) for words in self.said() if passes(words))
            ],
            times,
            meanwhile,
        )

    def _wait(
        self, find: Callable[[], list[Words]], times: int, meanwhile: Callable[[], object] | None = None
    ) -> list[Words]:
        deadline = time.monotonic() + PATIENCE
        while len(found := find()) < times:
            assert time.monotonic() < deadline, f"{len(found)} in {self.said()[-20:]}, {self.complaints()}"
            if meanwhile is not None:
                meanwhile()
            self.pause()
        return found


def says(*beginning: str) -> Passes:
    """Pass what begins with these words."""
    return lambda words: words[: len(beginning)] == [*beginning]


def line(pattern: str) -> Passes:
    """Pass one text that matches."""
    return lambda words: len(words) == 1 and isinstance(words[0], str) and re.fullmatch(pattern, words[0])


class _InNode(Example):
    def __init__(self, program: Program) -> None:
        self._program = program

    def _written(self) -> Iterator[tuple[str, Words]]:
        for text in [*self._program.lines]:
            try:
                level, *words = json.loads(text)
            except ValueError:
                level, words = "error", [text]
            yield level, words

    def said(self) -> Sequence[Words]:
        return [words for _, words in self._written()]

    def complaints(self) -> Sequence[str]:
        return [str(words) for level, words in self._written() if level != "log"]

    def pause(self) -> None:
        self._program.wait_for_change(len(self._program.lines))

    def do(self, script: str) -> None:
        self._program.tell(script)


class _InPage(Example):
    def __init__(self, tab: Tab) -> None:
        self._said: list[Words] = []
        self.tab = tab
        tab.page.on("console", self._take)

    def _take(self, message: ConsoleMessage) -> None:
        with contextlib.suppress(ValueError):  # the browser's own complaints are no JSON
            self._said.append(json.loads(message.text)[1:])

    def said(self) -> Sequence[Words]:
        return self._said

    def complaints(self) -> Sequence[str]:
        return self.tab.complaints

    def pause(self) -> None:
        self.tab.page.wait_for_timeout(1000 * _TICK)

    def do(self, script: str) -> None:
        self.tab.page.evaluate(script)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called
        """Write nothing: the test does."""


@contextlib.contextmanager
def site(folder: Path) -> Iterator[str]:
    """Serve a folder as a site of its own, and give its address."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@attrs.frozen(kw_only=True)
class Stage:
    """Where scripts run: each in a process of Node, or in a page of a site that is not the appliance's.

    Without a browser it has no pages.
    """

    engine: str
    folder: Path
    browser: Browser | None
    certificate: Path
    cleanup: contextlib.ExitStack

    def run(self, script: str, *, module: bool = False) -> Example:
        """Run a script as a page does that has it in a `<script>`, or in a module."""
        name = "example.mjs" if module else "example.js"
        (self.folder / name).write_text(script, encoding="utf-8")
        if self.engine == "node":
            return _InNode(self.cleanup.enter_context(self._node(name)))
        return self.show(name, module=module)

    def show(self, name: str, *, module: bool) -> _InPage:
        """Open a page with a script of the folder, in Chromium."""
        assert self.browser is not None, "there is no browser"
        page = PAGE.format(name=name, kind="module" if module else "text/javascript")
        (self.folder / "index.html").write_text(page, encoding="utf-8")
        (self.folder / CONSOLE).write_bytes((CLIENTS / CONSOLE).read_bytes())
        address = self.cleanup.enter_context(site(self.folder))
        tab = Tab.of(self.browser)
        self.cleanup.callback(tab.close)
        shown = _InPage(tab)
        tab.page.goto(address)
        return shown

    def _node(self, name: str) -> contextlib.AbstractContextManager[Program]:
        return Program.running(
            "node",
            str(CLIENTS / "run-example.js"),
            name,
            folder=self.folder,
            variables={"NODE_EXTRA_CA_CERTS": str(self.certificate)},
        )


@contextlib.contextmanager
def in_node(
    see: Callable[[T, Stage], None], things: Iterable[T], *, folder: Path, certificate: Path
) -> Iterator[Mapping[T, Future[None]]]:
    """Have each thing seen in Node: all at once, and behind other tests, for some wait seconds to come back."""

    def run(thing: T, place: Path) -> None:
        place.mkdir()
        with contextlib.ExitStack() as cleanup:
            see(
                thing,
                Stage(engine="node", folder=place, browser=None, certificate=certificate, cleanup=cleanup),
            )

    with ThreadPoolExecutor() as pool:
        yield {thing: pool.submit(run, thing, folder / f"{number}") for number, thing in enumerate(things)}
