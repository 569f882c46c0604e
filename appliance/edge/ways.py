"""Which dialect is spoken on which path.

Must not know who comes, nor what becomes of them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from appliance.dialects import ara, data_ws
from appliance.edge.dialogues.ara import Ara
from appliance.edge.dialogues.cryptointel import Cryptointel
from appliance.edge.dialogues.data_ws import PATH, DataWs
from appliance.edge.dialogues.shared import Shared
from appliance.edge.dialogues.trading import Trading
from appliance.edge.line import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.edge.line import Dialogue, Line
    from appliance.settings.tree import Spoken

_TEMPLATES: Mapping[str, ara.Kind] = {
    "/ws/predictions/{symbol}": ara.Kind.PREDICTIONS,
    "/ws/market-data/{symbol}": ara.Kind.MARKET_DATA,
    "/ws/alerts": ara.Kind.ALERTS,
}
_DIALOGUES: Mapping[str, Callable[[Line], Dialogue]] = {
    "shared": Shared,
    "cryptointel": Cryptointel,
    "trading": Trading,
}


class Ways:
    """`paths` are those that the configuration names; the others belong to their dialects."""

    def __init__(self, paths: Mapping[str, Spoken], *, trading: bool = True) -> None:
        spoken = {
            path: _without_trading(dialect) if not trading else dialect for path, dialect in paths.items()
        }
        self._ways = {
            path: Way(_DIALOGUES[dialect]) for path, dialect in spoken.items() if dialect is not None
        }
        self._ways.setdefault(PATH, Way(DataWs, unauthorized=data_ws.UNAUTHORIZED))
        self.spoken: Mapping[str, str] = {
            PATH: DataWs.name,
            **{path: dialect for path, dialect in spoken.items() if dialect is not None},
            **{path: kind.value for path, kind in _TEMPLATES.items() if path not in spoken},
        }
        """What is spoken on each path: a dialect, `shared` by two, or what a path of ara gives."""

    def __str__(self) -> str:
        return ", ".join((*sorted(self._ways), *_TEMPLATES))

    def find(self, path: str) -> Way | None:
        way = self._ways.get(path)
        if way is not None:
            return way
        route = ara.route(path)
        return None if route is None else Way(partial(Ara, route=route))


def _without_trading(dialect: Spoken) -> Spoken | None:
    """Give what is left of a path when the trading dialect is not spoken."""
    return None if dialect == "trading" else "cryptointel"
