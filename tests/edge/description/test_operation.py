from __future__ import annotations

from http import HTTPStatus

from appliance.dialects import parameters
from appliance.edge.description.operation import Answer, answered, asked
from tests.edge.description.described import audience


def test_parameters_become_parts_of_a_request() -> None:
    times = parameters.choice("times", "Whether to tell times")
    (given,) = asked((times,))
    assert (given.name, given.where, given.about, given.required) == ("times", "query", times.about, False)
    assert given.schema == times.schema


def test_who_may_read_topics_knows_their_channels() -> None:
    assert audience(topics=("price:BTC", "price:ETH", "signals:all")).channels == ("price", "signals")
    assert audience().channels == ()


def test_an_endpoint_with_one_answer_gives_it_with_200() -> None:
    assert answered("The text", {}, "text/plain") == {HTTPStatus.OK: Answer("The text", {"text/plain": {}})}
