"""Who speaks, told from messages of both dialects in any order."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from appliance.dialects import shared, trading
from appliance.dialects.shared import Speaker

EITHER = ("subscribe", "unsubscribe")
NO_NAMES: tuple[Any, ...] = (None, 5, "", [])

CRYPTOINTEL: list[dict[str, Any]] = [
    {"type": "auth", "token": "sk_1"},
    {"type": "auth"},
    {"type": "history", "channel": "price:BTC"},
    {"type": "history"},
    *({"type": kind, "channels": ["price:bitcoin", "signals:all"]} for kind in EITHER),
    *({"type": kind, "channels": []} for kind in EITHER),
    *({"type": kind, "channel": "prices", "params": {"symbols": ["BTC"]}} for kind in EITHER),
    *({"type": kind, "channel": "signals", "params": {}} for kind in EITHER),
    *({"type": kind, "channel": "portfolio", "params": {"symbols": []}, "symbols": ["A"]} for kind in EITHER),
    *({"type": kind, "channel": name} for kind in EITHER for name in ("prices", "market_data", "price:BTC")),
]
TRADING: list[dict[str, Any]] = [
    *({"type": kind, "channel": name, "symbols": ["AAPL"]} for kind in EITHER for name in trading.Channel),
    *({"type": kind, "channel": name} for kind in EITHER for name in trading.Channel),
    *({"type": kind, "channel": "price_updates", "symbols": []} for kind in EITHER),
    *({"type": kind, "channel": "prices", "symbols": ["AAPL"]} for kind in EITHER),
    {"type": "subscribe", "channel": "price_updates|signals|trades|portfolio", "symbols": ["AAPL", "MSFT"]},
]
NOTHING: list[Any] = [
    {"type": "ping"},
    {"type": "ping", "channels": ["price:bitcoin"], "params": {}},
    {"type": "pong"},
    {"type": "publish", "channel": "prices"},
    {"type": ["auth"]},
    {"channels": ["price:bitcoin"]},
    {"channel": "signals", "symbols": ["AAPL"]},
    *({"type": kind} for kind in EITHER),
    *({"type": kind, "channels": "price:bitcoin"} for kind in EITHER),
    *({"type": kind, "channel": wrong, "symbols": ["AAPL"]} for kind in EITHER for wrong in NO_NAMES),
    *({"type": kind, "channel": 5, "params": {}} for kind in EITHER),
    *({"type": kind, "symbols": ["AAPL"]} for kind in EITHER),
    [],
    None,
    "auth",
]
GARBAGE: list[str | bytes] = [
    "",
    "hello",
    '{"type": "auth"',
    '{"type": "auth"} {}',
    b'{"type": "auth", "token": "sk_1"}',
    b"\xff",
    '{"type": "auth", "more": ' + "[" * 100_000,
]


@pytest.mark.parametrize("message", CRYPTOINTEL, ids=json.dumps)
def test_only_a_cryptointel_client_says_this(message: Any) -> None:
    assert shared.decide(json.dumps(message)) == "cryptointel"


@pytest.mark.parametrize("message", TRADING, ids=json.dumps)
def test_only_a_trading_client_says_this(message: Any) -> None:
    assert shared.decide(json.dumps(message)) == "trading"


@pytest.mark.parametrize("message", NOTHING, ids=json.dumps)
def test_this_decides_nothing(message: Any) -> None:
    assert shared.decide(json.dumps(message)) is None


@pytest.mark.parametrize("text", GARBAGE, ids=lambda text: text[:30])
def test_garbage_decides_nothing(text: str | bytes) -> None:
    assert shared.decide(text) is None


@given(st.text() | st.binary())
def test_whatever_comes_is_decided_without_an_error(text: str | bytes) -> None:
    assert shared.decide(text) in {None, "cryptointel", "trading"}


def test_a_client_that_says_nothing_is_a_trading_client() -> None:
    assert (Speaker().decided, Speaker().dialect) == (None, "trading")


class Listening(RuleBasedStateMachine):
    """The rules in plain words: cryptointel from the first message that only its clients send, trading until then."""

    def __init__(self) -> None:
        super().__init__()
        self.speaker = Speaker()
        self.turned = False
        self.explicit = False

    @rule(message=st.sampled_from(CRYPTOINTEL))
    def says_what_only_cryptointel_says(self, message: Any) -> None:
        self.speaker = self.speaker.hear(json.dumps(message))
        self.turned = True

    @rule(message=st.sampled_from(TRADING))
    def says_what_only_trading_says(self, message: Any) -> None:
        self.speaker = self.speaker.hear(json.dumps(message))
        self.explicit = True

    @rule(message=st.sampled_from(NOTHING))
    def says_what_decides_nothing(self, message: Any) -> None:
        before = self.speaker
        self.speaker = self.speaker.hear(json.dumps(message))
        assert self.speaker == before

    @rule(text=st.sampled_from(GARBAGE))
    def says_garbage(self, text: str | bytes) -> None:
        before = self.speaker
        self.speaker = self.speaker.hear(text)
        assert self.speaker == before

    @invariant()
    def speaks_as_the_rules_say(self) -> None:
        assert self.speaker.dialect == ("cryptointel" if self.turned else "trading")
        assert (self.speaker.decided is None) == (not self.turned and not self.explicit)


TestListening = Listening.TestCase
