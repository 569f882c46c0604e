"""What was taken back: whom it hits, and what of it is remembered."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from appliance.access.principals import Principal
from appliance.access.revocations import Blacklist, Revocation, Revocations, check

NOW = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
AT = NOW.timestamp()
HOUR = dt.timedelta(hours=1)


def entry(**more: Any) -> Revocation:
    return Revocation(**{"made": NOW, **more})


def hits(revocation: Revocation, *principals: Principal) -> list[str]:
    blacklist = Blacklist(Revocations().add(revocation))
    return [each.name for each in principals if blacklist.hit(each) is revocation]


def token(name: str, issued: float | None = AT - 1, credential: str | None = None) -> Principal:
    return Principal(name, kind="token", issued=issued, credential=credential)


def test_an_id_hits_what_has_it_and_nothing_else() -> None:
    ann, bob = token("own/ann", credential="1"), token("own/bob", credential="2")
    assert hits(entry(id="1"), ann, bob, token("own/carl")) == ["own/ann"]
    assert hits(entry(id="k"), Principal("key", credential="k")) == ["key"]


def test_a_principal_keeps_what_was_issued_later() -> None:
    names = [token("old"), token("new", AT + 1), token("undated", None)]
    assert [hits(entry(principal=each.name, issued_before=NOW), *names) for each in names] == [
        ["old"],
        [],
        ["undated"],
    ]
    assert hits(entry(principal="key", issued_before=NOW), Principal("key", issued=AT - 1)) == ["key"]


def test_all_are_all_tokens() -> None:
    key = Principal("key", issued=AT - 1)
    assert hits(entry(issued_before=NOW), token("old"), token("new", AT), token("undated", None), key) == [
        "old",
        "undated",
    ]


def test_of_the_same_target_the_later_moment_counts() -> None:
    first = entry(principal="ann", issued_before=NOW)
    later = entry(principal="ann", issued_before=NOW + HOUR)
    for one, other in ((first, later), (later, first)):
        assert Revocations().add(one).add(other).entries == (later,)
    assert len(Revocations().add(first).add(entry(principal="bob", issued_before=NOW)).entries) == 2


def test_what_is_over_is_forgotten() -> None:
    over = Revocations().add(entry(id="1", until=NOW + HOUR)).add(entry(id="2"))
    assert [each.id for each in over.add(entry(id="3", made=NOW + HOUR)).entries] == ["2", "3"]
    assert [each.id for each in over.add(entry(id="3")).entries] == ["1", "2", "3"]


def test_what_was_taken_back_by_mistake_can_be_given_back() -> None:
    taken = Revocations().add(entry(id="1")).add(entry(principal="ann", issued_before=NOW))
    assert taken.remove(("1", None), NOW).remove((None, "ann"), NOW) == Revocations()
    with pytest.raises(ValueError, match="token revocations"):
        taken.remove((None, None), NOW)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"id": "1"}, "the credential 1"),
        (
            {"principal": "own/ann", "issued_before": NOW},
            "what own/ann was given before 2030-01-01T12:00:00+00:00",
        ),
        ({"issued_before": NOW}, "all tokens before 2030-01-01T12:00:00+00:00"),
    ],
)
def test_each_is_told_in_words(more: dict[str, Any], says: str) -> None:
    assert entry(**more).told == says


@pytest.mark.parametrize("more", [{}, {"principal": "ann"}, {"id": "1", "until": NOW.replace(tzinfo=None)}])
def test_what_cannot_be_meant_is_caught(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="moment"):
        check(Revocations().add(entry(**more)))
