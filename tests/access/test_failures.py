from __future__ import annotations

import attrs
import pytest

from appliance.access import secret_text
from appliance.access.failures import Failures
from appliance.access.principals import CredentialError
from appliance.core.errors import ErrorCode
from appliance.settings.fields import Seconds
from appliance.settings.limits import LimitSettings

LIMITS = LimitSettings(failed_logins=2, failed_login_wait=Seconds(30))
WRONG = CredentialError("nobody knows it")


@attrs.define
class Guesser:
    """Shows what is wrong, and hears why, or that it is too early."""

    now: float = 0.0
    failures: Failures = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.failures = Failures(lambda: LIMITS, lambda: self.now)

    def shows(
        self, text: str = "guess", address: str = "192.0.2.7", error: CredentialError = WRONG
    ) -> CredentialError:
        return self.failures.answer(error, address, text)


def test_an_address_that_guesses_is_told_to_wait() -> None:
    guesser = Guesser()
    assert [guesser.shows() for _ in range(3)] == [WRONG] * 3
    told = guesser.shows()
    assert (told.code, told.retry_after, told.limit) == (ErrorCode.RATE_LIMITED, 1.0, "failed_logins")
    assert "limits.failed_logins" in told.message
    assert guesser.shows(address="192.0.2.8") is WRONG


def test_all_of_a_network_are_one() -> None:
    guesser = Guesser()
    for number in range(3):
        guesser.shows(address=f"2001:db8::{number}")
    assert guesser.shows(address="2001:db8::ffff").code is ErrorCode.RATE_LIMITED


def test_who_waits_as_told_is_heard_again() -> None:
    guesser = Guesser()
    for _ in range(3):
        guesser.shows()
    guesser.now += guesser.shows().retry_after or 0
    assert guesser.shows() is WRONG
    assert guesser.shows().retry_after == pytest.approx(2.0)


def test_a_key_that_is_guessed_at_from_everywhere_slows_the_guesses() -> None:
    guesser, made = Guesser(), secret_text.make()
    guesses = [f"{made.text[:-4]}{number:04}" for number in range(4)]
    for number, guess in enumerate(guesses[:3]):
        assert guesser.shows(guess, f"192.0.2.{number}") is WRONG
    assert guesser.shows(guesses[3], "198.51.100.1").code is ErrorCode.RATE_LIMITED
    assert guesser.shows(secret_text.make().text, "198.51.100.2") is WRONG


def test_what_was_good_once_is_told_so() -> None:
    guesser = Guesser()
    expired = CredentialError("it has expired", code=ErrorCode.EXPIRED_TOKEN)
    assert {guesser.shows(error=expired) for _ in range(50)} == {expired}
    assert guesser.shows() is WRONG
