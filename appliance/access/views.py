"""What somebody is shown, as kept keys and tokens write it, and what that means.

Must not know whose it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs
import msgspec

from appliance.core import conditions, topics
from appliance.core.views import Filter, Mask, Pace
from appliance.settings.views import check_fields, check_only, check_rate, check_topics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.core.scope import Scope


class Written(Protocol):
    """An entry of settings, of a kept key or of a token."""

    @property
    def topics(self) -> tuple[str, ...]: ...

    @property
    def fields(self) -> tuple[str, ...] | None: ...

    @property
    def hide(self) -> tuple[str, ...]: ...

    @property
    def only(self) -> str | None: ...

    @property
    def rate(self) -> float | None: ...


class KeptView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """As in the settings."""

    topics: tuple[str, ...] = (topics.ANY,)
    fields: tuple[str, ...] | None = None
    hide: tuple[str, ...] = ()
    only: str | None = None
    rate: float | None = None

    def check(self) -> None:
        """Raise ValueError for what settings could not say."""
        if not self.topics:
            raise ValueError("names no topic")
        check_topics(self.topics)
        check_fields(self.fields or ())
        check_fields(self.hide)
        if self.only is not None:
            check_only(self.only)
        if self.rate is not None:
            check_rate(self.rate)

    def __str__(self) -> str:
        of = "" if self.topics == (topics.ANY,) else f" in {', '.join(self.topics)}"
        said = [
            *([f"only the fields {', '.join(self.fields)}"] if self.fields else []),
            *(["no fields"] if self.fields == () else []),
            *([f"not the fields {', '.join(self.hide)}"] if self.hide else []),
            *([] if self.only is None else [f"events with {self.only}"]),
            *([] if self.rate is None else [f"at most {self.rate:g} a second of each topic"]),
        ]
        return "; ".join(said or ["everything"]) + of


@attrs.frozen
class Shown:
    """All that some entries say, as entitlements have it."""

    masks: frozenset[Mask]
    filters: frozenset[Filter]
    paces: frozenset[Pace]


def shown(entries: Iterable[Written]) -> Shown:
    """Raise ValueError for a condition that is none."""
    about = [(pattern, entry) for entry in entries for pattern in entry.topics]
    return Shown(
        frozenset(
            Mask(pattern=pattern, keep=entry.fields, hide=entry.hide)
            for pattern, entry in about
            if entry.fields is not None or entry.hide
        ),
        frozenset(
            Filter(pattern, conditions.parse(entry.only))
            for pattern, entry in about
            if entry.only is not None
        ),
        frozenset(
            Pace(pattern=pattern, rate=entry.rate) for pattern, entry in about if entry.rate is not None
        ),
    )


def written(scope: Scope) -> tuple[KeptView, ...]:
    """Write what a scope shows, an entry for each part."""
    masks = [
        KeptView(
            topics=(mask.pattern,),
            fields=None if mask.keep is None else tuple(sorted(mask.keep)),
            hide=tuple(sorted(mask.hide)),
        )
        for mask in scope.masks
    ]
    filters = [
        KeptView(topics=(each.pattern,), only=" and ".join(map(str, each.conditions)))
        for each in scope.filters
    ]
    paces = [KeptView(topics=(pace.pattern,), rate=pace.rate) for pace in scope.paces]
    return tuple(sorted((*masks, *filters, *paces), key=str))


def claimed(said: Any) -> tuple[KeptView, ...]:  # noqa: ANN401 - any value of JSON
    """Read what a token says: an object or a list of them; ValueError says what is wrong."""
    found = msgspec.convert([said] if isinstance(said, dict) else said, tuple[KeptView, ...])
    for entry in found:
        entry.check()
    return found
