from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.core import places
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.events import Mode
from appliance.core.history import Position, Resumption, Retention, Since, Topic
from appliance.core.places import Asked, Place, by_topic

epochs = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7D), min_size=1, max_size=240)
numbers = st.integers(0, 10**19 - 1)


def topic(mode: Mode = Mode.LOG, *, kept: int = 1_000, serials: list[int] | None = None) -> Topic:
    made = Topic("t:x", mode, "m", "e1", Retention(count=kept, age=None, size=1_000_000))
    for serial in serials or []:
        made.append(b"{}", at=0, received=0, serial=serial)
    return made


positions = st.builds(Position, epochs, numbers)


@given(positions | st.builds(Place, epochs, numbers, st.none() | numbers, st.none() | positions))
def test_what_is_written_is_read_again(shown: places.Shown) -> None:
    text = places.write(shown)
    assert places.read(text) == shown
    assert text.isascii()
    assert text.isprintable()
    assert " " not in text


def test_the_texts() -> None:
    assert places.write(Position("e1", 7)) == "e1:7"
    assert places.write(Place("e1", 7)) == "e1-7"
    assert places.write(Place("e1", 7, seen=3)) == "e1-7.3"
    assert places.write(Place("e1", 7, kept=Position("s", 9))) == "e1-7~s-9"


def outcome(text: str) -> places.Shown | RequestError:
    try:
        return places.read(text)
    except RequestError as error:
        return error


@given(st.text(max_size=300) | st.from_regex(r"[a-z:.-]{1,5}[:.-]?[0-9]{0,25}"))
def test_any_text_is_read_or_refused(text: str) -> None:
    found = outcome(text)
    if isinstance(found, RequestError):
        assert found.code is ErrorCode.INVALID_MESSAGE
        assert "EPOCH:OFFSET" in found.message
        assert "EPOCH-SERIAL" in found.message
        assert len(found.message) < 1_000  # whatever was shown
    else:
        assert places.read(places.write(found)) == found


@pytest.mark.parametrize(
    "text",
    ["", "7", "e", ":7", "-7", "e:", "e-", "e:7 ", " e:7", "e é:7", "e-7.", "e-7.x", "e:7\n", "e:\u0667"],
)
def test_what_is_no_position(text: str) -> None:
    with pytest.raises(RequestError):
        places.read(text)


@pytest.mark.parametrize(
    ("shown", "resumption"),
    [
        (Position("e1", 1), Resumption(after=1, recovered=True, gap=None)),
        (Place("e1", 5), Resumption(after=2, recovered=True, gap=None)),
        (Place("e1", 9), Resumption(after=3, recovered=True, gap=None)),
        (Position("e2", 1), Resumption(after=0, recovered=False, gap=None)),
        (Place("e2", 5), Resumption(after=0, recovered=False, gap=None)),
        (Place("e1", 10), Resumption(after=0, recovered=False, gap=None)),
        (Place("e1", 5, seen=10), Resumption(after=0, recovered=False, gap=None)),
    ],
)
def test_how_a_reader_goes_on(shown: places.Shown, resumption: Resumption) -> None:
    """The newest entry of all topics has the serial 9."""
    assert places.resume(shown, topic(serials=[2, 4, 7]), newest=Place("e1", 9)) == resumption


