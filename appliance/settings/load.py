"""The configuration as a whole: file, environment and command line to one checked tree.

Must not know what the settings are for, nor who asks: a start, a check or a reload.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from appliance.core.errors import Mistake, SettingsError
from appliance.settings import legacy, lines, structure
from appliance.settings.address import Address
from appliance.settings.clashes import clashes, configured_names
from appliance.settings.credentials import CREDENTIAL, credentials
from appliance.settings.environment import apply_environment, apply_overrides, apply_state_dir
from appliance.settings.lines import Places
from appliance.settings.literals import spelled
from appliance.settings.scalars import Wrong
from appliance.settings.tree import Legacy, ListenSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from appliance.settings.access import KeySettings

T = TypeVar("T")
_PLACE = re.compile(
    r"(?P<problem>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL
)
_REMEDIES = (
    ("Invalid value", 'text stands in quotes, times and sizes too: "30s"; true and false in small letters'),
    ("Invalid statement", "a line is `key = value`, `[table]` or a # comment"),
    ("Invalid initial character", "a key is A-Z a-z 0-9 _ - or in quotes; a table in { } stands on one line"),
    ("Expected '=' after", "a line is `key = value`; a key that is not all A-Z a-z 0-9 _ - stands in quotes"),
    ("Cannot overwrite", "a key stands only once in its table"),
    ("Cannot declare", "a table stands only once; the items of a list of tables are [[table]]"),
    ("Unclosed array", "close the list with ]"),
    ("Unterminated string", "close the text with the quotes that it began with"),
    ("Expected newline", "one key and value a line; text stands in quotes"),
)


@attrs.frozen
class Loaded:
    """What the configuration says as far as it is right, what is wrong with it, and where all that stands.

    What is wrong has its default in the `draft`; a table keeps what is right in it, a list does not.
    """

    draft: Settings
    mistakes: tuple[Mistake, ...] = ()
    warnings: tuple[str, ...] = ()
    places: Places = attrs.field(factory=Places)

    @property
    def settings(self) -> Settings:
        """The settings; raises SettingsError when anything is wrong."""
        if self.mistakes:
            raise SettingsError(self.mistakes)
        return self.draft

    def is_lost(self, path: str) -> bool:
        """Whether what stands at the path could not be read, so that the draft cannot be asked about it."""
        return any(
            _within(path, mistake.path) or mistake.path.startswith(f"{path}[")
            for mistake in self.mistakes
            if mistake.path
        )

    def fill(
        self,
        cls: type[T],
        table: Mapping[str, Any],
        path: str,
        *,
        warn: Callable[[str], object] | None = None,
    ) -> T:
        """Fill a plugin's own settings from the `options` at `path`, with mistakes that name their lines."""
        places = self.places
        return structure.fill(
            cls, table, path=path, origin=places.origin, lines=places.lines, origins=places.origins, warn=warn
        )


def load(
    *,
    file: Path | None,
    environment: Mapping[str, str],
    overrides: Sequence[str] = (),
    listen: Sequence[str] = (),
    state_dir: str | None = None,
) -> Loaded:
    """The settings of `file`, changed by the environment, and that by `--set`, `--state-dir` and `--listen`.

    `listen` replaces the list of listeners; a URL that the configuration names too keeps its policy there.
    The variables of the replaced systems that the configuration names go before the file, and behind all else.
    The result has every mistake, in the order of the file. Raises SettingsError only for a file that cannot be
    read as TOML, for then nothing is known.
    """
    origin = "" if file is None else str(file)
    table, where = _read(file) if file else ({}, {})
    origins: dict[str, str] = {}
    mistakes: list[Mistake] = []
    inherited = legacy.inherit(_replaced(table, environment, overrides), table, environment)
    for applied in (
        inherited.applied,
        apply_environment(Settings, table, environment),
        apply_overrides(Settings, table, overrides),
        apply_state_dir(table, state_dir),
    ):
        for path, name in applied.origins.items():
            where = {known: line for known, line in where.items() if not _within(known, path)}
            origins = {known: other for known, other in origins.items() if not _within(known, path)}
            origins[path] = name
        mistakes += applied.mistakes
    places = Places(origin=origin, lines=where, origins=origins)
    warnings = list(inherited.warnings)
    problems = list(clashes(table))
    try:
        settings = structure.read(Settings, table, warn=warnings.append)
    except Wrong as wrong:
        problems += wrong.problems
        settings = wrong.right or Settings()
    mistakes += places.mistakes(problems)
    passed = credentials(environment)
    mistakes += passed.mistakes
    added = [
        *((f"credential {CREDENTIAL}", key) for key in passed.keys),
        *((key.name, key) for key in inherited.keys),
    ]
    mistakes += _taken(table, settings.auth.keys, added)
    addresses, wrong_urls = _addresses(listen)
    mistakes += wrong_urls
    if added:
        keys = (*settings.auth.keys, *(key for _, key in added))
        settings = attrs.evolve(settings, auth=attrs.evolve(settings.auth, keys=keys))
    if addresses:
        settings = attrs.evolve(settings, listen=_listeners(settings, addresses))
    return Loaded(settings, lines.in_order(mistakes), tuple(warnings), places)


