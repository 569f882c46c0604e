"""What is known of symbols, as it is noted: names and values that outlive the process.

Must not know how predictions are scored, nor who keeps the notes.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from .settings import HORIZONS
from .track import read_piece

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .settings import ScoresSettings

_FORMAT = "format"
_VERSION = 1
_Name = list[str | int]


class Standing(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    """What is noted of a symbol beside the predictions of its models."""

    turn: int
    versions: list[str]
    untold: list[str] = []
    told: str | None = None
    price: float | None = None
    priced: float | None = None
    time: float | None = None
    settled: float | None = None
    forgotten: float | None = None

    def as_value(self) -> dict[str, Any]:
        value: dict[str, Any] = msgspec.to_builtins(self)
        return value


@attrs.define
class Recalled:
    """What was noted of a symbol; `pieces` by model and horizon, kind and number."""

    standing: Standing = attrs.field(factory=lambda: Standing(turn=0, versions=[]))
    pieces: defaultdict[tuple[str, str], defaultdict[str, dict[int, Any]]] = attrs.field(
        factory=lambda: defaultdict(lambda: defaultdict(dict))
    )


def book_name(symbol: str) -> str:
    return _name("symbol", symbol)


def piece_name(kind: str, symbol: str, version: str, horizon: str, number: int) -> str:
    return _name(kind, symbol, version, horizon, number)


def recall(
    state: Mapping[str, Any], settings: ScoresSettings
) -> tuple[dict[str, Recalled], dict[str, Any], str | None]:
    """Read what was noted: of each symbol, what else is to be noted now, and why all is let go of where it is."""
    form = [_VERSION, settings.predictions, settings.prices]
    if state.get(_FORMAT) == form:
        try:
            return _read(state), {}, None
        except (ValueError, LookupError, msgspec.MsgspecError) as error:
            problem: str | None = str(error)
    else:
        problem = "it is of another version, or of other channels" if state else None
    return {}, {**dict.fromkeys(state), _FORMAT: form}, problem


def _read(state: Mapping[str, Any]) -> dict[str, Recalled]:
    recalled: defaultdict[str, Recalled] = defaultdict(Recalled)
    for name, value in state.items():
        if name == _FORMAT:
            continue
        match msgspec.json.decode(name, type=_Name):
            case ["symbol", str(symbol)]:
                recalled[symbol].standing = msgspec.convert(value, Standing)
            case [str(kind), str(symbol), str(version), str(horizon), int(number)] if horizon in HORIZONS:
                piece = read_piece(kind, msgspec.convert(value, str))
                recalled[symbol].pieces[version, horizon][kind][number] = piece
            case _:
                raise ValueError(f"{name} is no name of ours")
    return dict(recalled)


def _name(*parts: str | int) -> str:
    return msgspec.json.encode(parts).decode()
