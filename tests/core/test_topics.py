"""Names of topics, patterns and aliases."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core import topics
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.topics import MOST_CHARACTERS, Aliases, matches, overlap

# Few letters, so that names, beginnings and patterns meet often.
words = st.text(alphabet="ab:*", max_size=6)


@pytest.mark.parametrize(
    "name",
    [
        "price:BTC",
        "price:brk.b/usd",
        "price:*",
        "price:B*",
        "signals:type:price_anomaly",
        "signals:type:*",
        "price*",
        "pri*",
        "*",
        "market:größe",
        "p1_x:😀",
        f"price:{'x' * MOST_CHARACTERS}",
        f"price:{'x' * MOST_CHARACTERS}*",
    ],
)
def test_a_good_name_is_returned(name: str) -> None:
    assert topics.check(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ":",
        "price",
        "price:",
        ":BTC",
        "Price:BTC",
        "1price:BTC",
        "pri ce:BTC",
        "price:B TC",
        "price:B*C",
        "price:**",
        "*:BTC",
        "**",
        "price:B\x00",
        "price:B\n",
        "price:B\x7f",
        "price:B\x9b",
        "price:B\xa0",
        "price:B\ud800",
        "Pri*",
        f"price:{'x' * (MOST_CHARACTERS + 1)}",
    ],
)
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(RequestError) as caught:
        topics.check(name)
    assert caught.value.code is ErrorCode.INVALID_CHANNEL
    assert "`channel:key`" in caught.value.message


def test_a_long_name_is_shown_short() -> None:
    with pytest.raises(RequestError) as caught:
        topics.check("x" * 100_000)
    assert len(caught.value.message) < 2 * MOST_CHARACTERS


@given(st.text())
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        assert topics.check(text) == text
    except RequestError as error:
        error.message.encode()  # it goes to the client
    else:
        text.encode()


@given(words)
def test_a_checked_name_is_made_as_the_document_says(name: str) -> None:
    naive = re.fullmatch(r"\*|[a-z]+\*|[a-z]+:\*|[a-z]+:[ab:]+\*?", name) is not None
    try:
        topics.check(name)
    except RequestError:
        assert not naive
    else:
        assert naive


@given(words, words)
def test_a_pattern_matches_what_begins_like_it(pattern: str, name: str) -> None:
    naive = re.fullmatch(re.escape(pattern.removesuffix("*")) + (".*" if pattern.endswith("*") else ""), name)
    assert topics.matches(pattern, name) == (naive is not None)


@given(st.lists(words), words)
def test_covered_means_that_some_pattern_matches(patterns: list[str], name: str) -> None:
    assert topics.covered(patterns, name) == any(topics.matches(pattern, name) for pattern in patterns)


def test_a_name_without_a_star_is_no_pattern() -> None:
    assert not topics.is_pattern("price:BTC")
    assert topics.matches("price:BTC", "price:BTC")
    assert not topics.matches("price:BTC", "price:BTCUSD")


@pytest.mark.parametrize(
    ("name", "good"), [("price", True), ("a_1", True), ("", False), ("_a", False), ("a-b", False)]
)
def test_names_of_channels(name: str, good: bool) -> None:  # noqa: FBT001 - a case of the table
    assert topics.is_channel(name) is good


@given(st.text(alphabet="abc", min_size=1), st.text(alphabet="abc:", min_size=1))
def test_a_joined_name_comes_apart_again(channel: str, key: str) -> None:
    assert topics.join(channel, key).partition(":") == (channel, ":", key)


def test_an_alias_stands_for_a_key_of_its_channel() -> None:
    aliases = Aliases({"price": {"bitcoin": "BTC"}, "market": {"all": "summary"}})
    assert aliases.canonical("price:bitcoin") == "price:BTC"
    assert aliases.canonical("market:all") == "market:summary"
    assert aliases.canonical("market:bitcoin") == "market:bitcoin"
    assert aliases.canonical("price:BTC") == "price:BTC"
    assert aliases.canonical("price:*") == "price:*"


@given(
    st.dictionaries(
        st.sampled_from(["price", "market"]),
        st.dictionaries(st.text("xyz", min_size=1), st.text("ABC", min_size=1)),
    ),
    st.sampled_from(["price", "market", "signals"]),
    st.text("xyzABC", min_size=1),
)
def test_aliases_agree_with_their_table(table: dict[str, dict[str, str]], channel: str, key: str) -> None:
    aliases = Aliases(table)
    name = topics.join(channel, key)
    expected = topics.join(channel, table.get(channel, {}).get(key, key))
    assert aliases.canonical(name) == expected
    assert aliases.canonical(expected) == expected


@settings(deadline=None)
@given(st.lists(st.text("ab:*", min_size=1, max_size=4), min_size=1, max_size=3))
def test_patterns_overlap_where_a_name_fits_all(patterns: list[str]) -> None:
    patterns = [pattern.replace("*", "") + "*" * pattern.endswith("*") for pattern in patterns]
    names = ["".join(letters) for size in range(5) for letters in product("ab:", repeat=size)]
    assert overlap(*patterns) == any(all(matches(p, name) for p in patterns) for name in names)
