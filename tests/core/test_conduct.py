"""Counting offences."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.core.conduct import Conduct, Offence


@given(st.lists(st.floats(0, 5)), st.integers(1, 5))
def test_so_many_within_the_window_are_too_many(pauses: list[float], most: int) -> None:
    conduct, now, times = Conduct(most, window=10), 0.0, []
    for pause in pauses:
        now += pause
        times.append(now)
        assert conduct.offend(Offence.FLOODS, now) == (len([t for t in times if t > now - 10]) >= most)


def test_each_kind_is_counted_by_itself_and_to_block_weighs_as_four_others() -> None:
    conduct = Conduct(9, window=10)
    assert not conduct.offend(Offence.BLOCKS, 1)
    assert not conduct.offend(Offence.BLOCKS, 2)
    assert conduct.offend(Offence.FLOODS, 3)
    assert conduct.counts == {Offence.BLOCKS: 2, Offence.FLOODS: 1}
