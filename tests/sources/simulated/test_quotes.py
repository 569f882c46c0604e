from __future__ import annotations

from appliance.sources.simulated.instruments import instrument
from appliance.sources.simulated.prices import Move
from appliance.sources.simulated.quotes import DAY, Session

MIDNIGHT = 20_000 * DAY


def session(price: float = 100.0, at: float = MIDNIGHT) -> Session:
    return Session(instrument("AAPL", seed=1), price, at)


def test_the_day_so_far() -> None:
    apple = session(100.0)
    for minute, price in enumerate((101.0, 99.5, 100.5), start=1):
        apple.take(Move(price, 10.0), MIDNIGHT + 60 * minute)
    quote = apple.quote()
    assert (quote.open, quote.high, quote.low, quote.price) == (100.0, 101.0, 99.5, 100.5)
    assert (quote.change, quote.change_pct, quote.volume) == (0.5, 0.5, 30.0)
    assert quote.volume_24h == 10 * (101.0 + 99.5 + 100.5)


def test_a_day_opens_at_the_last_price_of_the_day_before() -> None:
    apple = session(100.0, MIDNIGHT - 60)
    apple.take(Move(90.0, 10.0), MIDNIGHT - 1)
    apple.take(Move(95.0, 5.0), MIDNIGHT)
    quote = apple.quote()
    assert (quote.open, quote.high, quote.low, quote.volume) == (90.0, 95.0, 90.0, 5.0)


def test_24_hours_are_rolling() -> None:
    apple = session(100.0)
    for step in range(1, 3 * 144 + 1):
        apple.take(Move(100.0 + step, 1.0), MIDNIGHT + step * 600.0)
    quote = apple.quote()
    day_ago = quote.price - 144
    assert abs(quote.change_24h - 100 * (quote.price / day_ago - 1)) < 0.5
    assert quote.volume_24h == sum(100.0 + step for step in range(2 * 144 + 1, 3 * 144 + 1))


def test_hours_that_nobody_saw_have_no_volume_and_keep_the_price() -> None:
    apple = session(100.0)
    apple.take(Move(110.0, 7.0), MIDNIGHT + 60)
    apple.take(Move(120.0, 1.0), MIDNIGHT + 12 * 3_600)
    assert apple.quote().volume_24h == 7 * 110.0 + 120.0
    assert apple.quote().change_24h == 20.0
    apple.take(Move(121.0, 1.0), MIDNIGHT + 30 * DAY)
    assert apple.quote().volume_24h == 121.0
    assert apple.quote().change_24h == round(100 * (121 / 120 - 1), 4)
