"""What is wrong with channels and sources: gathered, so that all of it is told at once.

Must not know what is made of those that are right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from appliance.core.errors import Mistake, PluginError, SettingsError
from appliance.settings import words
from appliance.settings.lines import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from appliance.settings.load import Loaded


@attrs.frozen
class Complaint:
    """What is wrong with a channel or a source (`about`: its path); `what` is a mistake, or what a plugin raised."""

    about: str
    what: Mistake | PluginError

    def __str__(self) -> str:
        return str(self.what)


class Complaints:
    """Gathers complaints about what a configuration says.

    `complete`: nothing that it names is missing for want of a plugin; else nothing is said of names that are unknown.
    """

    def __init__(self, loaded: Loaded, *, complete: bool, warn: Callable[[str], object] | None) -> None:
        self._loaded = loaded
        self._warn = warn
        self._found: list[Complaint] = []
        self.complete = complete

    def __iter__(self) -> Iterator[Complaint]:
        return iter(tuple(self._found))

    def about(self, *paths: str) -> list[Complaint]:
        return [each for each in self._found if each.about in paths]

    def add(self, about: str, what: Mistake | PluginError) -> None:
        self._found.append(Complaint(about, what))

    def mistake(self, about: str, path: str, problem: str) -> None:
        """Complain of what stands at a path."""
        self.add(about, self._loaded.places.mistake(path, problem))

    def unknown(
        self, about: str, path: str, kind: str, name: str, *, known: Iterable[str], or_else: str = ""
    ) -> None:
        """Complain of a name that there is not, with the nearest one; `or_else` is another remedy."""
        if not self.complete:
            return  # a plugin that is missing may have it
        nearest, listed = words.nearest(name, known), ", ".join(sorted(known)) or "none"
        hint = f"did you mean `{nearest}`?" if nearest else f"there are {listed}"
        other = f" ({or_else})" if or_else else ""
        self.mistake(about, path, f"there is no {kind} `{name}`; {hint}{other}")

    def fill(self, cls: type, options: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - of the class
        """Fill settings from what stands at their path; None where something is wrong with it, which is told."""
        try:
            return self._loaded.fill(cls, options, path, warn=self._warn)
        except SettingsError as error:
            for mistake in error.mistakes:
                self.add(path, mistake)
        except PluginError as error:
            self.add(path, error)
        return None

    def pass_on(self, about: str, to: str) -> None:
        """Say of one what was said of another that it needs."""
        self._found += [attrs.evolve(complaint, about=to) for complaint in self.about(about)]


def refuse(
    mistakes: Iterable[Mistake], complaints: Iterable[Complaint], faults: Iterable[PluginError] = ()
) -> None:
    """Raise all that is wrong, if anything is: as SettingsError when the configuration has part in it."""
    told = [complaint.what for complaint in complaints]
    wrong = [*mistakes, *(what for what in told if isinstance(what, Mistake))]
    texts = [*map(str, faults), *(str(what) for what in told if isinstance(what, PluginError))]
    if wrong:
        raise SettingsError(in_order((*wrong, *(Mistake("", text) for text in texts))))
    if texts:
        raise PluginError("\n".join(dict.fromkeys(texts)))
