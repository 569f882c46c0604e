from __future__ import annotations

import datetime as dt
import ssl
import sys
import time
from typing import Any

import attrs
import pytest

from appliance.ops.doctor import interpreter
from tests.ops.doctor.said import only, said

GOOD = interpreter.Facts(
    name="CPython",
    version=(3, 12, 4),
    platform="Linux x86_64",
    openssl=(3, 0),
    openssl_name="OpenSSL 3.0.1",
    bounds_unsent=True,
    today=dt.date(2026, 1, 1),
)


def test_a_good_one_is_told() -> None:
    assert said(interpreter.judge(GOOD)) == [("interpreter", "ok"), ("openssl", "ok")]


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (
            {"today": dt.date(2028, 10, 1)},
            "interpreter",
            "gets no corrections since 2028-10",
        ),
        ({"bounds_unsent": False}, "interpreter", "cannot bound unsent data"),
        ({"openssl": (1, 1), "openssl_name": "OpenSSL 1.1.1w"}, "openssl", "OpenSSL 1.1.1w"),
    ],
)
def test_an_old_one_is_warned_of(change: dict[str, Any], kind: str, words: str) -> None:
    found = only(interpreter.judge(attrs.evolve(GOOD, **change)))
    assert (found.kind, found.verdict) == (kind, "warning")
    assert words in found.what


def test_the_day_before_its_end_and_one_of_which_nothing_is_known_are_good() -> None:
    for change in ({"today": dt.date(2028, 9, 30)}, {"version": (4, 0, 0), "today": dt.date(2099, 1, 1)}):
        assert said(interpreter.judge(attrs.evolve(GOOD, **change)))[0] == ("interpreter", "ok")


def test_this_one_is_looked_at() -> None:
    facts = interpreter.gather(time.time())
    assert facts.version == sys.version_info[:3]
    assert facts.openssl_name == ssl.OPENSSL_VERSION


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("PYTHONPATH", "warning"),
        ("PYTHONHOME", "warning"),
        ("PYTHONDEVMODE", "warning"),
        ("PYTHONOPTIMIZE", "note"),
    ],
)
def test_what_changes_python_is_told_and_what_it_holds_is_not(name: str, verdict: str) -> None:
    found = only(interpreter.judge_environment({name: "/hidden", "PATH": "/bin"}))
    assert (found.kind, found.verdict) == ("environment", verdict)
    assert name in found.what
    assert name in found.remedy
    assert "/hidden" not in repr(found)


def test_variables_of_the_configuration_are_named_without_what_they_hold() -> None:
    [found] = interpreter.judge_environment({"APPLIANCE_LIMITS__SESSIONS": "77", "HOME": "/root"})
    assert found.what == "sets APPLIANCE_LIMITS__SESSIONS"
    assert said(interpreter.judge_environment({})) == [("environment", "ok")]
