"""Settings from the environment, `APPLIANCE_LIMITS__SESSIONS=500`, and from `--set limits.sessions=500`.

Must not know what a value may be: that shows when the tree is filled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from appliance.core.errors import Mistake
from appliance.settings import paths, schema, words
from appliance.settings.assignment import UnknownKeyError, assign
from appliance.settings.literals import Bare

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PREFIX = "APPLIANCE_"
_LEVEL = "__"
_OF_APPLICATIONS = frozenset({"APPLIANCE_URL", "APPLIANCE_KEY", "APPLIANCE_CERTIFICATE"})
"""What `appliance.broadcast` reads in applications: an appliance may be started from where they run."""


@attrs.frozen
class Applied:
    """What was set from outside the file: the source of each path, and what could not be set."""

    origins: dict[str, str] = attrs.Factory(dict)
    mistakes: list[Mistake] = attrs.Factory(list)


def environment_name(steps: Sequence[str]) -> str:
    return PREFIX + _LEVEL.join(step.upper() for step in steps)


def apply_environment(
    cls: type[attrs.AttrsInstance], table: dict[str, Any], environment: Mapping[str, str]
) -> Applied:
    """Set in the table what the environment says; whole tables and lists come before their parts."""
    applied = Applied()
    names = [name for name in environment if name.startswith(PREFIX) and name not in _OF_APPLICATIONS]
    for name in sorted(names, key=lambda name: (name.count(_LEVEL), name)):
        parts = name.removeprefix(PREFIX).split(_LEVEL)
        try:
            path = assign(cls, table, parts, environment[name], fold=True)
        except UnknownKeyError as error:
            close = words.nearest(name, {*_candidates(parts, error), *_names(cls)})
            question = f"; did you mean {close}?" if close else ""
            known = ", ".join(error.known)
            remedy = question or f" (known there: {known})"
            applied.mistakes.append(Mistake("", f"no setting has this name{remedy}", name))
        except ValueError as error:
            applied.mistakes.append(Mistake("", str(error), name))
        else:
            applied.origins[path] = name
    return applied


def _candidates(parts: Sequence[str], error: UnknownKeyError) -> Iterator[str]:
    for key in error.known:
        yield environment_name([*parts[: error.place], key, *parts[error.place + 1 :]])


def _names(cls: type[attrs.AttrsInstance], *above: str) -> Iterator[str]:
    """The names of all settings whose tables have fixed names."""
    for key, attribute in schema.attributes(cls).items():
        form = schema.shape(attribute.type)
        if form.form == "table":
            yield from _names(form.inner, *above, key)
        else:
            yield environment_name([*above, key])


def apply_overrides(
    cls: type[attrs.AttrsInstance], table: dict[str, Any], overrides: Sequence[str]
) -> Applied:
    """Set in the table what `--set PATH=VALUE` says, in the order of the command line."""
    applied = Applied()
    for override in overrides:
        name = f"--set {override.partition('=')[0]}"
        try:
            steps, value = paths.leading(override)
            if not steps or not value.startswith("="):
                raise ValueError("write --set PATH=VALUE, as in --set limits.sessions=500")  # noqa: TRY301 - one place makes mistakes of them all
            path = assign(cls, table, [str(step) for step in steps], value[1:], fold=False)
        except UnknownKeyError as error:
            place = paths.joined("", *steps[: error.place + 1])
            problem = words.unknown_key(str(steps[error.place]), error.known)
            applied.mistakes.append(Mistake(place, problem, name))
        except ValueError as error:
            applied.mistakes.append(Mistake("", str(error), name))
        else:
            applied.origins[path] = name
    return applied


def apply_state_dir(table: dict[str, Any], state_dir: str | None) -> Applied:
    """Set in the table what `--state-dir` says, if it was given."""
    if state_dir is None:
        return Applied()
    table["state_dir"] = Bare(state_dir)
    return Applied({"state_dir": "--state-dir"})
