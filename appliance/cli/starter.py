"""What a new plugin begins with: a channel that runs as it is, and its test.

Must not know how plugins are loaded, but for the names that they may have.
"""

from __future__ import annotations

import importlib.machinery
import json
import keyword
import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from appliance.core.errors import PluginError
from appliance.loading import catalogue, files
from appliance.loading.plugin import unfit

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = "tests"
"""The folder beside plugins that has their tests: without an `__init__.py`, it is no plugin itself."""

_FOLDER, _FILE = 0o755, 0o644
"""Modes, whatever the umask: what others can write is not loaded."""

_PLUGIN = '''"""The channel `{name}`: say here what it streams."""

import random

import attrs
import msgspec
from appliance.api import Channel, Feed, Mode, hookimpl
from attrs.validators import gt


@attrs.frozen(kw_only=True)
class Settings:
    """What `[channels.{name}]` in the configuration can set; a mistake there is told with its line."""

    symbols: tuple[str, ...] = ("BTC", "ETH")
    interval: float = attrs.field(default=1.0, validator=gt(0))


class Row(msgspec.Struct):
    """What the data of each event must fit: what does not fit is refused, and reaches nobody."""

    symbol: str
    value: float


async def produce(feed: Feed, settings: Settings) -> None:
    """Runs until it is cancelled. When it raises, that is logged, and it is started again."""
    feed.declare(*settings.symbols)  # so that clients can subscribe before the first event
    async for _ in feed.every(settings.interval):
        for symbol in settings.symbols:
            # Your own figures go here. What blocks goes into a thread: await feed.blocking(read, symbol)
            await feed.publish({{"symbol": symbol, "value": random.random()}}, key=symbol)


CHANNEL = Channel(
    name="{name}",
    mode=Mode.STATE,  # the newest value counts; Mode.LOG: every event counts
    message="{name}_update",  # the `type` of the messages that clients get
    produce=produce,
    Settings=Settings,
    schema=Row,
)


@hookimpl
def register_channels() -> list[Channel]:
    return [CHANNEL]
'''

_TEST = """import {name}
from appliance.testing import record


async def test_each_symbol_has_an_event_on_each_beat(jumping_clock):
    events = await record({name}.CHANNEL, seconds=3600)
    assert [event.key for event in events] == ["BTC", "ETH"] * 3600
"""

_CONFTEST = '''"""Lets the tests in this folder import the plugins in the one above."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
'''


@attrs.frozen
class Started:
    """The files that were written."""

    plugin: Path
    test: Path


def problem(name: str) -> str:
    """Say why a new plugin cannot be called so, with a remedy; nothing when it can."""
    if unfit(name):
        likely = re.sub(r"\W+", "_", name.lower(), flags=re.ASCII).strip("_0123456789")
        hint = f"; `{likely}` is one" if likely and not unfit(likely) else ""
        return f"{unfit(name)}{hint}"
    if keyword.iskeyword(name) or _is_installed(name):
        return (
            f"Python has a `{name}` of its own, so that its test could not import it: call it `{name}_feed`"
        )
    if name in catalogue.collect([files.builtin_folder()]).channels:
        return f"the appliance has a channel `{name}` already: give yours another name"
    return ""


def _is_installed(name: str) -> bool:
    """Whether an import would find another module, wherever it is done."""
    here = {"", str(Path.cwd())}
    elsewhere = [path for path in sys.path if path not in here]
    found = importlib.machinery.PathFinder.find_spec(name, elsewhere)
    return found is not None or name in sys.stdlib_module_names


def write(name: str, folder: Path) -> Started:
    """Write a plugin and its test below a folder, and nothing over what is there."""
    started = Started(folder / f"{name}.py", folder / TESTS / f"test_{name}.py")
    conftest = folder / TESTS / "conftest.py"
    for path in (started.plugin, started.test):
        if os.path.lexists(path):
            raise PluginError(f"{path} is there already: remove it, or take another name or another --dir")
    try:
        _make_folder(folder / TESTS)
        _create(started.plugin, _PLUGIN.format(name=name))
        _create(started.test, _TEST.format(name=name))
        if not os.path.lexists(conftest):
            _create(conftest, _CONFTEST)
    except OSError as error:
        raise PluginError(
            f"{error.filename} cannot be written ({error.strerror}): put that right, or take another --dir"
        ) from error
    return started


def next_steps(started: Started) -> Iterator[str]:
    """Give lines to paste, for the way in which this program was started, each below what it does."""
    python, program = shlex.quote(sys.executable), "appliance"
    plugin, test = shlex.quote(str(started.plugin)), shlex.quote(str(started.test))
    pytest = f"{python} -m pytest"
    if Path(sys.argv[0]).suffix == ".pyz":
        program = f"{python} {shlex.quote(sys.argv[0])}"
        pytest = f"SHIV_INTERPRETER=1 {program} -m pytest"
    yield "# see what it publishes"
    yield f"{program} plugins check {plugin}"
    yield "# run its test"
    if not _is_installed("pytest_trio"):
        yield f"{python} -m pip install pytest pytest-trio"
    yield f"{pytest} {test}"
    yield "# serve it: in the configuration"
    yield f"plugins_dir = {json.dumps([str(started.plugin.parent.absolute())])}"


def _make_folder(path: Path) -> None:
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(_FOLDER)


def _create(path: Path, text: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE)
    with os.fdopen(file, "w", encoding="utf-8") as out:
        out.write(text)
