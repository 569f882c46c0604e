"""Which version came before which."""

from __future__ import annotations

import itertools

import pytest

from appliance.ops.upgrade.versions import is_older

IN_ORDER = (
    *("0.1", "0.1.1", "0.2.0", "0.10.0", "1.0.0.dev1", "1.0.0a1", "1.0.0b2", "1.0.0rc1", "1.0.0rc2"),
    *("1.0.0", "1.0.0.post1", "1.0.1", "10.0"),
)


@pytest.mark.parametrize(("one", "other"), [*itertools.combinations(IN_ORDER, 2)])
def test_a_version_is_older_than_all_after_it(one: str, other: str) -> None:
    assert is_older(one, other)
    assert not is_older(other, one)


@pytest.mark.parametrize(
    ("one", "other"), [("1.0", "1.0.0"), ("1.2.0", "1.2"), ("1.0+local", "1.0"), ("0", "0.0")]
)
def test_the_same_version_is_not_older(one: str, other: str) -> None:
    assert not is_older(one, other)
    assert not is_older(other, one)


@pytest.mark.parametrize("text", ["", "next", "1.", "v1.0", "1.0-dirty"])
def test_what_is_no_version_is_not_older(text: str) -> None:
    assert not is_older(text, "1.0")
    assert not is_older("1.0", text)