@pytest.mark.parametrize(
    ("shown", "recovered", "after"),
    [
        (Place("gone", 70, kept=Position("s", 9)), True, 3),
        (Place("gone", 70, kept=Position("s", 6)), True, 2),
        (Place("gone", 70, kept=Position("s", 4)), True, 1),
        (
            Place("gone", 70, kept=Position("s", 3)),
            False,
            1,
        ),  # the first may have been later
        (Place("gone", 70, kept=Position("s", 10)), False, 1),  # nobody has got there
        (Place("gone", 70, kept=Position("other", 9)), False, 1),
        (Place("gone", 70, seen=1, kept=Position("s", 9)), False, 1),  # in the midst of a snapshot
        (Place("gone", 70), False, 1),
        (Place("e1", 5, kept=Position("s", 0)), True, 3),  # nothing has been started anew
    ],
)
def test_how_a_reader_goes_on_after_a_restart(shown: Place, *, recovered: bool, after: int) -> None:
    """The numbers of the entries 2 and 3 are 5 and 8; the newest that was kept at all is 9."""
    made = topic()
    made.durable, made.last, made.forgotten_number = True, 1, 4
    for number, serial in ((5, 1), (8, 2)):
        made.append(b"{}", at=0, received=0, serial=serial, number=number)
    newest = Place("e1", 9, kept=Position("s", 9))
    found = places.resume(shown, made, newest=newest)
    assert (found.recovered, found.after) == (recovered, after)
    made.durable = False
    if shown.epoch == "gone":
        assert not places.resume(shown, made, newest=newest).recovered


def test_by_topic_only_those_that_are_named_are_resumed() -> None:
    recover = by_topic({"t:x": Position("e1", 1)})
    assert recover(topic(serials=[1, 2])) == Resumption(after=1, recovered=True, gap=None)
    assert by_topic({"t:y": Position("e1", 1)})(topic(serials=[1, 2])) is None


def test_by_topic_a_time_does_for_all_that_a_name_covers() -> None:
    made = topic(serials=[1, 2, 3])
    recover = by_topic({"t:*": Since(0.0), "t:y": Position("e1", 1)}, "t:*")
    assert recover(made) == Resumption(after=0, recovered=True, gap=None)
    assert by_topic({"t:*": Since(0.0), "t:x": Position("e1", 2)}, "t:*")(made) == made.resume(
        Position("e1", 2)
    )
    assert by_topic({"t:x": Since(1.0)}, "t:*")(made) == Resumption(after=3, recovered=True, gap=None)
    assert by_topic({"t:*": Position("e1", 1)}, "t:*")(made) is None
    assert by_topic({"t:*": Since(0.0)}, "t:x")(made) is None


# What is asked for of what is kept. The entries of these topics have the offsets 4 to 9, and these times.

TIMES = [14.0, 15.0, 16.0, 17.0, 16.5, 19.0]
NEWEST = Place("e1", 90)


def kept(mode: Mode = Mode.LOG) -> Topic:
    made = topic(mode, kept=6)
    for offset, at in enumerate([11.0, 12.0, 13.0, *TIMES], 1):
        made.append(b"{}", at=at, received=0, serial=10 * offset)
    return made


def found(asked: Asked, *, count: int = 3, mode: Mode = Mode.LOG) -> tuple[list[int], int, int, bool | None]:
    """Give the offsets, where they begin and end, and whether nothing is missing."""
    stretch, resumption = asked.find(kept(mode), newest=NEWEST, count=count, size=1000)
    offsets = [entry.offset for entry in stretch.entries]
    return offsets, stretch.start, stretch.end, None if resumption is None else resumption.recovered


