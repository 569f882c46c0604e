from __future__ import annotations

from appliance.core.places import Asked
from appliance.dialects.commands import Authenticate, History, Subscribe, Unsubscribe


def test_a_token_shows_in_no_log() -> None:
    assert "sk_secret" not in repr(Authenticate("sk_secret"))


def test_a_subscription_is_plain_unless_more_is_said() -> None:
    plain = Subscribe(form="any", names=("price:BTC",))
    assert (plain.label, plain.limit, dict(plain.recover), plain.times) == (None, None, {}, False)


def test_history_is_all_there_is_unless_more_is_said() -> None:
    plain = History(name="price:BTC", asked=Asked())
    assert (plain.limit, plain.tag) == (None, None)


def test_commands_of_the_same_words_are_equal() -> None:
    assert Unsubscribe(form="any", names=("price:BTC",)) == Unsubscribe(form="any", names=("price:BTC",))
    assert Unsubscribe(form="any", names=(), label="prices") != Unsubscribe(form="any", names=())
