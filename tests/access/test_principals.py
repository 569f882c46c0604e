"""Principals, credentials and the chain of authenticators."""

from __future__ import annotations

import attrs
import pytest

from appliance.access.principals import LONGEST, Authenticator, Chain, Credential, CredentialError, Principal
from appliance.core.entitlements import Entitlements
from appliance.core.errors import ErrorCode, RequestError

SHOWN = Credential("sk_shown", "header")


@attrs.define
class Door:
    """An authenticator with one answer, which notes when it is asked."""

    answer: Principal | ErrorCode
    why: str = "no"
    asked: list[float] = attrs.Factory(list)

    def authenticate(self, _credential: Credential, now: float) -> Principal:
        self.asked.append(now)
        if isinstance(self.answer, ErrorCode):
            raise CredentialError(self.why, code=self.answer)
        return self.answer

    def review(self, principal: Principal, now: float) -> Principal | None:
        """Know who it has let in itself."""
        self.asked.append(now)
        return principal if principal == self.answer else None


def chain(*doors: Authenticator) -> Chain:
    return Chain(doors)


def test_a_principal_may_do_what_it_is_entitled_to() -> None:
    principal = Principal("p", Entitlements(read=("price:*",), publish=("alerts",)))
    assert (principal.entitlements.scope.covers("price:*"), principal.entitlements.scope.covers("*")) == (
        True,
        False,
    )
    assert (principal.may_publish("alerts"), principal.may_publish("price")) == (True, False)


def test_the_log_tells_who_it_is_and_by_which_credential() -> None:
    assert Principal("ann").told == {"principal": "ann", "kind": "key"}
    assert Principal("ann", kind="token", credential="t-1").told == {
        "principal": "ann",
        "kind": "token",
        "credential": "t-1",
    }


def test_a_credential_keeps_its_text_out_of_its_repr() -> None:
    assert "sk_shown" not in repr(SHOWN)


@pytest.mark.parametrize(
    "text", ["", " ", "two words", "tab\t", "nul\0", "umlaut-ü", "lone-\ud800", "x" * (LONGEST + 1), "\x7f"]
)
def test_text_that_no_credential_can_have_is_an_invalid_token(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        Credential(text, "message")
    assert caught.value.code is ErrorCode.INVALID_TOKEN
    assert not text.strip() or text not in caught.value.message


def test_the_longest_credential_is_accepted() -> None:
    assert len(Credential("x" * LONGEST, "message").text) == LONGEST


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (ErrorCode.INVALID_TOKEN, "the credential is not known"),
        (ErrorCode.EXPIRED_TOKEN, "the credential has expired"),
    ],
)
def test_why_a_credential_is_refused_is_not_in_the_message(code: ErrorCode, message: str) -> None:
    error = CredentialError("the audience is another", code=code)
    assert (error.code, error.message, error.why) == (code, message, "the audience is another")


def test_a_chain_asks_until_one_knows_the_credential() -> None:
    first, second, third = Door(ErrorCode.INVALID_TOKEN), Door(Principal("ann")), Door(Principal("bob"))
    assert chain(first, second, third).authenticate(SHOWN, 5.0) == Principal("ann")
    assert (first.asked, second.asked, third.asked) == ([5.0], [5.0], [])


def test_a_chain_lets_who_knows_the_credential_refuse_it() -> None:
    last = Door(Principal("bob"))
    with pytest.raises(CredentialError) as caught:
        chain(Door(ErrorCode.EXPIRED_TOKEN), last).authenticate(SHOWN, 0.0)
    assert caught.value.code is ErrorCode.EXPIRED_TOKEN
    assert last.asked == []


@pytest.mark.parametrize(
    ("doors", "why"),
    [
        ((), "nothing lets anybody in"),
        ((Door(ErrorCode.INVALID_TOKEN, "one"), Door(ErrorCode.INVALID_TOKEN, "two")), "one; two"),
    ],
)
def test_a_credential_that_nobody_knows_is_an_invalid_token(doors: tuple[Door, ...], why: str) -> None:
    with pytest.raises(CredentialError) as caught:
        chain(*doors).authenticate(SHOWN, 0.0)
    assert (caught.value.code, caught.value.why) == (ErrorCode.INVALID_TOKEN, why)


def test_whoever_has_let_somebody_in_says_what_has_become_of_that() -> None:
    first, second = Door(Principal("ann")), Door(Principal("bob"))
    both = chain(first, second)
    assert both.review(Principal("bob"), 5.0) == Principal("bob")
    assert both.review(Principal("carl"), 6.0) is None
    assert (first.asked, second.asked) == ([5.0, 6.0], [5.0, 6.0])


def test_what_it_is_known_by_is_neither_told_nor_compared() -> None:
    assert Principal("ann", proof="a-secret") == Principal("ann", proof="another")
    assert "a-secret" not in repr(Principal("ann", proof="a-secret"))
