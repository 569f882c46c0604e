"""API keys open what they should, and nothing else."""

from __future__ import annotations

import datetime as dt
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access.keys import Keys, make_key
from appliance.access.principals import Credential, Principal
from appliance.core.errors import ErrorCode, RequestError, SettingsError
from appliance.settings.fields import Secret
from appliance.settings.tree import KeySettings

END = dt.datetime(2030, 1, 31, 12, tzinfo=dt.UTC)
TEXTS = st.text([chr(code) for code in range(0x21, 0x7F)], min_size=1, max_size=40)


def entry(name: str, key: str | None, expires: dt.datetime | None = None) -> KeySettings:
    return KeySettings(name=name, key=None if key is None else Secret(key), expires=expires)


def refusal(keys: Keys, text: str, now: float = 0.0) -> ErrorCode:
    with pytest.raises(RequestError) as caught:
        keys.authenticate(Credential(text, "header"), now)
    return caught.value.code


@given(texts=st.lists(TEXTS, min_size=1, max_size=5, unique=True), other=TEXTS)
def test_each_key_is_its_owners_and_no_other_text_opens(texts: list[str], other: str) -> None:
    keys = Keys(entry(f"owner {index}", text) for index, text in enumerate(texts))
    for index, text in enumerate(texts):
        assert keys.authenticate(Credential(text, "query"), 0.0) == Principal(f"owner {index}")
    if other not in texts:
        assert refusal(keys, other) is ErrorCode.INVALID_TOKEN


@pytest.mark.parametrize("text", ["sk_on", "sk_onee", "SK_ONE", "sk_one\x2e"])
def test_nearly_the_key_is_not_the_key(text: str) -> None:
    assert refusal(Keys([entry("one", "sk_one")]), text) is ErrorCode.INVALID_TOKEN


def test_without_keys_nothing_opens() -> None:
    assert refusal(Keys([]), "sk_one") is ErrorCode.INVALID_TOKEN


def test_a_key_works_until_it_expires() -> None:
    keys = Keys([entry("old", "sk_old", END), entry("new", "sk_new")])
    assert keys.authenticate(Credential("sk_old", "header"), END.timestamp() - 1).name == "old"
    assert refusal(keys, "sk_old", END.timestamp()) is ErrorCode.EXPIRED_TOKEN
    assert keys.authenticate(Credential("sk_new", "header"), END.timestamp()).name == "new"


def test_an_expiry_is_read_with_its_offset() -> None:
    keys = Keys([entry("one", "sk_one", END.astimezone(dt.timezone(dt.timedelta(hours=-5))))])
    assert refusal(keys, "sk_one", END.timestamp()) is ErrorCode.EXPIRED_TOKEN


@pytest.mark.parametrize("shown", ["sk_0", "sk_4", "sk_none"])
def test_every_key_is_compared_whichever_matches(shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    real = hmac.compare_digest

    def counted(known: bytes, other: bytes) -> bool:
        compared.append(known)
        return real(known, other)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    try:
        Keys(entry(f"{index}", f"sk_{index}") for index in range(5)).authenticate(
            Credential(shown, "header"), 0.0
        )
    except RequestError:
        assert shown == "sk_none"
    assert len(compared) == 5


def test_a_refusal_does_not_repeat_what_was_shown() -> None:
    with pytest.raises(RequestError) as caught:
        Keys([entry("one", "sk_one")]).authenticate(Credential("sk_guess", "header"), 0.0)
    assert "sk_" not in str(caught.value)


def test_keys_are_held_as_digests_only() -> None:
    keys = Keys([entry("one", "sk_very_secret")])
    held = [repr(vars(keys))]
    held += [repr(getattr(known, field)) for known in vars(keys)["_known"] for field in known.__slots__]
    assert "sk_very_secret" not in "".join(held)


def test_all_mistakes_are_told_at_once_without_the_keys() -> None:
    with pytest.raises(SettingsError) as caught:
        Keys(
            [
                entry("none", None),
                entry("odd", "two words"),
                entry("first", "sk_twice"),
                entry("second", "sk_twice"),
            ]
        )
    assert [mistake.path for mistake in caught.value.mistakes] == [
        "auth.keys[0]",
        "auth.keys[1].key",
        "auth.keys[3].key",
    ]
    assert "'first'" in str(caught.value)
    assert not any(key in str(caught.value) for key in ("two words", "sk_twice"))


def test_a_key_publishes_where_its_entry_says() -> None:
    keys = Keys(
        [
            KeySettings(name="app", key=Secret("sk_app"), publish=("alerts", "pre*")),
            KeySettings(name="reader", key=Secret("sk_reader")),
        ]
    )
    app = keys.authenticate(Credential("sk_app", "header"), 0.0)
    reader = keys.authenticate(Credential("sk_reader", "header"), 0.0)
    assert [name for name in ("alerts", "predictions", "price") if app.may_publish(name)] == [
        "alerts",
        "predictions",
    ]
    assert not reader.may_publish("alerts")


def test_a_grant_that_names_no_channel_is_a_mistake() -> None:
    with pytest.raises(SettingsError) as caught:
        Keys(
            [KeySettings(name="app", key=Secret("sk_app"), publish=("*", "alerts", "alerts:AAPL", "", "*x"))]
        )
    assert [mistake.path for mistake in caught.value.mistakes] == [
        f"auth.keys[0].publish[{place}]" for place in (2, 3, 4)
    ]


def test_a_made_key_is_new_recognisable_and_can_be_shown() -> None:
    made = {make_key() for _ in range(20)}
    assert len(made) == 20
    for key in made:
        assert key.startswith("sk_")
        assert len(key) == 46
        assert Keys([entry("one", key)]).authenticate(Credential(key, "subprotocol"), 0.0).name == "one"
