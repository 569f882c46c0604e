"""API keys open what they should, and nothing else."""

from __future__ import annotations

import datetime as dt
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access.keys import Keys
from appliance.access.principals import Credential, CredentialError, Principal
from appliance.access.secret_text import make
from appliance.core.entitlements import Entitlements
from appliance.core.errors import ErrorCode, RequestError, SettingsError
from appliance.settings.access import KeySettings
from appliance.settings.fields import Secret

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


def test_a_key_allows_what_its_entry_says() -> None:
    keys = Keys(
        [
            KeySettings(name="app", key=Secret("sk_app"), publish=("alerts", "pre*"), sessions=2),
            KeySettings(name="reader", key=Secret("sk_reader"), read=("price:*",), expires=END),
        ]
    )
    app = keys.authenticate(Credential("sk_app", "header"), 0.0)
    reader = keys.authenticate(Credential("sk_reader", "header"), 0.0)
    assert app == Principal("app", Entitlements(publish=("alerts", "pre*"), sessions=2))
    assert reader == Principal("reader", Entitlements(read=("price:*",)), expires=END.timestamp())


def test_a_key_in_the_form_of_made_ones_is_told_of_by_its_id() -> None:
    made = make()
    keys = Keys([entry("one", made.text), entry("two", "sk_chosen")])
    assert keys.authenticate(Credential(made.text, "header"), 0.0).credential == made.id
    assert keys.authenticate(Credential("sk_chosen", "header"), 0.0).credential is None


def test_who_was_let_in_is_known_again_by_other_settings() -> None:
    before = Keys([entry("app", "sk_app"), KeySettings(name="ending", key=Secret("sk_ending"), expires=END)])
    app, ending = (before.authenticate(Credential(f"sk_{name}", "header"), 0.0) for name in ("app", "ending"))
    narrowed = Keys([KeySettings(name="app", key=Secret("sk_app"), read=("price:*",))])
    found = narrowed.review(app, 0.0)
    assert found is not None
    assert found.entitlements.read == ("price:*",)
    with pytest.raises(CredentialError) as caught:
        narrowed.review(ending, 0.0)
    assert caught.value.code is ErrorCode.REVOKED_TOKEN
    with pytest.raises(CredentialError) as caught:
        before.review(ending, END.timestamp())
    assert caught.value.code is ErrorCode.EXPIRED_TOKEN
    assert narrowed.review(Principal("app"), 0.0) is None
