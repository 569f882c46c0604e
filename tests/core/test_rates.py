from __future__ import annotations

import pytest

from appliance.core.rates import Budgets, Rates


def test_each_has_its_own_rate() -> None:
    rates = Rates()
    assert [rates.take("ann", 2, now) for now in (0, 0)] == [0, 0]
    assert rates.take("ann", 2, 0) == pytest.approx(30)
    assert rates.take("bob", 2, 0) == 0
    assert rates.take("ann", 2, 30) == 0


def test_another_rate_holds_at_once() -> None:
    rates = Rates()
    assert rates.take("ann", 1, 0) == 0
    assert rates.take("ann", 1, 0) > 0
    assert [rates.take("ann", 5, 0) == 0 for _ in range(6)] == [True] * 5 + [False]


def test_those_who_have_been_quiet_are_forgotten_first() -> None:
    rates = Rates(4)
    for number in range(3):
        assert rates.take(f"quiet {number}", 1, 0) == 0
    assert rates.take("busy", 1, 50) == 0
    assert rates.take("new", 1, 61) == 0
    assert rates.take("busy", 1, 61) > 0


def test_no_number_of_those_who_come_is_remembered_for_ever() -> None:
    rates = Rates(4)
    for number in range(50):
        assert rates.take(f"busy {number}", 1, 0) == 0
    assert rates.take("busy 49", 1, 0) > 0
    assert sum(rates.take(f"busy {number}", 1, 0) == 0 for number in range(49)) >= 45


def spend(budgets: Budgets, *costs: float, who: str = "ann", now: float = 0) -> float:
    return budgets.spend(who, (10, 1_000), 2, costs=costs, now=now)


def test_what_is_spent_of_any_of_them_has_to_come_back() -> None:
    budgets = Budgets()
    assert [spend(budgets, 10, 10), spend(budgets, 10, 10)] == [0, 0]
    assert spend(budgets, 1, 1) == pytest.approx(0.1)
    assert spend(budgets, 1, 1, who="bob") == 0
    assert spend(budgets, 1, 5_000, now=1) == 0
    assert spend(budgets, 1, 1, now=1) == pytest.approx(3.02, abs=0.1)


def test_one_piece_may_be_larger_than_all_that_there_is() -> None:
    budgets = Budgets()
    assert spend(budgets, 1_000, 1) == 0
    assert spend(budgets, 1, 1) == pytest.approx(98.1)
    assert spend(budgets, 1, 1, now=98.2) == 0


def test_to_ask_costs_nothing() -> None:
    budgets = Budgets()
    assert {budgets.lacking("ann", (10, 1_000), 2, 0) for _ in range(100)} == {0}


def test_other_budgets_hold_at_once_and_what_is_refused_is_not_spent() -> None:
    budgets = Budgets()
    assert spend(budgets, 20, 0) == 0
    wait = spend(budgets, 5, 5)
    assert wait > 0
    assert spend(budgets, 5, 5) == wait
    assert budgets.spend("ann", (1_000, 1_000), 2, costs=(5, 5), now=0) == 0
