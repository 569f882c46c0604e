from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from appliance.api import Row
from appliance.sources.postgres import rows
from appliance.sources.postgres.rows import Events, Head
from appliance.sources.postgres.statements import Place
from tests.sources.postgres.following import Log


def head(**changes: Any) -> Head:
    said = {
        "leading": "2030-01-31 12:00:00+00",
        "micros": 1_500_000,
        "identity": "[1]",
        "hash": 7,
        "key": "BTC",
        "size": 2,
    }
    return Head(**{**said, **changes})


def made(body: str, log: Log | None = None, **changes: Any) -> list[Row]:
    events = Events(key="symbol", floats=("ratio",), row_bytes=1024, log=log)
    return list(events.make([(head(**changes), body)]))


HEADS = '[["t", 5, "[1]", 7, "BTC", 2], ["u", null, "[2]", 8, null, 9]]'


def test_an_answer_is_read() -> None:
    answer = rows.read([HEADS, '{}\x1e{"a":1}', 2, 1_000, None, None], limit=10)
    assert [(row.place, row.micros, row.key) for row in answer.heads] == [
        (Place("t", "[1]"), 5, "BTC"),
        (Place("u", "[2]"), None, None),
    ]
    assert answer.bodies == ["{}", '{"a":1}']
    assert answer.now == 1_000
    assert not answer.more


def test_an_answer_may_be_empty() -> None:
    answer = rows.read([None, None, 0, 1_000, "10", "12"], limit=10)
    assert (answer.heads, answer.bodies, answer.more) == ([], [], False)
    assert (answer.xmin, answer.xmax) == (10, 12)


def test_an_answer_may_be_heads_alone() -> None:
    assert rows.read([HEADS, None, 2, 0, None, None], limit=10).bodies == ["", ""]


def test_there_may_be_more_behind_as_many_as_were_looked_for() -> None:
    answer = rows.read([HEADS, "{}\x1e{}", 2, 0, None, None], limit=2)
    assert (answer.more, answer.is_cut) == (True, False)


def test_there_is_more_where_not_all_had_room() -> None:
    answer = rows.read([HEADS, "{}\x1e{}", 3, 0, None, None], limit=10)
    assert (answer.more, answer.is_cut) == (True, True)


def test_numbers_keep_their_digits_and_floats_are_floats() -> None:
    (row,) = made('{"price": 1.50, "ratio": 0.1, "big": 123456789012345678901234567890}')
    assert row == Row(
        "BTC", {"price": Decimal("1.50"), "ratio": 0.1, "big": 123456789012345678901234567890}, 1.5
    )
    assert type(row.data["ratio"]) is float
    assert str(row.data["price"]) == "1.50"


def test_a_float_may_be_null() -> None:
    (row,) = made('{"ratio": null}')
    assert row.data == {"ratio": None}


def test_a_row_may_have_no_time() -> None:
    (row,) = made('{"ratio": 1}', micros=None)
    assert row.at is None


@pytest.mark.parametrize(
    ("body", "changes", "reason"),
    [
        ("", {"size": 1_234_567}, "it has 1,234,567 bytes, and `row_bytes` is 1KiB"),
        ("{}", {"key": None}, "its key, symbol, is NULL"),
        ('{"a":"\\ud800"}', {}, "its data cannot be read"),
        ('{"a":' + "[" * 5_000 + "]" * 5_000 + "}", {}, "its data cannot be read"),
        ('{"a":' + "1" * 5_000 + "}", {}, "its data cannot be read"),
    ],
)
def test_what_cannot_be_an_event_is_told_of_and_left_out(
    body: str, changes: dict[str, Any], reason: str
) -> None:
    log = Log()
    assert made(body, log, **changes) == []
    (warning,) = log.warnings
    assert warning["event"] == "row left out"
    assert warning["row"] == "2030-01-31 12:00:00+00 [1]"
    assert warning["reason"].startswith(reason)


def test_of_many_such_rows_a_few_are_told_one_by_one() -> None:
    log = Log()
    events = Events(key="symbol", floats=(), row_bytes=1024, log=log)
    pairs = [(head(key=None), "{}")] * 100 + [(head(), "{}")]
    assert len(list(events.make(pairs))) == 1
    assert [warning["event"] for warning in log.warnings] == ["row left out"] * 5 + ["more rows left out"]
    assert log.warnings[-1]["rows"] == 95


def test_a_long_identity_is_shown_in_part() -> None:
    log = Log()
    made("{}", log, key=None, identity="x" * 10_000, leading=None)
    assert len(log.warnings[0]["row"]) < 200


def test_without_a_log_rows_are_left_out_in_silence() -> None:
    assert made("{}", key=None) == []
