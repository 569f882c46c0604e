from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.core import places
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.events import Mode
from appliance.core.history import Position, Resumption, Retention, Topic
from appliance.core.places import Place, by_topic

epochs = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=240)
numbers = st.integers(0, 10**19 - 1)


def topic(mode: Mode = Mode.LOG, *, kept: int = 1_000, serials: list[int] | None = None) -> Topic:
    made = Topic("t:x", mode, "m", "e1", Retention(count=kept, age=None, size=1_000_000))
    for serial in serials or []:
        made.append(b"{}", at=0, received=0, serial=serial)
    return made


@given(st.builds(Position, epochs, numbers) | st.builds(Place, epochs, numbers, st.none() | numbers))
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
    assert places.resume(shown, topic(serials=[2, 4, 7]), newest=9) == resumption


def test_by_topic_only_those_that_are_named_are_resumed() -> None:
    recover = by_topic({"t:x": Position("e1", 1)})
    assert recover(topic(serials=[1, 2])) == Resumption(after=1, recovered=True, gap=None)
    assert by_topic({"t:y": Position("e1", 1)})(topic(serials=[1, 2])) is None


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
    resumption = Place("e1", begun, seen=min(seen, begun)).resume(made)
    comes = [entry.serial for entry in made.after(resumption.after)]
    if set(owed) <= set(serials[-kept:]):
        assert resumption.recovered
        assert comes == owed
    else:
        assert not resumption.recovered
        assert comes == (serials[-1:] if mode is Mode.STATE else serials[-kept:])


def test_a_place_without_a_snapshot_is_as_plain_as_that() -> None:
    made: Any = topic(Mode.STATE, serials=[1, 3, 5])
    assert Place("e1", 3).resume(made) == made.resume_behind(3)
