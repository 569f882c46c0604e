from __future__ import annotations

import json

from appliance.cli import verdicts
from appliance.ops.doctor.findings import Kind, note, ok, problem, warning

GOOD = ok(Kind.CLOCK, "synchronised")
NOTED = note(Kind.UNIT, "it is not there", why="nobody starts it", remedy="`appliance systemd install`")
WARNED = warning(Kind.DISK_SPEED, "slow", why="clients wait", remedy="another disk")
BAD = problem(Kind.LISTEN, "taken by ng\x1b[31minx\n", why="nobody can connect", remedy="`kill 812`")


def test_what_is_well_takes_a_line_and_what_is_not_takes_three() -> None:
    assert list(verdicts.lines(GOOD)) == ["ok       clock: synchronised"]
    assert list(verdicts.lines(WARNED)) == [
        "warning  disk-speed: slow",
        "           why: clients wait",
        "           do:  another disk",
    ]


def test_what_another_process_calls_itself_commands_no_terminal() -> None:
    first, *_ = verdicts.lines(BAD)
    assert first == r"problem  listen: taken by ng\u001b[31minx\n"


def test_a_summary_counts_the_worst_first() -> None:
    assert verdicts.summary([GOOD]) == "all is well"
    assert verdicts.summary([NOTED, WARNED, BAD, GOOD, BAD]) == "2 problems, 1 warning, 1 note"


def test_only_a_problem_is_one() -> None:
    assert not verdicts.has_problem([GOOD, NOTED, WARNED])
    assert verdicts.has_problem([GOOD, BAD])


def test_programs_get_all_of_it() -> None:
    told = json.loads(verdicts.as_json([GOOD, BAD]))
    assert told["good"] is False
    assert told["findings"] == [
        {"kind": "clock", "verdict": "ok", "what": "synchronised", "why": "", "remedy": ""},
        {
            "kind": "listen",
            "verdict": "problem",
            "what": "taken by ng\x1b[31minx\n",
            "why": "nobody can connect",
            "remedy": "`kill 812`",
        },
    ]
    assert json.loads(verdicts.as_json([GOOD]))["good"] is True
