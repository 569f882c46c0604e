"""Paths as text and as steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.settings import paths

KEYS = st.text(st.characters(codec="utf-8"), max_size=8)


def test_a_path_reads_like_the_file() -> None:
    assert paths.joined("", "listen", 0, "limits", "sessions") == "listen[0].limits.sessions"
    assert paths.joined("aliases.price", "x y") == 'aliases.price."x y"'


@given(KEYS, st.lists(KEYS | st.integers(0, 10**6)))
def test_steps_come_back_from_their_path(first: str, others: list[str | int]) -> None:
    assert paths.split(paths.joined("", first, *others)) == (first, *others)


def test_steps_lead_a_text_and_the_rest_follows() -> None:
    assert paths.leading("""a.'b=c'[1]."d\\n"=x=y""") == (("a", "b=c", 1, "d\n"), "=x=y")
    assert paths.leading("=5") == ((), "=5")
    assert paths.leading("a..b") == (("a",), "..b")


@pytest.mark.parametrize("path", ["a..b", ".a", "a.", "a b", "a[x]", 'a."', 'a."\\x"'])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        paths.split(path)


def test_upward_ends_with_the_whole() -> None:
    assert list(paths.upward("a[0].b")) == ["a[0].b", "a[0]", "a", ""]
