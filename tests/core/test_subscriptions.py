"""What a session has subscribed to, and on which terms a topic is read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.core.events import Mode
from appliance.core.history import Retention, Topic
from appliance.core.subscriptions import Subscriptions, Terms

WIDE = Retention(count=10, age=None, size=1000)


def topic(name: str, mode: Mode = Mode.STATE) -> Topic:
    return Topic(name, mode, "message", "e1", WIDE)


def test_a_name_is_there_until_it_is_removed() -> None:
    subscriptions = Subscriptions()
    terms = Terms("words")
    assert subscriptions.remove("price:BTC") is None
    subscriptions.add("price:BTC", terms)
    assert "price:BTC" in subscriptions
    assert (len(subscriptions), list(subscriptions)) == (1, ["price:BTC"])
    assert subscriptions.remove("price:BTC") == terms
    assert "price:BTC" not in subscriptions
    assert subscriptions.find(topic("price:BTC")) is None


def test_a_name_goes_before_a_pattern() -> None:
    subscriptions = Subscriptions()
    subscriptions.add("price:*", Terms("words"))
    subscriptions.add("price:BTC", Terms("words", label="price:bitcoin"))
    assert subscriptions.find(topic("price:BTC")) == ("price:BTC", Terms("words", label="price:bitcoin"))
    assert subscriptions.find(topic("price:ETH")) == ("price:*", Terms("words"))
    assert subscriptions.find(topic("market:BTC")) is None
    assert subscriptions.patterns() == ["price:*"]


def test_the_first_pattern_counts_also_when_it_is_renewed() -> None:
    subscriptions = Subscriptions()
    subscriptions.add("price:B*", Terms("one"))
    subscriptions.add("price:*", Terms("two"))
    subscriptions.add("price:B*", Terms("three"))
    assert subscriptions.find(topic("price:BTC")) == ("price:B*", Terms("three"))


def test_a_log_never_goes_by_a_limit() -> None:
    subscriptions = Subscriptions()
    subscriptions.add("*", Terms("words", limit=1))
    assert subscriptions.find(topic("signals:all", Mode.LOG)) is None
    assert subscriptions.find(topic("price:BTC")) == ("*", Terms("words", limit=1))
    subscriptions.add("signals:*", Terms("words"))
    assert subscriptions.find(topic("signals:all", Mode.LOG)) == ("signals:*", Terms("words"))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a:x", "a:xy", "b:x", "*", "a*", "a:*", "a:x*", "b:*"]),
            st.sampled_from([None, 1.0]),
        )
    ),
    st.sampled_from(["a:x", "a:xy", "b:x", "c:x"]),
    st.sampled_from(Mode),
)
def test_a_topic_is_found_as_in_a_list(added: list[tuple[str, float | None]], name: str, mode: Mode) -> None:
    subscriptions = Subscriptions()
    listed: dict[str, float | None] = {}
    for written, limit in added:
        subscriptions.add(written, Terms("words", limit=limit))
        listed[written] = limit
    fitting = [
        (written, Terms("words", limit=limit))
        for written, limit in listed.items()
        if written.endswith("*") and name.startswith(written[:-1]) and (mode is Mode.STATE or limit is None)
    ]
    if name in listed:
        fitting.insert(0, (name, Terms("words", limit=listed[name])))
    assert subscriptions.find(topic(name, mode)) == (fitting[0] if fitting else None)
