"""Tables of TOML values to attrs classes, strictly: nothing is coerced, and every mistake is found at once.

Must not know the appliance's own tree: it fills a plugin's settings in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

import attrs
from cattrs import BaseConverter
from cattrs.errors import StructureHandlerNotFoundError

from appliance.core.errors import PluginError, SettingsError
from appliance.settings import scalars, schema, words
from appliance.settings.fields import Secret
from appliance.settings.lines import Places
from appliance.settings.literals import Bare, spelled
from appliance.settings.scalars import Wrong, unexpected
from appliance.settings.secrets import read_secret

if TYPE_CHECKING:
    from appliance.settings.paths import Step

T = TypeVar("T")
Problem = tuple[tuple["Step", ...], str]
_NONE: Mapping[str, Any] = MappingProxyType({})


def fill(
    cls: type[T],
    table: Mapping[str, Any],
    *,
    path: str = "",
    origin: str = "",
    lines: Mapping[str, int] = _NONE,
    origins: Mapping[str, str] = _NONE,
    warn: Callable[[str], object] | None = None,
) -> T:
    """An instance of the attrs class `cls` with the values of `table`, which stands at `path` of `origin`.

    `lines` gives the lines of paths, `origins` says of paths that came from elsewhere from where.
    Files named by `…_file` keys are read; `warn` is called with what should be said of them.
    Raises SettingsError with all mistakes, and PluginError for a class that cannot be filled.
    """
    try:
        return read(cls, table, warn=warn)
    except Wrong as wrong:
        places = Places(origin=origin, lines=lines, origins=origins)
        raise SettingsError(places.mistakes(wrong.problems, below=path)) from None


def read(cls: type[T], table: Mapping[str, Any], *, warn: Callable[[str], object] | None = None) -> T:
    """As `fill`, but raises Wrong with the problems, whose places the caller knows, and with what is right."""
    converter = BaseConverter()
    scalars.register(converter)
    reader = _Reader(converter, warn or (lambda _: None))
    converter.register_structure_hook_func(schema.is_union, reader.union)
    converter.register_structure_hook_func(lambda kind: schema.shape(kind).form == "list", reader.items)
    converter.register_structure_hook_func(lambda kind: schema.shape(kind).form == "names", reader.names)
    converter.register_structure_hook_func(attrs.has, reader.table)
    try:
        return converter.structure(table, cls)
    except StructureHandlerNotFoundError as error:
        raise PluginError(
            f"{cls.__module__}.{cls.__qualname__}: a setting cannot be {error.type_!r}"
        ) from None


@attrs.frozen
class _Reader:
    """The hooks for what holds other values; the converter finds the hook for each of those."""

    converter: BaseConverter
    warn: Callable[[str], object]

    def union(self, value: Any, kind: Any) -> Any:  # noqa: ANN401 - a hook of cattrs
        members = schema.members(kind)
        if len(members) == 1:
            return self.converter.structure(value, members[0])
        # Bare text is text to every type that takes text, so those that read it as TOML come first.
        for member in sorted(members, key=lambda m: m in (str, Secret, Path)):
            try:
                return self.converter.structure(value, member)
            except Wrong:
                continue
        raise unexpected(value, kind)

    def items(self, value: Any, kind: Any) -> Any:  # noqa: ANN401 - a hook of cattrs
        value = spelled(value)
        if not isinstance(value, list | tuple):
            raise unexpected(value, kind)
        origin, arguments = get_origin(kind) or kind, get_args(kind)
        if origin is tuple and arguments and arguments[-1] is not Ellipsis:
            if len(value) != len(arguments):
                raise Wrong(((), f"expected a list of {len(arguments)} items, found {len(value)}"))
            kinds = arguments
        else:
            kinds = (schema.shape(kind).inner,) * len(value)
        build = origin if origin in (list, set, frozenset) else tuple
        values, problems = self._each(zip(range(len(value)), value, kinds, strict=True))
        if problems:
            # The places of the other items would mean something else without the wrong one.
            raise Wrong(*problems)
        return build(values.values())

    def names(self, value: Any, kind: Any) -> Any:  # noqa: ANN401 - a hook of cattrs
        value = spelled(value)
        if not isinstance(value, Mapping):
            raise unexpected(value, kind)
        inner = schema.shape(kind).inner
        values, problems = self._each((name, item, inner) for name, item in value.items())
        if problems:
            raise Wrong(*problems, right=values)
        return values

    def table(self, value: Any, cls: Any) -> Any:  # noqa: ANN401 - a hook of cattrs
        value = spelled(value)
        if not isinstance(value, Mapping):
            raise unexpected(value, cls)
        table, problems = self._with_secrets(value, cls)
        attributes = schema.attributes(cls)
        rest = schema.rest(cls)
        files = schema.secret_files(cls)
        known = [*attributes, *(key for key in files if key not in attributes)]
        others = {key: item for key, item in table.items() if key not in known}
        if not rest:
            problems += [((key,), words.unknown_key(key, known)) for key in others]
        given = {files.get(key, key) for key in value}
        for key, attribute in attributes.items():
            if attribute.default is attrs.NOTHING and key not in given:
                problems.append(((key,), f"is required: {words.kind_text(attribute.type)}"))
        values: dict[str, Any] = {rest.alias or rest.name: others} if rest else {}
        right = dict(values)
        for key, attribute in attributes.items():
            if key not in table:
                continue
            try:
                right[key] = values[key] = self.converter.structure(table[key], attribute.type or Any)
            except Wrong as wrong:
                problems += _below(key, wrong)
                if wrong.right is not None:
                    right[key] = wrong.right
        refusals = _refusals(cls, values, table)
        if problems or refusals:
            problems += [((key,), refusal) for key, refusal in refusals.items()]
            raise Wrong(*problems, right=_right(cls, {k: v for k, v in right.items() if k not in refusals}))
        return _made(cls, values)

    def _with_secrets(self, value: Mapping[str, Any], cls: Any) -> tuple[dict[str, Any], list[Problem]]:  # noqa: ANN401 - an attrs class
        """The table with the secrets that its `…_file` keys name, and what is wrong with those."""
        table, problems = dict(value), list[Problem]()
        for file_key, key in schema.secret_files(cls).items():
            if key in table and file_key in table:
                # Bare text came from environment or command line, and so goes before what the file says.
                if isinstance(table[file_key], Bare) == isinstance(table[key], Bare):
                    problems.append(((file_key,), f"stands beside `{key}`; give only one of the two"))
                    continue
                del table[file_key if isinstance(table[key], Bare) else key]
            if file_key in table:
                try:
                    table[key] = self._secret(table[file_key])
                except ValueError as error:
                    problems.append(((file_key,), str(error)))
        return table, problems

    def _secret(self, path: Any) -> Secret:  # noqa: ANN401 - any TOML value
        if not isinstance(path, str):
            raise ValueError(words.unexpected(path, str))  # noqa: TRY004 - a mistake of who wrote the file
        if unfit := words.control_character(path):
            raise ValueError(unfit)
        found = read_secret(Path(path))
        if found.warning:
            self.warn(found.warning)
        if unfit := words.control_character(found.secret):
            raise ValueError(f"what {path} holds does not serve: {unfit}")
        return found.secret

    def _each(self, readings: Iterable[tuple[Step, Any, Any]]) -> tuple[dict[Any, Any], list[Problem]]:
        """Read (step, value, kind) one by one, so that one that is wrong hides no other."""
        values: dict[Any, Any] = {}
        problems: list[Problem] = []
        for step, value, kind in readings:
            try:
                values[step] = self.converter.structure(value, kind)
            except Wrong as wrong:
                problems += _below(step, wrong)
                if wrong.right is not None:
                    values[step] = wrong.right
        return values, problems


def _below(step: Step, wrong: Wrong) -> list[Problem]:
    return [((step, *steps), problem) for steps, problem in wrong.problems]


def _refusals(cls: Any, values: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, str]:  # noqa: ANN401 - an attrs class
    """What the validators say, each by itself: attrs alone would stop at the first."""
    attributes = schema.attributes(cls)
    instance = SimpleNamespace()
    for key, attribute in attributes.items():
        if key in values:
            setattr(instance, attribute.name, values[key])
        elif key not in table and not _is_made(attribute.default):
            setattr(instance, attribute.name, attribute.default)
    refusals: dict[str, str] = {}
    for key, attribute in attributes.items():
        if key not in values or not attribute.validator or attribute.converter is not None:
            continue
        try:
            attribute.validator(instance, attribute, values[key])
        except AttributeError:
            # It asks for more of the instance than there is yet; it runs again when that is made.
            continue
        except Exception as error:  # noqa: BLE001 - a plugin's validator may raise anything
            refusal = words.refusal(error, spelled(table[key]), attribute.type)
            refusals[key] = _without_secrets(refusal, (values[key],))
    return refusals


def _is_made(default: object) -> bool:
    """Whether there is no default, or one that each instance makes anew."""
    return default is attrs.NOTHING or isinstance(default, attrs.Factory)  # type: ignore[arg-type]


def _made(cls: Any, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - an attrs class
    try:
        return cls(**values)
    except Exception as error:  # noqa: BLE001 - a plugin's class may raise anything
        refusal = words.refusal(error, dict(values), cls)
        raise Wrong(((), _without_secrets(refusal, values.values()))) from None


def _right(cls: Any, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - an attrs class
    """An instance of what is right in a table; None where the class needs more."""
    try:
        return cls(**values)
    except Exception:  # noqa: BLE001 - what is missing or refused here is told already
        return None


def _without_secrets(text: str, values: Iterable[Any]) -> str:
    for value in values:
        if isinstance(value, Secret) and value:
            text = text.replace(value, "…")
    return text
