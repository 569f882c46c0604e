"""Whether data fits a schema."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import attrs
import msgspec
import pytest

from appliance.core.fitting import Misfit, misfits


class Leg(msgspec.Struct):
    price: float


class Order(msgspec.Struct, kw_only=True):
    symbol: str
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)]
    legs: list[Leg] = []
    counts: dict[str, int] = {}
    kind: str = msgspec.field(default="buy", name="type")


class Even(msgspec.Struct):
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError("the number is odd")


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    price: float


class Tree(msgspec.Struct):
    inner: Tree | None = None


@attrs.frozen
class Quote:
    price: float


class Row(TypedDict):
    price: float


GOOD = {"symbol": "AAPL", "confidence": 0.5}


@pytest.mark.parametrize(
    ("data", "schema"),
    [
        (GOOD, Order),
        ({**GOOD, "legs": [{"price": 1}], "counts": {"a": 1}, "type": "sell", "more": None}, Order),
        ({"price": 1}, Quote),
        ({"price": 1}, Row),
        ({"price": 1.5}, dict[str, float]),
        ({"number": 2}, Even),
    ],
)
def test_what_fits_has_no_misfits(data: Any, schema: Any) -> None:
    assert misfits(data, schema) == ()


@pytest.mark.parametrize(
    ("data", "schema", "found"),
    [
        ({}, Order, {".symbol": "is missing", ".confidence": "is missing"}),
        ({"symbol": 1, "confidence": 2}, Order, {".symbol": "`int`", ".confidence": "<= 1.0"}),
        ({**GOOD, "legs": [{"price": 1}, {"price": "x"}]}, Order, {".legs[1].price": "`str`"}),
        ({**GOOD, "legs": [{}]}, Order, {".legs[0].price": "is missing"}),
        ({**GOOD, "counts": {"a": "x"}}, Order, {".counts[...]": "`str`"}),
        ({**GOOD, "counts": {1: 1}}, Order, {".counts[...]": "of a key"}),
        ({**GOOD, "type": 5}, Order, {".type": "`int`"}),
        ([], Order, {"": "`array`"}),
        ({"number": 3}, Even, {"": "the number is odd"}),
        ({"price": 1, "cost": 2}, Strict, {"": "`cost`"}),
        ({"price": "x"}, Quote, {".price": "`str`"}),
        ({}, Row, {".price": "is missing"}),
        ({"price": "x"}, dict[str, float], {"[...]": "`str`"}),
    ],
)
def test_what_does_not_fit_is_told_where_it_stands(data: Any, schema: Any, found: dict[str, str]) -> None:
    wrong = {misfit.path: misfit.problem for misfit in misfits(data, schema)}
    assert wrong.keys() == found.keys()
    assert [path for path, part in found.items() if part not in wrong[path]] == []


def test_a_misfit_reads_as_a_sentence() -> None:
    assert str(Misfit(".price", "is missing")) == "data.price is missing"


def test_what_is_nested_too_deeply_does_not_fit() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"inner": deep}
    assert [misfit.problem for misfit in misfits(deep, Tree)] == ["is nested too deeply"]
