"""What somebody is shown, as it is written down."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.access.views import KeptView, claimed, shown, written
from appliance.core.conditions import parse
from appliance.core.scope import Scope
from appliance.core.views import Filter, Mask, Pace
from appliance.settings.views import ViewSettings

WRITTEN: dict[str, Any] = {
    "topics": ("price:*", "trades:all"),
    "fields": ("symbol", "price"),
    "hide": ("account",),
    "only": 'account = "A1" and price > 1',
    "rate": 2.0,
}


@pytest.mark.parametrize("kind", [KeptView, ViewSettings])
def test_an_entry_says_masks_filters_and_paces_of_each_of_its_topics(kind: Any) -> None:
    found = shown([kind(**WRITTEN), kind(rate=5.0), kind()])
    assert found.masks == {
        Mask(pattern=pattern, keep={"symbol", "price"}, hide={"account"}) for pattern in WRITTEN["topics"]
    }
    assert found.filters == {Filter(pattern, parse(WRITTEN["only"])) for pattern in WRITTEN["topics"]}
    assert found.paces == {Pace(pattern="*", rate=5.0)} | {
        Pace(pattern=pattern, rate=2.0) for pattern in WRITTEN["topics"]
    }


def test_what_is_written_of_a_scope_says_the_same() -> None:
    found = shown([KeptView(**WRITTEN), KeptView(fields=())])
    scope = Scope(("*",), found.masks, found.filters, found.paces)
    assert shown(written(scope)) == found
    assert written(Scope()) == ()


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (KeptView(), "everything"),
        (KeptView(hide=("a", "b")), "not the fields a, b"),
        (KeptView(fields=("a",), topics=("price:*",)), "only the fields a in price:*"),
        (KeptView(fields=()), "no fields"),
        (KeptView(only="a = 1", rate=0.5), "events with a = 1; at most 0.5 a second of each topic"),
    ],
)
def test_an_entry_in_words(entry: KeptView, told: str) -> None:
    assert str(entry) == told


def test_a_token_says_it_in_objects() -> None:
    view = {"topics": ["price:*"], "hide": ["account"], "only": "a = 1", "rate": 1}
    (found,) = claimed(view)
    assert claimed([view]) == (found,)
    assert (found.topics, found.hide, found.only, found.rate) == (("price:*",), ("account",), "a = 1", 1.0)
    assert claimed([]) == ()


@pytest.mark.parametrize(
    "said",
    [
        "hide",
        None,
        [1],
        {"topics": []},
        {"topics": ["no topic"]},
        {"hide": ["a.b"]},
        {"hide": [""]},
        {"fields": ["a.b"]},
        {"only": "no condition"},
        {"only": ""},
        {"rate": 0},
        {"rate": -1},
        {"rate": True},
        {"mask": ["a"]},
    ],
)
def test_what_makes_no_sense_is_refused(said: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        claimed(said)
