"""The files of the tree, read and parsed for the tests that judge them.

Must not judge: it finds, names and resolves.
"""

from __future__ import annotations

import ast
import functools
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent.parent
MADE = {"__pycache__", "node_modules", "build"}


@attrs.frozen
class Import:
    """A name that a module imports, in full (`appliance.core.events.Event`), and the line of it."""

    name: str
    line: int


@attrs.frozen
class Outline:
    """What is often asked of a tree."""

    docstring: str | None
    imports: tuple[Import, ...]


@attrs.frozen
class Module:
    """A Python file. `name` is how others would import it.

    Its tree is parsed anew for who asks: if all were kept, each garbage collection would look through them.
    """

    name: str
    path: Path
    text: str = attrs.field(repr=False)

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, str(self.path))

    @functools.cached_property
    def outline(self) -> Outline:
        tree = self.tree
        return Outline(ast.get_docstring(tree), tuple(self._imports(tree)))

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def place(self) -> str:
        return str(self.path.relative_to(ROOT)) if self.path.is_relative_to(ROOT) else str(self.path)

    @property
    def imports(self) -> tuple[Import, ...]:
        """All imports, also those inside functions and those for type checkers alone."""
        return self.outline.imports

    def _imports(self, tree: ast.Module) -> Iterator[Import]:
        for node in statements(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(alias.name, node.lineno)
            elif isinstance(node, ast.ImportFrom):
                origin = ".".join(part for part in (self._origin(node.level), node.module) if part)
                for alias in node.names:
                    yield Import(f"{origin}.{alias.name}", node.lineno)

    def _origin(self, level: int) -> str:
        """The package that a relative import counts from; nothing for an absolute one."""
        if not level:
            return ""
        parts = self.name.split(".")
        return ".".join(parts[: len(parts) - level + self.is_package])


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements within one, however deep; with them the handlers of `try` and the cases of `match`."""
    for field in ("body", "handlers", "cases", "orelse", "finalbody"):
        for inner in getattr(node, field, ()):
            yield inner
            yield from statements(inner)


def files(*folders: str, suffix: str = ".py") -> Iterator[Path]:
    """The files of these folders in order, without what is made there."""
    for path in itertools.chain.from_iterable(
        sorted((ROOT / folder).rglob(f"*{suffix}")) for folder in folders
    ):
        if not MADE & set(path.relative_to(ROOT).parts):
            yield path


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(*folders: str) -> Iterator[Module]:
    return itertools.chain.from_iterable(map(_modules, folders))


@functools.cache
def _modules(folder: str) -> tuple[Module, ...]:
    return tuple(Module(module_name(path), path, path.read_text(encoding="utf-8")) for path in files(folder))


def sample(name: str, text: str) -> Module:
    """A module that is not in the tree, to see that a rule catches it."""
    return Module(name, Path(f"{name}.py"), text)
