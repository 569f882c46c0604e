"""The rows of the house: who may import whom.

Imports for type checkers count like all others: who names a row knows it.
"""

from __future__ import annotations

import ast
import graphlib
from typing import TYPE_CHECKING

import pytest

from tests.house.source_tree import modules, sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.house.source_tree import Module

ROWS = (
    ("core",),
    ("dialects",),
    ("settings",),
    ("api", "broadcast", "hookspecs", "pytest_plugin", "testing"),
    ("loading",),
    ("runtime",),
    ("access",),
    ("store",),
    ("sources",),
    ("edge",),
    ("ops",),
    ("web",),
    ("app",),
    ("cli",),
)
HEIGHT = {name: height for height, row in enumerate(ROWS) for name in row}
APART = {"edge", "sources", "store", "ops"}
ONLY = {"api": {"core"}}
"""Rows that may import less than what stands above them."""

PURE = {"core", "dialects"}
IMPURE = {
    *("asyncio", "concurrent", "multiprocessing", "subprocess", "threading", "trio", "anyio", "sniffio"),
    *("select", "selectors", "signal", "socket", "ssl", "time", "io", "os", "pathlib", "shutil", "tempfile"),
    *("logging", "structlog", "warnings", "click", "rich", "sqlite3", "pg8000", "hypercorn", "starlette"),
    *("trio_websocket", "wsproto", "h11", "h2", "http", "urllib", "secrets", "random", "contextvars"),
}
CLOCK = {"now", "utcnow", "today"}
WORLD = {"open", "print", "input", "exec", "eval", "breakpoint"}

PLUGIN_MAY = ("appliance.api",)
ALSO_MAY = {
    "plugins.postgres": ("appliance.sources.postgres",),
    "plugins.record": ("appliance.sources.tapes",),
    "plugins.replay": ("appliance.sources.tapes",),
    "plugins.simulated": ("appliance.sources.simulated",),
}

ONE_OWNER = ("trio_websocket", "hypercorn")


