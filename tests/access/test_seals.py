"""Texts that clients get to show them again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.access.seals import Seal, new_key, read_key
from appliance.core.errors import ErrorCode, RequestError

SEAL = Seal()


@settings(deadline=None)
@given(st.text())
def test_what_is_sealed_is_opened_and_says_nothing(text: str) -> None:
    sealed = SEAL.close(text)
    assert SEAL.is_closed(sealed)
    assert SEAL.open(sealed) == text
    assert SEAL.close(text) == sealed
    assert sealed.isascii()
    assert not set(sealed) & set(" :\n\r")


@pytest.mark.parametrize("text", ["", "epoch-17", "epoch:5", "epoch-17.3~store-9"])
def test_what_is_not_sealed_is_as_it_is(text: str) -> None:
    assert SEAL.open(text) == text


@settings(deadline=None)
@given(st.text(max_size=80))
def test_what_somebody_made_up_is_refused(text: str) -> None:
    for made_up in (f"~{text}", SEAL.close(text)[:-1], SEAL.close(text)[1:].join("~~"), Seal().close(text)):
        with pytest.raises(RequestError) as caught:
            SEAL.open(made_up)
        assert caught.value.code is ErrorCode.INVALID_MESSAGE


def test_with_a_key_another_process_knows_it_again() -> None:
    one, other, key = Seal(), Seal(), new_key()
    one.use(read_key(key))
    other.use(read_key(key))
    assert other.open(one.close("x")) == "x"


@pytest.mark.parametrize("text", ["", "ab", "x" * 64, "00" * 31, "00" * 33])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_key(text)
