from __future__ import annotations

from tests.bench.load_digests import Digest, Follower, Stream
from tests.bench.load_offsets import Findings
from tests.bench.numbered import Turns

TURNS = Turns(("A", "B", "C"))
INTERVAL = 3.0


def found(*digests: Digest, chosen: str | None = None, interval: float | None = None) -> Findings:
    picked = None if chosen is None else frozenset(chosen)
    follower, findings = Follower(Stream(turns=TURNS, chosen=picked, interval=interval)), Findings()
    for digest in digests:
        follower.take(digest, findings)
    return findings


def told(at: float = 0.0, **numbers: int) -> Digest:
    return Digest("prices", at, numbers)


def test_each_digest_tells_just_what_has_changed() -> None:
    assert found(told(A=4, B=2, C=3), told(B=5), told(A=7, C=6)) == Findings()
    assert found(told(A=1, C=3), chosen="AC") == Findings()


def test_what_was_left_out_or_had_not_changed_is_a_misfit() -> None:
    everything = told(A=4, B=2, C=3)
    assert found(everything, told(C=6)) == Findings(misfits=1), "B is missing"
    assert found(everything, told(A=4, B=5)) == Findings(misfits=1), "A had been told"
    assert found(everything, told(B=2, C=6)) == Findings(misfits=1), "B has a newer one"
    assert found(everything, everything) == Findings(misfits=1)
    assert found(everything, told()) == Findings(misfits=1)
    assert found(everything, chosen="AC") == Findings(misfits=1), "B was not chosen"


def ticks(*moments: float) -> Findings:
    return found(*(told(at, **TURNS.changed(0, 3) if at == moments[0] else {TURNS.symbol(n): n})
                   for n, at in enumerate(moments, 3)), interval=INTERVAL)  # fmt: skip


def test_digests_on_their_beat_are_on_time_with_whatever_is_less_than_half_an_interval() -> None:
    assert ticks(100.0, 103.0, 106.4, 108.9, 112.0) == Findings()


def test_a_beat_that_is_missing_or_doubled_or_drifts_away_is_off() -> None:
    assert ticks(100.0, 106.0, 109.0) == Findings(offbeat=1)
    assert ticks(100.0, 103.0, 103.1, 106.0) == Findings(offbeat=1)
    assert ticks(*(100.0 + 3.4 * count for count in range(6))) == Findings(offbeat=1)


def test_a_follower_that_begins_anew_goes_on_with_what_it_knows_at_any_time() -> None:
    follower, findings = Follower(Stream(turns=TURNS, interval=INTERVAL)), Findings()
    follower.take(told(100.0, A=1, B=2, C=3), findings)
    follower.begin_anew()
    follower.take(told(117.0, A=4), findings)
    follower.take(told(120.1, B=5), findings)
    assert findings == Findings()
    assert (follower.beats, follower.told, round(follower.off, 3)) == (2, 5, 0.1)


def test_symbols_that_were_not_chosen_are_foreign() -> None:
    follower = Follower(Stream(turns=TURNS, chosen=frozenset("AB")))
    assert follower.is_foreign(told(A=1, C=3))
    assert not follower.is_foreign(told(A=1))
    assert not Follower(Stream(turns=TURNS)).is_foreign(told(A=1))
