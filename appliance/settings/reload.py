"""What differs between two configurations, and which of it a running appliance takes.

Must not know where the new one came from, nor how a change is put into effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from appliance.settings import paths
from appliance.settings.fields import mark

if TYPE_CHECKING:
    from appliance.settings.tree import Settings

T = TypeVar("T")


@attrs.frozen
class Change:
    """A setting that differs; `reloads` tells whether it changes now or only at the next start."""

    path: str
    reloads: bool


def changes(old: Settings, new: Settings) -> tuple[Change, ...]:
    """All that differs, in the order of the tree. A table that appears or goes is one change."""
    comparison = _Comparison()
    comparison.merged(old, new)
    return tuple(comparison.found)


def merged(old: Settings, new: Settings) -> Settings:
    """The new values where SIGHUP may change them, and the old ones elsewhere."""
    return _Comparison().merged(old, new)


@attrs.frozen
class _Comparison:
    found: list[Change] = attrs.Factory(list)

    def merged(self, old: T, new: T, *, path: str = "", reloads: bool = False) -> T:
        """`new` as far as it may be taken, else `old`; what lies in a setting that reloads, reloads too."""
        if old == new:
            return old
        whole: Any = self._parts(old, new, path, reloads=reloads)
        if whole is None:
            self.found.append(Change(path, reloads))
            return new if reloads else old
        return new if reloads else whole

    def _parts(self, old: Any, new: Any, path: str, *, reloads: bool) -> Any:  # noqa: ANN401 - any part of a tree
        """`old` with the parts of `new` that may be taken; None for what is changed only as a whole."""
        match old, new:
            case dict(), dict():
                return self._names(old, new, path, reloads=reloads)
            case (list() | tuple(), list() | tuple()):
                return self._items(old, new, path, reloads=reloads)
            case _ if attrs.has(type(old)) and type(old) is type(new):
                return self._table(old, new, path, reloads=reloads)
            case _:
                return None

    def _table(self, old: Any, new: Any, path: str, *, reloads: bool) -> Any:  # noqa: ANN401 - any table of the tree
        attributes = attrs.fields(type(old))
        names = [a.name for a in attributes if a.default is attrs.NOTHING]
        if not reloads and any(getattr(old, name) != getattr(new, name) for name in names):
            # It is another thing at the same place: a new policy must not reach the old listener.
            return None
        return attrs.evolve(
            old,
            **{
                a.alias or a.name: self.merged(
                    getattr(old, a.name),
                    getattr(new, a.name),
                    path=path if mark(a).rest else paths.joined(path, a.name),
                    reloads=reloads or mark(a).reloads,
                )
                for a in attributes
            },
        )

    def _names(self, old: dict[str, Any], new: dict[str, Any], path: str, *, reloads: bool) -> dict[str, Any]:
        whole = dict(old)
        for name in [*old, *(name for name in new if name not in old)]:
            below = paths.joined(path, name)
            if name in old and name in new:
                whole[name] = self.merged(old[name], new[name], path=below, reloads=reloads)
            else:
                self.found.append(Change(below, reloads))
        return whole

    def _items(self, old: Any, new: Any, path: str, *, reloads: bool) -> Any:  # noqa: ANN401 - tuple or list
        both = min(len(old), len(new))
        whole = [
            self.merged(old[index], new[index], path=paths.joined(path, index), reloads=reloads)
            for index in range(both)
        ]
        for index in range(both, max(len(old), len(new))):
            self.found.append(Change(paths.joined(path, index), reloads))
        return type(old)([*whole, *old[both:]])
