"""Which events are shown at a rate."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core.events import Entry
from appliance.core.thinning import Thinning


def entry(offset: int, at: float = 0.0) -> Entry:
    return Entry(offset, at, at, b"{}")


def test_one_is_shown_at_once_and_behind_each_pause_the_newest_of_it() -> None:
    thinning = Thinning(2.0)
    assert thinning.take(entry(1), 10.0) == entry(1)
    assert thinning.take(entry(2), 10.1) is None
    assert (thinning.holds, round(thinning.remains(10.1), 6)) == (True, 0.4)
    assert thinning.take(entry(3), 10.2) is None
    assert thinning.release() == entry(3)
    assert not thinning.holds
    assert thinning.take(entry(4), 10.6) is None
    assert thinning.release() == entry(4)
    assert thinning.release() is None
    assert thinning.take(entry(5), 12.0) == entry(5)


def test_what_is_held_is_not_overtaken() -> None:
    thinning = Thinning(1.0)
    thinning.take(entry(1), 0.0)
    thinning.take(entry(2), 0.5)
    # The call that releases is late.
    assert thinning.take(entry(3), 1.5) is None
    assert thinning.release() == entry(3)


def test_a_clock_that_is_set_back_makes_no_pause_longer() -> None:
    thinning = Thinning(1.0)
    assert thinning.take(entry(1), 1_000_000.0) == entry(1)
    assert thinning.take(entry(2), 5.0) is None
    assert thinning.remains(5.0) == 1.0


@settings(deadline=None)
@given(st.lists(st.floats(0, 3), max_size=30), st.sampled_from((0.5, 1.0, 3.0)))
def test_no_more_than_the_rate_and_the_newest_in_the_end(pauses: list[float], rate: float) -> None:
    thinning, now, shown = Thinning(rate), 0.0, []
    for number, pause in enumerate(pauses, 1):
        if thinning.holds and thinning.remains(now) <= pause:
            due = now + thinning.remains(now)
            held = thinning.release()
            assert held is not None
            shown.append((due, held.offset))
        now += pause
        if found := thinning.take(entry(number), now):
            shown.append((now, found.offset))
    if thinning.holds:
        due = now + thinning.remains(now)
        held = thinning.release()
        assert held is not None
        shown.append((due, held.offset))
    offsets = [offset for _, offset in shown]
    assert offsets == sorted(set(offsets))
    assert offsets[-1:] == ([len(pauses)] if pauses else [])
    times = [at for at, _ in shown]
    assert all(later - sooner >= 1 / rate - 1e-6 for sooner, later in pairwise(times))
