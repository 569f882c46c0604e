"""The topics of a channel, and who reads them."""

from __future__ import annotations

import pytest

from appliance.api import Channel, Mode
from appliance.core.errors import PublishError
from appliance.core.events import Entry
from appliance.core.history import Retention, Topic
from appliance.core.kept import Kept
from appliance.core.passages import Shelf
from appliance.core.views import View
from appliance.runtime.audience import Audience
from appliance.runtime.derived import Derived
from appliance.runtime.lines import Family, Line, forgotten, key_of
from tests.runtime.stage import Lines, lines

KEEP = Retention(count=10, age=None, size=1000)
PRICE = Channel(name="price", mode=Mode.STATE, message="m", topics=("BTC", "E*"))
ENTRY = Entry(1, 0.0, 0.0, b'{"a":1}')


class Ear:
    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def offer(self, _topic: Topic, _offset: int, frame: bytes) -> None:
        self.frames.append(frame)


def line() -> Line:
    return Line(Topic("price:BTC", Mode.STATE, "m", "e", KEEP))


def audience(line: Line, ear: Ear) -> Audience:
    made = Audience(line.topic, Lines(), "label", conflated=False, shelf=Shelf())
    made.outlets[ear] = ear
    line.audiences["words"] = made
    return made


def test_a_line_is_there_once_it_is_declared_or_has_an_event() -> None:
    one, other, third = line(), line(), line()
    one.declared = True
    other.topic.append(b"{}", at=0, received=0)
    assert [each.there for each in (one, other, third)] == [True, True, False]


def test_what_is_offered_is_rendered_once_for_all_of_an_audience() -> None:
    one, ears = line(), (Ear(), Ear())
    audience(one, ears[0]).outlets[ears[1]] = ears[1]
    one.offer(ENTRY)
    assert ears[0].frames[0] is ears[1].frames[0]
    assert lines(ears[0].frames[0])[0]["body"] == {"a": 1}


def test_a_line_is_read_by_who_is_shown_a_part_of_it() -> None:
    one = line()
    assert not one.is_read
    view = View(hide=frozenset({"a"}))
    shown = Derived(one, view, later=lambda _s, _c: None, serials=lambda: (1, 0), serial=0)
    one.views[view] = shown
    assert not one.is_read
    audience(shown, Ear())
    assert one.is_read


def test_another_channel_of_the_name_goes_on_with_it() -> None:
    one = line()
    one.declared = True
    one.succeed(Channel(name="price", mode=Mode.LOG, message="other"), Retention(count=1, age=None, size=9))
    assert (one.topic.mode, one.topic.message, one.topic.retention.count) == (Mode.LOG, "other", 1)
    assert not one.declared


def test_which_keys_a_family_may_have_and_how_many() -> None:
    family = Family(PRICE, None, KEEP)
    assert [family.may_have(key) for key in ("BTC", "ETH", "SOL")] == [True, True, False]
    with pytest.raises(PublishError, match="is no key"):
        family.check_key("a*")
    family.lines = {"BTC": line(), "ETH": line()}
    family.check_room(0, most=2)
    family.check_room(1, most=3)
    with pytest.raises(PublishError, match=r"most topics, 2 \(limits.topics\)"):
        family.check_room(1, most=2)
    with pytest.raises(PublishError):
        family.check_room(1, most=4, share=0.5)


def test_the_key_of_a_name_may_have_colons() -> None:
    assert key_of("signals:type:a") == "type:a"


@pytest.mark.parametrize(
    ("kept", "number"),
    [
        (Kept("a:b", "e", 0, ()), 0),
        (Kept("a:b", "e", 3, ()), 9),
        (Kept("a:b", "e", 3, (Entry(1, 0, 0, b"", number=4),)), 0),
        (Kept("a:b", "e", 3, (Entry(2, 0, 0, b"", number=4),)), 3),
    ],
)
def test_the_highest_number_that_is_no_longer_kept(kept: Kept, number: int) -> None:
    assert forgotten(kept, 9) == number