@pytest.mark.parametrize(
    ("asked", "offsets", "start", "end", "recovered"),
    [
        # The newest, when nothing else is said.
        (Asked(), [7, 8, 9], 6, 9, None),
        (Asked(until=16.0), [4, 5], 3, 9, None),
        # On from somewhere.
        (Asked(after=5), [6, 7, 8], 5, 8, True),
        (Asked(after=Position("e1", 5)), [6, 7, 8], 5, 8, True),
        (Asked(after=Place("e1", 55)), [6, 7, 8], 5, 8, True),
        (Asked(after=9), [], 9, 9, True),
        (Asked(after=1), [4, 5, 6], 3, 6, False),
        (Asked(after=Position("e0", 5)), [4, 5, 6], 3, 6, False),
        (Asked(after=99), [4, 5, 6], 3, 6, False),
        (Asked(after=5, to=7), [6, 7], 5, 7, True),
        (Asked(after=5, to=Position("e0", 7)), [], 5, 5, False),
        (Asked(after=5, since=17.0), [7, 9], 5, 9, True),
        (Asked(after=5, since=16.0, until=17.0), [6, 8], 5, 9, True),
        # Since a time.
        (Asked(since=15.0), [5, 6, 7], 4, 7, True),
        (Asked(since=13.0), [4, 5, 6], 3, 6, False),
        (Asked(since=16.0, until=17.0), [6, 8], 5, 9, True),
        (Asked(since=30.0), [], 9, 9, True),
        # Back from somewhere.
        (Asked(to=7), [5, 6, 7], 4, 7, True),
        (Asked(to=Position("e1", 4)), [4], 3, 4, True),
        (Asked(to=Place("e1", 77)), [5, 6, 7], 4, 7, True),
        (Asked(to=3), [], 3, 3, True),
        (Asked(to=2), [], 0, 0, False),
        (Asked(to=99), [7, 8, 9], 6, 9, True),
        (Asked(to=Position("e0", 5)), [], 0, 0, False),
        (Asked(to=Place("e0", 55)), [], 0, 0, False),
        (Asked(to=8, until=17.0), [5, 6, 8], 4, 8, True),
        (Asked(to=8, since=16.0), [6, 7, 8], 5, 8, True),
        (Asked(to=6, since=13.0), [4, 5, 6], 3, 6, False),
        (Asked(to=Position("e0", 6), since=15.0), [], 0, 0, False),
    ],
)
def test_what_somebody_finds_who_asks(
    *,
    asked: Asked,
    offsets: list[int],
    start: int,
    end: int,
    recovered: bool | None,
) -> None:
    assert found(asked) == (offsets, start, end, recovered)


def test_who_asks_for_more_than_is_kept_is_told_of_what_times() -> None:
    for asked in (Asked(since=12.5), Asked(since=12.5, to=9)):
        _, resumption = asked.find(kept(), newest=NEWEST, count=3, size=1000)
        assert resumption is not None
        assert (resumption.recovered, resumption.missing) == (False, (12.5, 13.0))


def test_of_a_state_that_is_lost_the_newest_comes_and_of_a_time_all() -> None:
    assert found(Asked(after=1), mode=Mode.STATE) == ([9], 8, 9, False)
    assert found(Asked(since=13.0), count=9, mode=Mode.STATE) == ([4, 5, 6, 7, 8, 9], 3, 9, False)


@given(
    mode=st.sampled_from(Mode),
    steps=st.lists(st.integers(1, 4), max_size=8),
    kept=st.integers(1, 4),
    begun=st.integers(0, 32),
    seen=st.integers(0, 32),
)
@example(mode=Mode.STATE, steps=[1, 2], kept=1, begun=1, seen=0)
def test_in_a_snapshot_what_it_still_owes_comes_and_nothing_before_it(
    mode: Mode, steps: list[int], kept: int, begun: int, seen: int
) -> None:
    """The snapshot has the newest entry of a state topic when it was taken, and none of a log."""
    serials = [sum(steps[: count + 1]) for count in range(len(steps))]
    made = topic(mode, kept=kept, serials=serials)
    in_snapshot = [serial for serial in serials if serial <= begun][-1:] if mode is Mode.STATE else []
    owed = [serial for serial in in_snapshot if serial > seen] + [
        serial for serial in serials if serial > begun
    ]
    resumption = Place("e1", begun, seen=min(seen, begun)).resume(made, Place("e1", 10**9))
    comes = [entry.serial for entry in made.after(resumption.after)]
    if set(owed) <= set(serials[-kept:]):
        assert resumption.recovered
        assert comes == owed
    else:
        assert not resumption.recovered
        assert comes == (serials[-1:] if mode is Mode.STATE else serials[-kept:])


def test_a_place_without_a_snapshot_is_as_plain_as_that() -> None:
    made: Any = topic(Mode.STATE, serials=[1, 3, 5])
    assert Place("e1", 3).resume(made, Place("e1", 10**9)) == made.resume_behind(3)
