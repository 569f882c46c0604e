"""The configuration and the plugins, as the readers of settings and plugins have judged them.

Must not know how they are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from appliance.ops.doctor.findings import Kind, ok, problem, warning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from appliance.core.errors import Mistake
    from appliance.loading.ledger import PluginState
    from appliance.ops.doctor.findings import Finding
    from appliance.settings.tree import Settings

_SECRETS: Final = ("password", "secret", "token")
"""Last words of names that hold secrets anywhere; `key` is also a path, or a column."""
_WHY_PLUGINS: Final = "its channels are not there, or are as they were before"


def judge(origin: str, mistakes: Sequence[Mistake], warnings: Iterable[str]) -> Iterator[Finding]:
    """Say what is wrong in the configuration; `origin` is its file, empty for the embedded one."""
    for mistake in mistakes:
        yield problem(
            Kind.CONFIGURATION,
            str(mistake),
            why="`serve` does not start; what follows was looked at with the default in its place",
            remedy=f"correct it, and see with `appliance check {origin}`" if origin else "correct it",
        )
    for text in warnings:
        what, _, remedy = text.rpartition("; ")
        yield warning(
            Kind.CONFIGURATION,
            what or text,
            why="it works, and may not be what is meant",
            remedy=remedy if what else "see to it, or leave it as it is",
        )
    if not mistakes:
        yield ok(Kind.CONFIGURATION, f"{origin or 'the embedded default'} is good")


def judge_plugins(states: Sequence[PluginState], running: Iterable[PluginState] = ()) -> Iterator[Finding]:
    """Judge plugins as they would be loaded now, and those of an appliance that runs."""
    for state in states:
        if state.state != "loaded":
            yield problem(
                Kind.PLUGINS,
                f"{state.file} is {state.state}: {' '.join(state.error.split())}",
                why=_WHY_PLUGINS,
                remedy=f"correct it, and see with `appliance plugins check {state.file}`",
            )
    for state in running:
        if state.state == "quarantined":
            yield warning(
                Kind.PLUGINS,
                f"{state.file} is quarantined in the appliance that runs: {' '.join(state.error.split())}",
                why="its producer was ended, so that no new events come",
                remedy="correct it: it is tried again when its file changes",
            )
    if all(state.state == "loaded" for state in states):
        yield ok(Kind.PLUGINS, f"{len(states)} load")


def holds_secrets(table: Mapping[str, Any]) -> bool:
    """Whether a configuration as it is written has secrets itself, instead of naming files that hold them."""
    match table:
        case {"auth": {"keys": [*keys]}} if any(isinstance(key, dict) and "key" in key for key in keys):
            return True
    return _has_secret(table)


def _has_secret(table: Mapping[str, Any]) -> bool:
    return any(
        _has_secret(value)
        if isinstance(value, dict)
        else isinstance(value, str) and name.rpartition("_")[2] in _SECRETS
        for name, value in table.items()
    )


def secret_files(settings: Settings) -> tuple[str, ...]:
    """The files that the configuration names as holding secrets."""
    options = [source.options for source in settings.sources.values()]
    options += [channel.options for channel in settings.channels.values()]
    named = [key.key_file for key in settings.auth.keys if key.key_file is not None]
    named += [
        value
        for table in options
        for name, value in table.items()
        if isinstance(value, str) and name.endswith("_file")
    ]
    return tuple(dict.fromkeys(named))
