"""Declarations of settings."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from attrs.validators import ge

from appliance.settings.fields import Mark, Secret, mark, setting


@attrs.frozen(kw_only=True)
class Sample:
    count: int | None = setting(None, "How many", ge(1), reloads=True)
    options: dict[str, Any] = setting(dict, "All else", rest=True)
    plain: int = 0
    age: float | str | None = setting(None, "How old", ge(1), but="none")


def test_a_secret_is_text_that_does_not_show() -> None:
    key = Secret("hunter2")
    assert key == "hunter2"
    assert "hunter2" not in repr([key])


def test_the_declaration_can_be_asked_for() -> None:
    count, options, plain, _ = attrs.fields(Sample)
    assert mark(count).doc == "How many"
    assert mark(count).reloads
    assert mark(options).rest
    assert mark(plain) == Mark(doc="", reloads=False, rest=False)


def test_a_bound_does_not_hold_for_what_is_not_set() -> None:
    assert Sample().count is None
    with pytest.raises(ValueError, match="must be >= 1"):
        Sample(count=0)


def test_a_word_may_stand_where_a_bound_holds() -> None:
    assert Sample(age="none").age == "none"
    with pytest.raises(ValueError, match="must be >= 1"):
        Sample(age=0.5)
    with pytest.raises(TypeError):
        Sample(age="never")
    assert mark(attrs.fields(Sample).age).validators == (ge(1),)


def test_each_instance_has_its_own_table() -> None:
    assert Sample().options is not Sample().options


def test_what_no_attribute_names_is_not_shown() -> None:
    assert "hunter2" not in repr(Sample(options={"password": "hunter2"}))
