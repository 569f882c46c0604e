from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.bench.bench_commits import CommitEffort, Followed
from tests.bench.bench_commits_report import commits_result, commits_right, show_commits
from tests.bench.bench_following import FOLLOWERS, PEER

if TYPE_CHECKING:
    import pytest

EFFORT = CommitEffort(rounds=2, rows=3)
NOBODY: Any = None
BY_NAME = {follower.name: follower for follower in FOLLOWERS}


def followed(name: str, *rounds: list[float], clean: bool = True) -> Followed:
    return Followed(BY_NAME[name], NOBODY, [[ms / 1e3 for ms in delays] for delays in rounds], clean=clean)


PEERED = followed(PEER, [1, 1, 9], [2, 2, 2])


def test_delays_stand_beside_those_of_the_peer_in_the_same_round() -> None:
    found = commits_result([PEERED, followed("xid full", [3, 4, 4], [6, 6, 30])], EFFORT)["followers"]
    assert [round(ratio, 6) for ratio in found["xid full"]["times_base_rounds"]] == [4, 3]
    assert round(found["xid full"]["median_ms"], 6) == 5
    assert round(found["xid full"]["worst_ms"], 6) == 30
    assert 6 < found["xid full"]["p99_ms"] <= 30
    assert (found["xid full"]["met"], found[PEER]["most_ms"]) == (True, None)


def test_without_the_peer_there_is_nothing_to_stand_beside(capsys: pytest.CaptureFixture[str]) -> None:
    found = commits_result([followed("every 5s", [2000, 2500, 4000], [2000, 2500, 4000])], EFFORT)
    assert found["followers"]["every 5s"]["times_base_rounds"] == []
    assert commits_right(found)
    show_commits(found)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "every 5s 2500.00 4000.00 4000.00 all" in lines


def test_what_is_noticed_late_or_told_wrongly_is_not_right(capsys: pytest.CaptureFixture[str]) -> None:
    slow = commits_result([PEERED, followed("window full", [60, 60, 60], [60, 60, 60])], EFFORT)
    wrong = commits_result([PEERED, followed("window full", [3, 3, 3], [3, 3, 3], clean=False)], EFFORT)
    assert not commits_right(slow)
    assert not commits_right(wrong)
    for found in (slow, wrong):
        show_commits(found)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "window full 60.00 60.00 60.00 45.00 30.00 to 60.00 50: NOT MET all" in lines
    assert "window full 3.00 3.00 3.00 2.25 1.50 to 3.00 50: met WRONG" in lines
