"""The dialect against its document and the README beside it, line by line, and against events of any make."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core import instants
from appliance.core.events import Entry
from appliance.dialects import data_ws

SPEC = Path(__file__).resolve().parents[1] / "spec"
DOCUMENT = (SPEC / "data-ws.md").read_text(encoding="utf-8")
FACTS = (SPEC / "README.md").read_text(encoding="utf-8").partition("**data-ws.**")[2].partition("\n\n")[0]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
(ANSWER,) = (json.loads(text) for language, text in BLOCKS if language == "json")
"""The only message of the document: the latest prediction."""

COLUMNS = re.findall(r"`(\w+)`", FACTS.partition("A row has")[2].partition(";")[0])

AT = 1_735_387_200.25
TIME = "2024-12-28T12:00:00.250Z"
WHOLE = {
    "symbol": "BTC",
    "model_version": "v1.0",
    "confidence_1min": 0.91,
    "confidence_5min": 0.84,
    "confidence_15min": 0.78,
    "predicted_1min": 50_010.5,
    "predicted_5min": 50_060.0,
    "predicted_15min": 50_125.42,
    "current_price": 50_000.0,
    "time": "2024-12-28T12:00:00Z",
    "predicted_price": 50_125.42,
    "confidence": 0.78,
    "timestamp": "2024-12-28T11:59:59Z",
}
"""An event of the channel `predictions` with all that it can have, in another order than a row."""


def entry(data: Any, at: float = AT) -> Entry:
    return Entry(7, at, at + 1, json.dumps(data).encode())


def row(data: Any, at: float = AT) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(data_ws.row(entry(data, at)))
    return made


# What the document and the README say.


def test_a_row_has_the_columns_of_the_readme_in_their_order() -> None:
    assert len(COLUMNS) == 9
    assert list(row(WHOLE)) == list(row({})) == COLUMNS


def test_a_row_has_the_values_of_its_event() -> None:
    assert row(WHOLE) == {column: WHOLE[column] for column in COLUMNS}


def test_the_documents_answer_is_given_with_what_it_left_out_as_null() -> None:
    answer = json.loads(data_ws.success(data_ws.row(entry(ANSWER["data"]))))
    left_out = dict.fromkeys(COLUMNS) | ANSWER["data"]
    assert answer == {**ANSWER, "data": left_out, "error": None}


def test_every_block_of_the_document_that_shows_a_message_is_tested() -> None:
    shows = [language for language, text in BLOCKS if "success" in text or "pred" in text]
    # The answer, its request by curl, the flow of data, and the two clients.
    assert shows == ["bash", "json", "javascript", "", "python"]


def test_the_documents_clients_find_what_they_read() -> None:
    read = {field for _, text in BLOCKS for field in re.findall(r"pred\['(\w+)'\]", text)}
    assert read == {"current_price", "predicted_15min"}
    assert read <= row(WHOLE).keys()


def test_every_answer_has_the_three_keys_of_the_readme() -> None:
    keys = re.findall(r'"(\w+)"', FACTS.partition("Every REST answer is")[2].partition(".")[0])
    assert keys == ["success", "data", "error"]
    assert list(json.loads(data_ws.success(b"{}"))) == list(json.loads(data_ws.failure("why"))) == keys


@pytest.mark.parametrize("error", [data_ws.NO_PREDICTIONS, data_ws.UNAUTHORIZED])
def test_the_errors_are_those_of_the_readme(error: str) -> None:
    assert f"`{error}`" in FACTS
    assert json.loads(data_ws.failure(error)) == {"success": False, "data": None, "error": error}


def test_the_health_is_that_of_the_readme() -> None:
    (shown,) = re.findall(r"`(\{\"status\".*?\})`", FACTS, re.DOTALL)
    told = data_ws.health(TIME)
    assert json.loads(told) == json.loads(shown.replace("...", json.dumps(TIME)))
    assert list(json.loads(told)) == re.findall(r'"(\w+)":', shown)


# Events of any make.


@pytest.mark.parametrize(
    ("data", "time"),
    [
        ({"time": "2024-12-28T12:00:00Z"}, "2024-12-28T12:00:00Z"),
        ({"time": "2024-12-28T12:00:00.5Z"}, "2024-12-28T12:00:00.5Z"),
        ({"time": "2024-12-28T12:00:00.123456Z"}, "2024-12-28T12:00:00.123456Z"),
        ({"time": "2024-12-28T12:00:00+00:00"}, "2024-12-28T12:00:00Z"),
        ({"time": "2024-12-28 13:00:00.5+01:00"}, "2024-12-28T12:00:00.500000Z"),
        ({"time": "20241228T120000Z"}, "2024-12-28T12:00:00Z"),
        ({"time": None, "timestamp": "2024-12-28T11:00:00Z"}, "2024-12-28T11:00:00Z"),
        ({"timestamp": "2024-12-28T12:00:00+01:00"}, "2024-12-28T11:00:00Z"),
        ({"time": "soon", "timestamp": "2024-12-28T11:00:00Z"}, "2024-12-28T11:00:00Z"),
        ({"time": "2024-12-28T12:00:00"}, TIME),  # it does not say where
        ({"time": "2024-12-28T25:00:00Z"}, TIME),
        ({"time": "0001-01-01T00:00:00+05:00"}, TIME),
        ({"time": "٢٠٢٤-12-28T12:00:00Z"}, TIME),
        ({"time": 1_735_387_200, "timestamp": ["x"]}, TIME),
        ({"time": None, "timestamp": None}, TIME),
        ({}, TIME),
    ],
)
def test_the_time_of_a_row_is_in_utc(data: dict[str, Any], time: str) -> None:
    assert row(data)["time"] == time


def test_a_prediction_without_horizons_is_a_row_of_nulls() -> None:
    prediction = {"predicted_price": 150.25, "confidence": 0.85, "timestamp": "2024-01-01T12:00:00Z"}
    assert row(prediction) == {**dict.fromkeys(COLUMNS), "time": "2024-01-01T12:00:00Z"}


def test_a_number_keeps_every_digit() -> None:
    body = b'{"current_price": 50000.10, "predicted_1min": 1e3, "predicted_5min": 12345678901234567890.123}'
    text = data_ws.row(Entry(7, AT, AT, body))
    assert b'"current_price":50000.10,"predicted_1min":1e3,"predicted_5min":12345678901234567890.123,' in text


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@given(
    data=st.dictionaries(st.sampled_from([*COLUMNS, "timestamp", "symbol"]) | st.text(), ANYTHING),
    at=st.floats(0, 4e9),
)
def test_any_event_makes_a_row(data: dict[str, Any], at: float) -> None:
    made = row(data, at)
    assert list(made) == COLUMNS
    assert {**made, "time": None} == {column: data.get(column) for column in COLUMNS} | {"time": None}
    assert made["time"].endswith("Z")
    assert dt.datetime.fromisoformat(made["time"]).utcoffset() == dt.timedelta(0)


@given(st.datetimes(timezones=st.timezones()))
def test_a_time_of_any_zone_is_the_same_moment(moment: dt.datetime) -> None:
    told = row({"time": moment.isoformat()}, at=0)["time"]
    try:
        wanted = moment.astimezone(dt.UTC)
    except OverflowError:
        assert told == instants.timestamp(0)
    else:
        assert dt.datetime.fromisoformat(told) == wanted


@given(ANYTHING)
def test_the_envelope_holds_the_exact_data(data: Any) -> None:
    body = json.dumps(data, ensure_ascii=False).encode()
    assert body in data_ws.success(body)
    assert json.loads(data_ws.success(body)) == {"success": True, "data": data, "error": None}


@given(st.text())
def test_a_failure_is_json_whatever_it_quotes(error: str) -> None:
    assert json.loads(data_ws.failure(error)) == {"success": False, "data": None, "error": error}
