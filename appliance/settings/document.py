"""The settings as a document: `python -m appliance.settings.document` prints the tables of the manual.

Must not know any value but defaults. Tests hold `docs/configuration.md` and `config/appliance.toml` to it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import attrs

from appliance.settings import schema, words
from appliance.settings.environment import environment_name
from appliance.settings.fields import mark
from appliance.settings.tree import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

BEGIN = "<!-- printed by `python -m appliance.settings.document` -->"
END = "<!-- end of what is printed -->"

NONE = "none"
REQUIRED = "required"


@attrs.frozen(kw_only=True)
class Row:
    """One key: `path` has `[]` for any place in a list, and `<name>` for any name."""

    path: str
    key: str
    kind: str
    range: str
    default: str
    environment: str
    reloads: bool
    doc: str


@attrs.frozen(kw_only=True)
class Section:
    """One table: its header as in the file (empty for the top of the file), and its keys."""

    header: str
    doc: str
    rows: tuple[Row, ...]


@attrs.frozen(kw_only=True)
class _Place:
    """Where a class of the tree stands; `names` are the steps of its environment name."""

    path: str = ""
    header: str = ""
    names: tuple[str, ...] = ()
    doc: str = ""
    reloads: bool = False


def sections(cls: type[attrs.AttrsInstance] = Settings) -> tuple[Section, ...]:
    """All tables, in the order of the tree."""
    return tuple(_sections(cls, _Place()))


def rows(cls: type[attrs.AttrsInstance] = Settings) -> tuple[Row, ...]:
    """All keys that hold a value, in the order of the tree."""
    return tuple(row for section in sections(cls) for row in section.rows)


def _sections(cls: Any, place: _Place) -> Iterator[Section]:  # noqa: ANN401 - an attrs class
    plain: list[Row] = []
    tables: list[tuple[type[attrs.AttrsInstance], _Place]] = []
    for key, attribute in schema.attributes(cls).items():
        table = _table(key, attribute, place)
        if table:
            tables.append(table)
        else:
            plain.append(_row(key, attribute, place))
    if others := schema.rest(cls):
        plain.append(_row("<option>", others, place))
    yield Section(header=place.header and f"[{place.header}]", doc=place.doc, rows=tuple(plain))
    for inner, below in tables:
        yield from _sections(inner, below)


def _table(
    key: str, attribute: attrs.Attribute[Any], place: _Place
) -> tuple[type[attrs.AttrsInstance], _Place] | None:
    """The class and place of an attribute that is a table, a list of tables or tables by name."""
    outer = schema.shape(attribute.type)
    inner = outer if outer.form == "table" else schema.shape(outer.inner)
    if inner.form != "table":
        return None
    path, header = (f"{above}.{key}" if above else key for above in (place.path, place.header.strip("[]")))
    names = (*place.names, key)
    match outer.form:
        case "list":
            path, header, names = f"{path}[]", f"[{header}]", (*names, "<n>")
        case "names":
            path, header, names = f"{path}.<name>", f"{header}.<name>", (*names, "<name>")
        case _:
            pass
    reloads = place.reloads or mark(attribute).reloads
    return inner.inner, _Place(
        path=path, header=header, names=names, doc=mark(attribute).doc, reloads=reloads
    )


def _row(key: str, attribute: attrs.Attribute[Any], place: _Place) -> Row:
    declared = mark(attribute)
    bounds = (words.bound_text(validator, attribute.type) for validator in declared.validators)
    return Row(
        path=f"{place.path}.{key}" if place.path else key,
        key=key,
        kind="any value" if declared.rest else words.kind_text(attribute.type),
        range=", ".join(bound for bound in bounds if bound),
        default=NONE if declared.rest else _default(attribute),
        environment=environment_name([*place.names, key]),
        reloads=place.reloads or declared.reloads,
        doc=declared.doc,
    )


def _default(attribute: attrs.Attribute[Any]) -> str:
    default: Any = attribute.default
    if default is attrs.NOTHING:
        return REQUIRED
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        default = default.factory()
    return NONE if default is None else words.value_text(default, attribute.type)


def markdown() -> str:
    """The tables of `docs/configuration.md`, a heading for each."""
    return "\n\n".join(_heading(section) + "\n\n" + _lines(section) for section in sections())


def _heading(section: Section) -> str:
    if not section.header:
        return "### Top of the file"
    return f"### `{section.header}`\n\n{section.doc}."


def _lines(section: Section) -> str:
    lines = ["| Key | Value | Default | SIGHUP | Environment | Meaning |", "|---|---|---|---|---|---|"]
    for row in section.rows:
        cells = (
            f"`{row.key}`",
            f"{row.kind}, {row.range}" if row.range else row.kind,
            row.default if row.default in (NONE, REQUIRED) else f"`{row.default}`",
            "reloads" if row.reloads else "restart",
            f"`{row.environment}`",
            row.doc,
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(f"{BEGIN}\n\n{markdown()}\n\n{END}\n")
