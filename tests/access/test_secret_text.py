"""The text of API keys."""

from __future__ import annotations

import hashlib
import re

import pytest

from appliance.access.principals import Credential
from appliance.access.secret_text import digest, identify, make, make_key


def test_a_made_key_is_new_recognisable_and_can_be_shown() -> None:
    made = [make() for _ in range(50)]
    assert len({each.id for each in made}) == len({each.text for each in made}) == 50
    for each in made:
        assert re.fullmatch(r"sk_[a-z2-9]{10}_[\w-]{43}", each.text)
        assert each.text.split("_")[1] == each.id == identify(each.text)
        assert Credential(each.text, "subprotocol").text == each.text
        assert each.text not in repr(each)
    assert identify(make_key())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sk_",
        "sk_" + "x" * 43,
        "sk_abcdefghjk_" + "x" * 42,
        "sk_abcdefghjk_" + "x" * 44,
        "SK_abcdefghjk_" + "x" * 43,
    ],
)
def test_other_texts_have_no_id(text: str) -> None:
    assert identify(text) is None


def test_a_digest_is_that_of_sha256() -> None:
    assert digest("sk_one") == hashlib.sha256(b"sk_one").digest()
