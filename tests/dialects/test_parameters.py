from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.errors import ErrorCode, RequestError
from appliance.core.history import Position
from appliance.core.places import Place
from appliance.dialects import parameters

if TYPE_CHECKING:
    from appliance.dialects.parameters import Parameter

COUNT = parameters.count("limit", of="events", most=50, usual=20)
WAIT = parameters.seconds("wait", "Seconds to wait", most=30)
TIMES = parameters.choice("times", "Whether to tell times")
SINCE = parameters.moment("since", "From when on")
AFTER = parameters.place("after", "Behind what")
SYMBOL = parameters.text("symbol", "Which one", spelled=str.upper)
ALL: tuple[Parameter[Any], ...] = (COUNT, WAIT, TIMES, SINCE, AFTER, SYMBOL)


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        (COUNT, "7", 7),
        (COUNT, "007", 7),
        (COUNT, "51", 50),
        (COUNT, "999999999", 50),
        (WAIT, "0", 0.0),
        (WAIT, "1.5", 1.5),
        (WAIT, "31", 30.0),
        (TIMES, "true", True),
        (TIMES, "false", False),
        (SINCE, "1970-01-01T00:01:00Z", 60.0),
        (SINCE, "1970-01-01T01:01:00+01:00", 60.0),
        (AFTER, "7", 7),
        (AFTER, "e:7", Position("e", 7)),
        (AFTER, "e-7.3", Place("e", 7, 3)),
        (SYMBOL, "btc", "BTC"),
    ],
)
def test_a_text_is_read(parameter: Parameter[Any], text: str, value: object) -> None:
    assert parameter.read({parameter.name: text}) == value


@pytest.mark.parametrize("parameter", ALL, ids=lambda each: each.name)
@pytest.mark.parametrize("query", [{}, {"other": "7"}])
def test_what_is_not_there_or_empty_says_nothing(parameter: Parameter[Any], query: dict[str, str]) -> None:
    assert parameter.read(query) is None
    assert parameter.read({**query, parameter.name: ""}) is None


@pytest.mark.parametrize(
    ("parameter", "text", "right"),
    [
        (COUNT, "0", "a number of events, 1 to 50"),
        (COUNT, "1234567890", "a number of events, 1 to 50"),
        (COUNT, "٣", "a number of events, 1 to 50"),
        (WAIT, "-1", "seconds, 0 to 30"),
        (WAIT, "1e3", "seconds, 0 to 30"),
        (TIMES, "yes", "`true` or `false`"),
        (SINCE, "2030-01-31", "a time with its offset, such as 2030-01-31T12:00:00Z (in a URL, + is %2B)"),
        (
            SINCE,
            "2030-01-31T12:00:00",
            "a time with its offset, such as 2030-01-31T12:00:00Z (in a URL, + is %2B)",
        ),
        (AFTER, "x y", "or an offset alone"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_right(parameter: Parameter[Any], text: str, right: str) -> None:
    with pytest.raises(RequestError) as refused:
        parameter.read({parameter.name: text})
    assert refused.value.code is ErrorCode.INVALID_MESSAGE
    assert str(refused.value).startswith(f"{parameter.name}={text!r} is not right: it is ")
    assert str(refused.value).endswith(right)


def test_a_long_text_is_not_told_back_in_full() -> None:
    with pytest.raises(RequestError) as refused:
        COUNT.read({"limit": "x" * 10_000})
    assert len(str(refused.value)) < 250


@given(st.text(max_size=60), st.sampled_from(ALL))
def test_whatever_is_written_is_read_or_refused(text: str, parameter: Parameter[Any]) -> None:
    try:
        value = parameter.read({parameter.name: text})
    except RequestError as error:
        assert error.code is ErrorCode.INVALID_MESSAGE  # noqa: PT017 - one of two good ends
    else:
        assert value is not None or not text


@pytest.mark.parametrize("parameter", [COUNT, WAIT], ids=lambda each: each.name)
def test_what_its_schema_calls_good_is_read(parameter: Parameter[Any]) -> None:
    for bound in ("minimum", "maximum", "default"):
        assert parameter.read({parameter.name: str(parameter.schema[bound])}) is not None
