from __future__ import annotations

from typing import Any

import attrs
import pytest

from appliance import api
from appliance.api import Answering, Channel, Event, Feed, History, Mode, NoSettings, Source


def channel(**fields: Any) -> Channel:
    return Channel(**{"name": "fees", "mode": Mode.STATE, "message": "fee_update", **fields})


def test_an_event_belongs_to_the_topic_of_its_key() -> None:
    assert list(channel().route(Event("fees", "BTC", {}, 0.0), NoSettings())) == ["BTC"]


def test_a_channel_needs_no_more_than_a_name_a_mode_and_a_message() -> None:
    fees = channel()
    assert (fees.topics, fees.open, fees.schema, fees.answer) == ((), False, None, None)
    assert fees.Settings is NoSettings
    assert fees.history == History(count=1_000, age=3_600, bytes=1_048_576)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", None),
        ("mode", "state"),
        ("mode", None),
        ("message", 5),
        ("topics", "all"),
        ("topics", ["all"]),
        ("topics", (1,)),
        ("history", 100),
    ],
)
def test_a_field_of_another_type_is_refused_where_it_is_written(field: str, value: object) -> None:
    with pytest.raises(TypeError, match=field):
        channel(**{field: value})


@pytest.mark.parametrize("made", [channel(), History(), NoSettings(), Source(kind="x", open=print)])  # type: ignore[arg-type]
def test_what_is_declared_does_not_change(made: Any) -> None:
    name = next(iter(attrs.fields_dict(type(made))), "anything")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(made, name, None)


def test_topics_of_a_source_are_read_before_their_first_row_only_where_it_says_so() -> None:
    assert not Source(kind="walk", open=lambda _: Silent()).topics_on_demand
    assert Source(kind="publish", open=lambda _: Silent(), topics_on_demand=True).topics_on_demand


class Silent:
    async def produce(self, feed: Feed, settings: Any) -> None: ...


class Oracle(Silent):
    async def answer(self, channel: str, key: str, settings: Any) -> dict[str, Any] | None: ...


def test_a_source_that_can_be_asked_is_known_by_what_it_has() -> None:
    assert isinstance(Oracle(), Answering)
    assert not isinstance(Silent(), Answering)


def test_all_that_it_offers_is_there() -> None:
    assert [name for name in api.__all__ if not hasattr(api, name)] == []
