"""The sources as the configuration wants them: settings filled, each opened once for all its channels.

Must not know the channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from appliance.loading.importer import fault
from appliance.settings import paths
from appliance.settings.tree import SourceSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.api import Rows, Source
    from appliance.loading.catalogue import Catalogue
    from appliance.loading.complaints import Complaints
    from appliance.settings.load import Loaded


@attrs.frozen(eq=False)
class Opened:
    """A source in an arrangement, and what it was made of."""

    source: Source
    own: SourceSettings
    settings: Any
    rows: Rows


class Sources:
    """Opens sources by their names. One that is as it was `before` is the same object, `anew` looked at or not."""

    def __init__(
        self,
        catalogue: Catalogue,
        loaded: Loaded,
        complaints: Complaints,
        *,
        before: Mapping[str, Opened],
        anew: bool,
    ) -> None:
        self._catalogue = catalogue
        self._loaded = loaded
        self._told = loaded.draft.sources
        self._complaints = complaints
        self._before = before
        self._anew = anew
        self._opened: dict[str, Opened | None] = {}

    @property
    def names(self) -> set[str]:
        """All that a channel can name: a source of its own table, or a kind."""
        return {*self._catalogue.sources, *self._told}

    @property
    def opened(self) -> dict[str, Opened]:
        return {name: opened for name, opened in self._opened.items() if opened is not None}

    def kind(self, name: str) -> str:
        """The kind of a source; without a table of its own, its name is its kind."""
        kind = self._own(name).kind
        return name if kind is None else kind

    def known(self, name: str) -> Source | None:
        """Give what is registered of a source's kind, also where it cannot be opened."""
        return None if self.is_lost(name) else self._catalogue.sources.get(self.kind(name))

    def is_lost(self, name: str) -> bool:
        return self._loaded.is_lost(paths.joined("sources", name, "kind"))

    def open(self, name: str) -> Opened | None:
        """Open a source, once; what keeps it from that is complained of."""
        if name not in self._opened:
            self._opened[name] = None if self.is_lost(name) else self._open(name)
        return self._opened[name]

    def _own(self, name: str) -> SourceSettings:
        return self._told.get(name, SourceSettings())

    def _open(self, name: str) -> Opened | None:
        own, kind, path = self._own(name), self.kind(name), paths.joined("sources", name)
        source = self._catalogue.sources.get(kind)
        if source is None:
            place = path if own.kind is None else f"{path}.kind"
            self._complaints.unknown(path, place, "kind of source", kind, known=self._catalogue.sources)
            return None
        before = self._before.get(name)
        same = before is not None and before.source is source and before.own == own
        if same and not self._anew:
            return before
        settings = self._complaints.fill(source.Settings, own.options, path)
        if settings is None:
            return None
        if same and before is not None and are_equal(before.settings, settings):
            return before
        try:
            return Opened(source, own, settings, source.open(settings))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's code may raise anything
            self._complaints.add(path, fault(error, self._catalogue.source_files[kind]))
            return None


def are_equal(one: Any, other: Any) -> bool:  # noqa: ANN401 - instances of a plugin's own class
    """Compare settings by what they hold, for a class may compare as it likes."""
    return type(one) is type(other) and all(
        getattr(one, attribute.name) == getattr(other, attribute.name)
        for attribute in attrs.fields(type(one))
    )
