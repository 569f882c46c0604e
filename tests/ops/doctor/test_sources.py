from __future__ import annotations

from appliance.ops.doctor import sources
from tests.ops.doctor.said import only, said

DENIED = (
    "db:5432 says (42501): permission denied for table trades; run `GRANT SELECT ON trades TO reader;` there"
)


def answered(*answers: sources.Answer) -> sources.Facts:
    return sources.Facts(askable=len(answers), answers=answers)


def test_a_good_one_is_told() -> None:
    assert said(sources.judge(answered(sources.Answer(channel="trades")))) == [("source", "ok")]


def test_one_that_refuses_is_a_problem_with_the_statement_that_lets_it_in() -> None:
    found = only(sources.judge(answered(sources.Answer(channel="trades", refusal=DENIED))))
    assert (found.kind, found.verdict) == ("source", "problem")
    assert found.what == "channel trades: db:5432 says (42501): permission denied for table trades"
    assert found.remedy == "run `GRANT SELECT ON trades TO reader;` there"


def test_a_refusal_without_a_remedy_is_told_whole() -> None:
    found = only(sources.judge(answered(sources.Answer(channel="trades", refusal="no\nway"))))
    assert found.what == "channel trades: no way"


def test_one_without_an_index_is_warned_of_with_the_statement_that_makes_it() -> None:
    index = 'CREATE INDEX CONCURRENTLY ON "trades" ("time");'
    found = only(
        sources.judge(answered(sources.Answer(channel="trades", served_by_index=False, index=index)))
    )
    assert found.verdict == "warning"
    assert index in found.remedy
    assert "query" in only(sources.judge(answered(sources.Answer(channel="x", served_by_index=False)))).remedy


def test_what_was_not_asked_is_noted() -> None:
    found = only(sources.judge(sources.Facts(askable=2, answers=None)))
    assert (found.verdict, "--connect" in found.remedy) == ("note", True)


def test_where_nothing_can_be_asked_all_is_well() -> None:
    for answers in (None, ()):
        assert said(sources.judge(sources.Facts(askable=0, answers=answers))) == [("source", "ok")]
