from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.bench.numbered import Turns

TURNS = Turns(("A", "B", "C"))
NUMBERS = st.integers(0, 40)
CHOSEN = st.none() | st.sets(st.sampled_from(TURNS.symbols), min_size=1)


def test_symbols_have_their_turns() -> None:
    assert [TURNS.symbol(number) for number in range(1, 8)] == [*"ABCABCA"]
    assert [TURNS.count(number) for number in range(1, 8)] == [1, 1, 1, 2, 2, 2, 3]
    assert TURNS.newest(7, {"B", "C"}) == 6


@given(NUMBERS, NUMBERS, CHOSEN)
def test_changed_are_the_newest_numbers_since(after: int, until: int, chosen: set[str] | None) -> None:
    told: dict[str, int] = {}
    for number in range(1, until + 1):
        symbol = TURNS.symbol(number)
        told.pop(symbol, None)
        if number > after and (chosen is None or symbol in chosen):
            told[symbol] = number
    assert TURNS.changed(after, until, chosen) == told
