from __future__ import annotations

from pathlib import Path

from appliance.loading.files import Sight
from appliance.loading.sightings import Sightings

A, B = Path("/p/a.py"), Path("/p/b.py")


def sight(**prints: int) -> Sight:
    return Sight(plugins={Path(f"/p/{name}.py"): (value,) for name, value in prints.items()})


def ripe(sightings: Sightings, seen: Sight, now: float, settle: float = 1.0) -> list[Path]:
    return [record.path for record in sightings.ripe(seen, now=now, settle=settle)]


def test_what_lies_still_is_ripe_once() -> None:
    sightings = Sightings()
    seen = [(ripe(sightings, sight(a=1), now), sightings.unsettled) for now in (0.0, 0.9, 1.0, 2.0)]
    assert seen == [([], True), ([], True), ([A], False), ([], False)]


def test_what_still_changes_is_waited_for_and_nothing_else_is() -> None:
    sightings = Sightings()
    for number in range(10):
        found = ripe(sightings, sight(a=number, b=1), number * 0.5)
        assert found == ([B] if number == 2 else [])
    assert ripe(sightings, sight(a=9, b=1), 5.5) == [A]


def test_without_a_time_to_settle_everything_is_ripe_at_once() -> None:
    sightings = Sightings()
    assert ripe(sightings, sight(a=1), 0.0, settle=0) == [A]
    assert ripe(sightings, sight(a=2), 0.0, settle=0) == [A]
    assert ripe(sightings, sight(), 0.0, settle=0) == [A]


def test_what_is_gone_comes_first_and_must_stay_gone() -> None:
    sightings = Sightings()
    ripe(sightings, sight(b=1), 0.0, settle=0)
    assert ripe(sightings, sight(a=1), 1.0) == []
    assert ripe(sightings, sight(a=1, b=1), 1.5) == []
    assert ripe(sightings, sight(a=1), 2.0) == [A]
    assert ripe(sightings, sight(a=2), 3.0) == [B]
    [gone] = [record for record in sightings if record.path == B]
    assert gone.handled is None
    sightings.drop(gone)
    assert [record.path for record in sightings] == [A]


def test_what_flickers_back_to_how_it_was_is_no_change() -> None:
    sightings = Sightings()
    ripe(sightings, sight(a=1), 0.0, settle=0)
    assert ripe(sightings, sight(), 1.0) == []
    assert ripe(sightings, sight(a=1), 1.5) == []
    assert not sightings.unsettled
    assert ripe(sightings, sight(a=1), 9.0) == []


def test_of_a_folder_that_cannot_be_read_nothing_is_gone() -> None:
    sightings = Sightings()
    ripe(sightings, sight(a=1), 0.0, settle=0)
    unreadable = Sight(unreadable={Path("/p"): "no"})
    assert ripe(sightings, unreadable, 5.0, settle=0) == []


def test_what_is_to_be_taken_up_again_is() -> None:
    sightings = Sightings()
    [record] = sightings.ripe(sight(a=1), now=0.0, settle=0)
    record.again()
    assert ripe(sightings, sight(a=1), 1.0) == [A]


def test_at_the_start_all_is_taken_as_it_is() -> None:
    sightings = Sightings()
    assert [record.path for record in sightings.all(sight(a=1, b=1))] == [A, B]
    assert ripe(sightings, sight(a=1, b=1), 0.0, settle=0) == []