def _replaced(
    table: Mapping[str, Any], environment: Mapping[str, str], overrides: Sequence[str]
) -> tuple[Legacy, ...]:
    """The systems whose variables are read. What goes before those can name them too, so it is asked first."""
    name = attrs.fields(Settings).legacy_environment.name
    named = table.get(name)
    asked = {} if named is None else {name: list(named) if isinstance(named, list) else named}
    # What is wrong in them is told when they are applied to the table itself.
    apply_environment(Settings, asked, environment)
    apply_overrides(Settings, asked, overrides)
    systems = spelled(asked.get(name))
    items = systems if isinstance(systems, list) else []
    return tuple(system for system in legacy.SYSTEMS if system in items)


def _read(file: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The table of the file, and its lines; a file that is no TOML is one mistake."""
    origin = str(file)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError([Mistake("", f"cannot be read: {error.strerror}", origin)]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SettingsError([Mistake("", "is not text in UTF-8; save it as such", origin, line)]) from None
    try:
        return tomllib.loads(text), lines.key_lines(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([_syntax(str(error), text, origin)]) from None
    except RecursionError:
        raise SettingsError([Mistake("", "lists or tables are nested too deeply", origin)]) from None
    except ValueError:
        raise SettingsError([Mistake("", "holds a number with too many digits", origin)]) from None


def _syntax(message: str, text: str, origin: str) -> Mistake:
    """The mistake of a file that is no TOML. The line is not quoted: a secret may stand there."""
    found = _PLACE.fullmatch(message)
    if not found:
        return Mistake("", f"is not TOML: {message}", origin)
    problem = found["problem"]
    remedy = next((remedy for beginning, remedy in _REMEDIES if problem.startswith(beginning)), "")
    column = f" at column {found['column']}" if found["column"] else " at the end of the file"
    line = int(found["line"]) if found["line"] else text.count("\n") + 1
    return Mistake("", f"is not TOML: {problem}{column}{remedy and f'; {remedy}'}", origin, line)


def _within(path: str, above: str) -> bool:
    return path == above or path.startswith((f"{above}.", f"{above}["))


def _taken(
    table: Mapping[str, Any], configured: Iterable[KeySettings], added: Iterable[tuple[str, KeySettings]]
) -> Iterator[Mistake]:
    """Keys from elsewhere, each with its origin, that are taken: by the configuration or by one another."""
    names = configured_names(table)
    owners = {key.key: key.name for key in configured}
    for origin, key in added:
        if key.name in names:
            yield Mistake("auth.keys", f"two API keys are named `{key.name}`; give each its own name", origin)
        if key.key in owners:
            problem = f"the same key as that of `{owners[key.key]}`; give each its own"
            yield Mistake("auth.keys", problem, origin)
        names.add(key.name)
        owners.setdefault(key.key, key.name)


def _addresses(urls: Sequence[str]) -> tuple[list[Address], list[Mistake]]:
    addresses: list[Address] = []
    mistakes: list[Mistake] = []
    for url in urls:
        try:
            address = Address.parse(url)
        except ValueError as error:
            mistakes.append(Mistake("", str(error), "--listen"))
            continue
        if address in addresses and (address.port or address.path):
            mistakes.append(Mistake("", f"{address} is given twice", "--listen"))
        addresses.append(address)
    return addresses, mistakes


def _listeners(settings: Settings, addresses: Sequence[Address]) -> tuple[ListenSettings, ...]:
    known = {Address.parse(listener.url): listener for listener in settings.listen}
    return tuple(known.get(address, ListenSettings(url=str(address))) for address in addresses)