def row(name: str) -> str | None:
    """The row that a full name of the package stands in; nothing for the package itself (`__version__`)."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and not parts[1].startswith("__") else None


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def wrong_rows(found: Iterable[Module]) -> Iterator[str]:
    for module in found:
        here = row(module.name)
        if here is None:
            continue
        if here not in HEIGHT:
            yield f"{module.place}: `{here}` is no row of the house"
            continue
        for imported in module.imports:
            there = row(imported.name) if is_within(imported.name, "appliance") else None
            if there is None or there == here:
                continue
            allowed = ONLY.get(here) or {name for name in HEIGHT if HEIGHT[name] <= HEIGHT[here]}
            if there not in allowed or {here, there} <= APART:
                yield f"{module.place}:{imported.line}: {here} imports {imported.name}"


def impurities(found: Iterable[Module]) -> Iterator[str]:
    for module in found:
        if row(module.name) not in PURE:
            continue
        for imported in module.imports:
            if imported.name.partition(".")[0] in IMPURE:
                yield f"{module.place}:{imported.line}: imports {imported.name}"
        for node in ast.walk(module.tree):
            match node:
                case ast.AsyncFunctionDef() | ast.AsyncWith() | ast.AsyncFor() | ast.Await():
                    yield f"{module.place}:{node.lineno}: waits"
                case ast.Attribute(attr=name) if name in CLOCK:
                    yield f"{module.place}:{node.lineno}: looks at the clock"
                case ast.Call(func=ast.Name(id=name)) if name in WORLD:
                    yield f"{module.place}:{node.lineno}: calls {name}"


def wrong_plugin_imports(found: Iterable[Module]) -> Iterator[str]:
    for module in found:
        may = PLUGIN_MAY + ALSO_MAY.get(module.name, ())
        for imported in module.imports:
            ours = is_within(imported.name, "appliance") or is_within(imported.name, "plugins")
            own = is_within(imported.name, ".".join(module.name.split(".")[:2]))  # a package its own modules
            if ours and not own and not any(is_within(imported.name, package) for package in may):
                yield f"{module.place}:{imported.line}: imports {imported.name}"


def owners(found: Iterable[Module], library: str) -> set[str]:
    return {
        module.name
        for module in found
        if any(is_within(imported.name, library) for imported in module.imports)
    }


def circle(found: Iterable[Module]) -> list[str]:
    """The first circle of imports, if there is one."""
    known = {module.name: module for module in found}
    graph: dict[str, set[str]] = {}
    for module in known.values():
        graph[module.name] = set()
        for imported in module.imports:
            parts = imported.name.split(".")
            prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
            target = next((prefix for prefix in prefixes if prefix in known), None)
            if target is not None and target != module.name:
                graph[module.name].add(target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_a_row_imports_only_rows_above_it() -> None:
    assert list(wrong_rows(modules("appliance"))) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("appliance.core.topics", "from appliance.edge import tls"),
        ("appliance.core.topics", "from appliance import edge"),
        ("appliance.core.topics", "from ..settings.tree import Settings"),
        ("appliance.edge.tls", "import appliance.store.history"),
        ("appliance.ops.log", "def late():\n    from appliance.edge.tls import context"),
        ("appliance.api", "from appliance.settings.fields import Seconds"),
        ("appliance.hookspecs", "import appliance.loading.files"),
        (
            "appliance.runtime.hub",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from appliance.edge.tls import Tls",
        ),
        ("appliance.extras.cache", "import json"),
    ],
)
def test_a_wrong_row_is_caught(name: str, text: str) -> None:
    assert len(list(wrong_rows([sample(name, text)]))) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "appliance.edge.tls",
            "from appliance.core.errors import StartError\nfrom appliance.edge import head",
        ),
        ("appliance.edge.tls", "from appliance import __version__"),
        ("appliance.hookspecs", "from appliance.api import Channel"),
        ("appliance.app", "import appliance.edge.tls, appliance.ops.log, trio"),
    ],
)
def test_a_right_row_passes(name: str, text: str) -> None:
    assert list(wrong_rows([sample(name, text)])) == []


def test_core_and_dialects_are_pure() -> None:
    assert list(impurities(modules("appliance"))) == []


@pytest.mark.parametrize(
    "text",
    [
        "async def wait(): ...",
        "import trio",
        "from time import monotonic",
        "import os.path",
        "import datetime\nat = datetime.datetime.now(datetime.UTC)",
        "data = open('file')",
    ],
)
def test_an_impurity_is_caught(text: str) -> None:
    assert len(list(impurities([sample("appliance.core.topics", text)]))) == 1
    assert list(impurities([sample("appliance.edge.tls", text)])) == []


def test_plugins_import_only_what_their_authors_may() -> None:
    assert list(wrong_plugin_imports(modules("plugins"))) == []


def test_a_plugin_that_reaches_inside_is_caught() -> None:
    simulated = "from appliance.sources.simulated.tape import Tape"
    assert list(wrong_plugin_imports([sample("plugins.simulated", simulated)])) == []
    assert len(list(wrong_plugin_imports([sample("plugins.price", simulated)]))) == 1
    assert len(list(wrong_plugin_imports([sample("plugins.price", "import appliance.runtime.hub")]))) == 1
    assert list(wrong_plugin_imports([sample("plugins.price", "import trio\nimport appliance.api")])) == []


@pytest.mark.parametrize("library", ONE_OWNER)
def test_a_library_whose_inside_is_touched_has_one_owner(library: str) -> None:
    found = owners(modules("appliance", "plugins"), library)
    assert len(found) == 1, f"{library} is imported by {sorted(found) or 'no module'}"


def test_imports_make_no_circle() -> None:
    assert circle(modules("appliance", "plugins")) == []


def test_a_circle_is_caught() -> None:
    ring = [
        sample("appliance.core.a", "from appliance.core.b import thing"),
        sample("appliance.core.b", "import appliance.core.c"),
        sample("appliance.core.c", "from appliance.core import a"),
    ]
    assert len(circle(ring)) == 4
    assert circle(ring[:2]) == []
