"""The tree of errors, and how each reads."""

from __future__ import annotations

import pytest

from appliance.core import errors
from appliance.core.errors import (
    ApplianceError,
    ErrorCode,
    Mistake,
    RequestError,
    SettingsError,
    StoreError,
    StoreInUseError,
)


@pytest.mark.parametrize(
    ("mistake", "text"),
    [
        (Mistake("limits.burst", "is 0"), "limits.burst: is 0"),
        (Mistake("limits.burst", "is 0", "a.toml"), "a.toml: limits.burst: is 0"),
        (Mistake("limits.burst", "is 0", "a.toml", 12), "a.toml:12: limits.burst: is 0"),
        (Mistake("", "is no TOML", "a.toml", 3), "a.toml:3: is no TOML"),
    ],
)
def test_a_mistake_says_where_and_what(mistake: Mistake, text: str) -> None:
    assert str(mistake) == text


def test_all_mistakes_are_told() -> None:
    mistakes = [Mistake("a", "is wrong"), Mistake("b", "is missing")]
    error = SettingsError(mistakes)
    assert error.mistakes == tuple(mistakes)
    assert str(error) == "a: is wrong\nb: is missing"


def test_a_request_error_carries_its_code() -> None:
    error = RequestError(ErrorCode.RATE_LIMITED, "slower")
    assert (error.code, error.message, str(error)) == ("RATE_LIMITED", "slower", "slower")


def test_a_code_is_its_word() -> None:
    assert all(code.name == code.value for code in ErrorCode)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    found = {
        name
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, ApplianceError)
    }
    told = {word for word in (errors.__doc__ or "").split() if word.endswith("Error")}
    assert told == found
    # All but one stand right under the root: who catches one does not catch another by accident.
    under = {error.__name__ for error in ApplianceError.__subclasses__()}
    assert found - {"ApplianceError"} - under == {"StoreInUseError"}
    assert issubclass(StoreInUseError, StoreError)
