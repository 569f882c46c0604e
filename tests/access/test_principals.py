"""Principals, credentials and the chain of authenticators."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access.principals import ANONYMOUS, LONGEST, Authenticator, Chain, Credential, Principal
from appliance.core.errors import ErrorCode, RequestError

SHOWN = Credential("sk_shown", "header")


@attrs.define
class Gate:
    """An authenticator with one answer, which notes when it is asked."""

    answer: Principal | ErrorCode
    asked: list[float] = attrs.Factory(list)

    def authenticate(self, _credential: Credential, now: float) -> Principal:
        self.asked.append(now)
        if isinstance(self.answer, ErrorCode):
            raise RequestError(self.answer, "no")
        return self.answer


def chain(*gates: Authenticator) -> Chain:
    return Chain(gates)


@pytest.mark.parametrize(
    ("read", "topic", "allowed"),
    [
        (("*",), "price:BTC", True),
        (("price:BTC",), "price:BTC", True),
        (("price:BTC",), "price:BTCUSD", False),
        (("price:*",), "price:BTC", True),
        (("price:*",), "prices:BTC", False),
        (("price:*",), "price:*", True),
        (("price:B*",), "price:*", False),
        (("price:*", "signals:high"), "signals:high", True),
        ((), "price:BTC", False),
    ],
)
def test_may_read_by_grants(read: tuple[str, ...], topic: str, *, allowed: bool) -> None:
    assert Principal("p", read).may_read(topic) is allowed


@given(grant=st.text("ab:", max_size=4), pattern=st.text("ab:", max_size=4), topic=st.text("ab:", max_size=6))
def test_who_may_read_a_pattern_may_read_every_topic_of_it(grant: str, pattern: str, topic: str) -> None:
    principal = Principal("p", (f"{grant}*",))
    if principal.may_read(f"{pattern}*") and topic.startswith(pattern):
        assert principal.may_read(topic)


@pytest.mark.parametrize(
    ("publish", "channel", "allowed"),
    [
        ((), "alerts", False),
        (("*",), "alerts", True),
        (("alerts",), "alerts", True),
        (("alerts",), "alerts2", False),
        (("ale*",), "alerts", True),
        (("price", "ale*"), "predictions", False),
    ],
)
def test_may_publish_by_grants(publish: tuple[str, ...], channel: str, *, allowed: bool) -> None:
    assert Principal("p", publish=publish).may_publish(channel) is allowed


def test_the_anonymous_principal_reads_everything_and_publishes_nothing() -> None:
    assert ANONYMOUS.may_read("price:BTC")
    assert not ANONYMOUS.may_publish("alerts")


def test_a_credential_keeps_its_text_out_of_its_repr() -> None:
    assert "sk_shown" not in repr(SHOWN)


@pytest.mark.parametrize(
    "text", ["", " ", "two words", "tab\t", "nul\0", "umlaut-ü", "lone-\ud800", "x" * (LONGEST + 1), "\x7f"]
)
def test_text_that_no_credential_can_have_is_an_invalid_token(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        Credential(text, "message")
    assert caught.value.code is ErrorCode.INVALID_TOKEN
    assert not text.strip() or text not in caught.value.message


def test_the_longest_credential_is_accepted() -> None:
    assert len(Credential("x" * LONGEST, "message").text) == LONGEST


def test_a_chain_asks_until_one_knows_the_credential() -> None:
    first, second, third = Gate(ErrorCode.INVALID_TOKEN), Gate(Principal("ann")), Gate(Principal("bob"))
    assert chain(first, second, third).authenticate(SHOWN, 5.0) == Principal("ann")
    assert (first.asked, second.asked, third.asked) == ([5.0], [5.0], [])


def test_a_chain_lets_who_knows_the_credential_refuse_it() -> None:
    last = Gate(Principal("bob"))
    with pytest.raises(RequestError) as caught:
        chain(Gate(ErrorCode.EXPIRED_TOKEN), last).authenticate(SHOWN, 0.0)
    assert caught.value.code is ErrorCode.EXPIRED_TOKEN
    assert last.asked == []


@pytest.mark.parametrize("gates", [(), (Gate(ErrorCode.INVALID_TOKEN), Gate(ErrorCode.INVALID_TOKEN))])
def test_a_credential_that_nobody_knows_is_an_invalid_token(gates: tuple[Gate, ...]) -> None:
    with pytest.raises(RequestError) as caught:
        chain(*gates).authenticate(SHOWN, 0.0)
    assert caught.value.code is ErrorCode.INVALID_TOKEN
