"""How the modules read: each tested, told, of a size, named for what it is, and alone with its own parts."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import TYPE_CHECKING

import pytest

from tests.house.source_tree import ROOT, files, modules, sample, statements

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.house.source_tree import Module

MOST_LINES = 400
VAGUE = {
    *(
        "util",
        "utils",
        "utility",
        "utilities",
        "helper",
        "helpers",
        "manager",
        "managers",
        "handler",
        "handlers",
    ),
    *("common", "service", "services", "misc", "stuff"),
}
DOCUMENTED = {"_current_frames", "_exit", "_asdict", "_fields", "_make", "_replace"}
"""Names of the standard library that begin with an underscore and are for everybody."""

ADAPTED = ("trio_websocket", "hypercorn")
"""Libraries whose inside their one owner may touch, each time with the reason on the line."""

MAY_DEFINE = re.compile(r"\b(?:class|def)[\s\\]+(\w+)")
MAY_REACH = re.compile(r"(?<![^.\w]self)(?<![^.\w]cls)(?<![^.\w]super\(\))\s*\.(?:[\s\\]|#.*)*_")
MAY_EXCUSE = re.compile(r"#.*(?:noqa|flake8|mypy|type:\s*ignore)")
"""What a text has in which something is to be found; only then is it worth the time to take it apart."""

NOQA = re.compile(r"# (ruff: )?noqa: [A-Z]+\d+(, ?[A-Z]+\d+)* - \S.*\S")
TYPE_IGNORE = re.compile(r"# type: ignore\[[a-z-]+(, ?[a-z-]+)*\]")


def has_code(module: Module) -> bool:
    """Whether there is more than a docstring, imports and names like `__all__`."""
    for node in module.tree.body:
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
                pass
            case ast.Assign(targets=[ast.Name(id=name)]) if name.startswith("__"):
                pass
            case _:
                return True
    return False


def untested(module: Module) -> bool:
    if module.is_package and not has_code(module):
        return False
    _, *parts = module.name.split(".")
    folder = ROOT / "tests" / (module.name.split(".")[0] if module.name.startswith("plugins") else "")
    wanted = f"test_{parts[-1].strip('_')}.py" if parts else "test_package.py"
    within = folder / parts[0] if len(parts) > 1 else folder
    return not ((within / wanted).exists() or any(within.rglob(wanted) if len(parts) > 1 else ()))


def vague_names(module: Module) -> Iterator[str]:
    named = [(module.name.rpartition(".")[2], 1)]
    if any(map(is_vague, MAY_DEFINE.findall(module.text))):
        named += [
            (node.name, node.lineno)
            for node in statements(module.tree)
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        ]
    for name, line in named:
        if is_vague(name):
            yield f"{module.place}:{line}: {name}"


def is_vague(name: str) -> bool:
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    return not VAGUE.isdisjoint(word.lower() for word in words)


def reaches(module: Module) -> Iterator[str]:
    """Uses of another object's `_private`."""
    if not MAY_REACH.search(module.text):
        return
    lines = module.text.splitlines()
    adapts = any(imported.name.partition(".")[0] in ADAPTED for imported in module.imports)
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.endswith("__"):
            continue
        match node.value:
            case ast.Name(id="self" | "cls") | ast.Call(func=ast.Name(id="super")):
                continue
        excused = adapts and "noqa: SLF001" in lines[(node.end_lineno or node.lineno) - 1]
        if node.attr not in DOCUMENTED and not excused:
            yield f"{module.place}:{node.lineno}: {ast.unparse(node)}"


def comments(text: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def unexplained(module: Module) -> Iterator[str]:
    """Exceptions to a check that do not name it, or do not say why."""
    if not MAY_EXCUSE.search(module.text):
        return
    for line, comment in comments(module.text):
        whole_file = re.search(r"# (flake8|mypy):", comment)
        noqa = "noqa" in comment and not NOQA.search(comment)
        ignore = re.search(r"type:\s*ignore", comment) and not TYPE_IGNORE.search(comment)
        if whole_file or noqa or ignore:
            yield f"{module.place}:{line}: {comment}"


def listed(found: Iterable[Iterator[str]]) -> list[str]:
    return [problem for problems in found for problem in problems]


def test_each_module_has_its_test_module() -> None:
    assert [module.place for module in modules("appliance", "plugins") if untested(module)] == []


def test_an_untested_module_is_caught() -> None:
    assert untested(sample("appliance.core.nowhere", "at = 1"))
    assert untested(sample("appliance.nowhere", "at = 1"))
    assert untested(sample("plugins.nowhere", "at = 1"))


def test_each_module_says_what_it_is() -> None:
    silent = [
        module.place
        for module in modules("appliance", "plugins")
        if not module.outline.docstring and not (module.is_package and not module.text.strip())
    ]
    assert silent == []


def test_no_module_is_longer_than_one_reads() -> None:
    paths = [*files("appliance", "plugins", "packaging"), *files("appliance", suffix=".ts")]
    lengths = {path.relative_to(ROOT): path.read_text(encoding="utf-8").count("\n") for path in paths}
    assert {path: length for path, length in lengths.items() if length > MOST_LINES} == {}


def test_names_tell_what_a_thing_is_for() -> None:
    assert (
        listed(vague_names(module) for module in modules("appliance", "plugins", "packaging", "tests")) == []
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("appliance.core.utils", ""),
        ("appliance.core.topics", "class TopicManager: ..."),
        ("appliance.core.topics", "def common_things(): ..."),
        ("appliance.core.topics", "class HTTPHandler: ..."),
    ],
)
def test_a_vague_name_is_caught(name: str, text: str) -> None:
    assert len(list(vague_names(sample(name, text)))) == 1


def test_nobody_touches_the_private_parts_of_another() -> None:
    assert listed(reaches(module) for module in modules("appliance", "plugins", "packaging")) == []


@pytest.mark.parametrize(
    ("text", "caught"),
    [
        ("hub._topics.clear()", 1),
        ("self.hub._topics", 1),
        ("self._hub.topics", 0),
        ("super()._open()", 0),
        ("hub.__class__", 0),
        ("hub._topics  # noqa: SLF001 - it is convenient", 1),
        ("import hypercorn\nserver._inner  # noqa: SLF001 - has no other name", 0),
    ],
)
def test_a_reach_is_caught(text: str, caught: int) -> None:
    assert len(list(reaches(sample("appliance.edge.tls", text)))) == caught


def test_each_exception_to_a_check_names_it_and_says_why() -> None:
    assert (
        listed(unexplained(module) for module in modules("appliance", "plugins", "packaging", "tests")) == []
    )


@pytest.mark.parametrize(
    ("comment", "caught"),
    [
        ("noqa", 1),
        ("noqa: S101", 1),
        ("noqa: S101 -", 1),
        ("noqa: S101 - held by the caller", 0),
        ("noqa: S101, ANN401 - held by the caller", 0),
        ("type: ignore", 1),
        ("type: ignore[arg-type]", 0),
        ("ruff: noqa", 1),
        ("ruff: noqa: S101 - held by the callers", 0),
        ("mypy: ignore-errors", 1),
    ],
)
def test_an_unexplained_exception_is_caught(comment: str, caught: int) -> None:
    assert len(list(unexplained(sample("appliance.core.topics", f"at = 1  # {comment}")))) == caught
