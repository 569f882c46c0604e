"""The course of a restart: what is seen, and what that means."""

from __future__ import annotations

import re
from typing import Any

import pytest

from appliance.ops.upgrade.course import Course, FailedError, Stage
from appliance.ops.upgrade.unit import State

OLD: dict[str, Any] = {"active": "active", "sub": "running", "invocation": "old"}
STOPS: dict[str, Any] = {**OLD, "active": "deactivating", "sub": "stop-sigterm"}
STARTS: dict[str, Any] = {"active": "activating", "sub": "start", "invocation": "new"}
SERVES: dict[str, Any] = {"active": "active", "sub": "running", "invocation": "new"}
AGAIN: dict[str, Any] = {
    "active": "activating",
    "sub": "auto-restart",
    "invocation": "new",
    "result": "exit-code",
}
FAILED: dict[str, Any] = {"active": "failed", "sub": "failed", "invocation": "new", "result": "exit-code"}


def state(**said: Any) -> State:
    return State(**{"pid": 1, "restarts": 0, "result": "success", **said})


@pytest.fixture
def course() -> Course:
    return Course(ready_within=60, watch=10)


def test_a_unit_that_comes_to_serve_and_goes_on_is_done(course: Course) -> None:
    assert course.follow(state(**OLD), 0, started=None) is Stage.STOPPING
    assert course.follow(state(**STOPS), 30, started=None) is Stage.STOPPING
    assert course.follow(state(**STARTS), 80, started=None) is Stage.STARTING
    assert course.follow(state(**SERVES), 82, started=None) is Stage.STARTING  # systemd has not said so yet
    assert course.follow(state(**SERVES), 82, started=True) is Stage.WATCHED
    assert course.follow(state(**SERVES, restarts=0), 91.9, started=True) is Stage.WATCHED
    assert course.follow(state(**{**SERVES, "active": "reloading"}), 91.95, started=True) is Stage.WATCHED
    assert course.follow(state(**SERVES), 92, started=True) is Stage.DONE
    assert course.began == 80


def test_nobody_need_watch() -> None:
    course = Course(ready_within=60, watch=0)
    assert course.follow(state(**SERVES), 0, started=True) is Stage.DONE


def test_the_time_to_be_ready_begins_with_the_start(course: Course) -> None:
    course.follow(state(**STOPS), 0, started=None)
    course.follow(state(**STARTS), 100, started=None)
    course.follow(state(**STARTS), 160, started=None)
    with pytest.raises(FailedError, match="it was not READY within 1m"):
        course.follow(state(**STARTS), 160.1, started=None)
    assert course.began == 100


def test_the_time_to_be_ready_does_not_begin_anew_with_each_attempt(course: Course) -> None:
    course.follow(state(**STARTS), 0, started=None)
    course.follow(state(**AGAIN), 30, started=None)
    course.follow(state(**{**STARTS, "invocation": "newer"}), 31, started=None)
    with pytest.raises(FailedError, match="not READY"):
        course.follow(state(**{**STARTS, "invocation": "newer"}), 61, started=None)


@pytest.mark.parametrize("last", [AGAIN, FAILED])
def test_a_start_that_fails_is_told_with_its_result(course: Course, last: dict[str, Any]) -> None:
    course.follow(state(**STARTS), 0, started=None)
    with pytest.raises(FailedError, match=re.escape("it ended before it was READY (exit-code)")):
        course.follow(state(**last), 1, started=False)
    assert course.began == 0


@pytest.mark.parametrize(
    "last",
    [
        AGAIN,
        FAILED,
        {**FAILED, "active": "inactive", "result": "success"},
        {**SERVES, "active": "deactivating", "result": "watchdog"},
        {**SERVES, "invocation": "newer", "result": "success"},
        {**SERVES, "restarts": 1},
    ],
)
def test_what_ends_while_it_is_watched_has_failed(course: Course, last: dict[str, Any]) -> None:
    course.follow(state(**SERVES), 5, started=True)
    result = f" ({last['result']})" if last.get("result", "success") != "success" else ""
    with pytest.raises(FailedError, match=re.escape(f"it ended 2.0 s after it was READY{result}")):
        course.follow(state(**last), 7, started=True)
