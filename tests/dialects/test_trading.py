"""The dialect against its document, line by line, and against everything that is no message."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.core.errors import ErrorCode, RequestError
from appliance.core.events import Entry
from appliance.dialects import trading
from appliance.dialects.commands import Ping
from appliance.dialects.messages.trading import MOST_SYMBOLS
from appliance.dialects.trading import (
    EVERYTHING,
    Channel,
    Choice,
    Command,
    Selection,
    Subscribe,
    Unsubscribe,
)
from tests.plugins.built_in import events

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENT = (Path(__file__).resolve().parents[1] / "spec" / "trading-stream.md").read_text(encoding="utf-8")
EXAMPLES: dict[str, Any] = {
    section.partition("\n")[0]: json.loads(example)
    for section in re.split(r"^#+ ", DOCUMENT, flags=re.MULTILINE)
    for example in re.findall(r"^```json\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
}
"""The document's messages by the headings that they stand under."""

TIME = "2024-12-19T12:00:00Z"
AT = 1734609600.0
KINDS: tuple[trading.Kind, ...] = ("signal", "trade")


def entry(data: Any) -> Entry:
    return Entry(7, AT, 0.0, json.dumps(data).encode())


def refusal(message: Any) -> str:
    with pytest.raises(RequestError) as raised:
        trading.parse(message if isinstance(message, str | bytes) else json.dumps(message))
    assert raised.value.code is ErrorCode.INVALID_MESSAGE
    return raised.value.message


def in_order(message: Any) -> str:
    """A message as a text that differs by the order of fields and by the kind of numbers, too."""
    return json.dumps(message)


# What the document says.

COMMANDS: dict[str, set[Command]] = {
    "Ping": {Ping()},
    "Subscribe (Phase 3+)": {Subscribe(channel, frozenset({"AAPL", "MSFT"})) for channel in Channel},
    "Unsubscribe (Phase 3+)": {Unsubscribe(Channel.PRICES, frozenset({"AAPL"}))},
}


def price_update(shown: Any) -> bytes:
    """Make the message from rows of the channel `price`, which say more than the document has a word for."""
    more = {"symbol": "X", "change_24h": 1.5, "volume_24h": 7, "low": None, "timestamp": TIME}
    parts = [(symbol, trading.price(entry({**more, **row}).body)) for symbol, row in shown["symbols"].items()]
    return trading.price_update(parts, shown["timestamp"])


def signal(shown: Any) -> bytes:
    more = {"type": "breakout", "id": "s1", "severity": "high", "description": "…", "metadata": {"a": [1]}}
    return trading.update("signal", EVERYTHING)(entry({**shown, **more}))


def trade_executed(shown: Any) -> bytes:
    return trading.update("trade", EVERYTHING)(entry({**shown, "id": "t1", "fee": 0.1, "signal_id": None}))


def portfolio_update(shown: Any) -> bytes:
    data = shown["data"]
    positions = {
        symbol: {**position, "market_value": 1515.0} for symbol, position in data["positions"].items()
    }
    account = {**data, "positions": positions, "cash": 100.0, "equity": 1615.0, "timestamp": TIME}
    return trading.portfolio_update(trading.portfolio(entry(account).body, EVERYTHING), shown["timestamp"])


MESSAGES: dict[str, Callable[[Any], bytes]] = {
    "Price Update": price_update,
    "Trading Signal": signal,
    "Trade Executed": trade_executed,
    "Portfolio Update": portfolio_update,
    "Pong (Response to Ping)": lambda _: trading.pong(),
    "Error": lambda shown: trading.error(shown["error"], shown["timestamp"]),
}


def test_every_message_of_the_document_is_tested() -> None:
    assert EXAMPLES.keys() == COMMANDS.keys() | MESSAGES.keys() | {"Status Endpoint"}
    assert len(EXAMPLES) == DOCUMENT.count("```json")


@pytest.mark.parametrize("heading", COMMANDS)
def test_the_documents_commands_are_understood(heading: str) -> None:
    shown = EXAMPLES[heading]
    # `price_updates|signals|…` is the document's way to write: one of these.
    channels = shown.get("channel", "").split("|")
    written = [{**shown, "channel": channel} if "channel" in shown else shown for channel in channels]
    assert {trading.parse(json.dumps(message)) for message in written} == COMMANDS[heading]
    assert len(written) == len(COMMANDS[heading])


@pytest.mark.parametrize("heading", MESSAGES)
def test_the_documents_messages_are_sent_to_the_letter(heading: str) -> None:
    shown = EXAMPLES[heading]
    assert in_order(json.loads(MESSAGES[heading](shown))) == in_order(shown)


def test_the_documents_client_has_a_case_for_each_message_that_is_sent() -> None:
    assert set(re.findall(r"case '(\w+)':", DOCUMENT)) == {EXAMPLES[heading]["type"] for heading in MESSAGES}


def test_the_documents_streams_are_the_channels_and_all_of_them_are_automatic() -> None:
    streams = re.findall(r"^- `(\w+)`: ", DOCUMENT, re.MULTILINE)
    assert streams == list(Channel)
    assert Selection().choices == dict.fromkeys(streams, EVERYTHING)


@pytest.mark.parametrize(
    ("channel", "told", "shown"),
    [
        ("price", lambda one: trading.price(one.body), EXAMPLES["Price Update"]["symbols"]["AAPL"]),
        ("signals", trading.update("signal", EVERYTHING), EXAMPLES["Trading Signal"]),
        ("trades", trading.update("trade", EVERYTHING), EXAMPLES["Trade Executed"]),
        (
            "portfolio",
            lambda one: trading.portfolio(one.body, EVERYTHING),
            EXAMPLES["Portfolio Update"]["data"],
        ),
    ],
)
def test_the_simulated_market_has_every_field_of_the_document(
    channel: str, told: Callable[[Entry], bytes], shown: Any
) -> None:
    for event in events(channel):
        assert list(json.loads(told(entry(event.data)))) == list(shown)


def test_the_simulated_positions_have_every_field_of_the_document() -> None:
    position = EXAMPLES["Portfolio Update"]["data"]["positions"]["AAPL"]
    account = json.loads(trading.portfolio(entry(events("portfolio")[-1].data).body, EVERYTHING))
    assert account["positions"]
    assert all(list(held) == list(position) for held in account["positions"].values())


# What is no message.


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("hello", "not JSON"),
        ('{"type": "ping"} {}', "not JSON"),
        ('{"type": 5, bad', "not JSON"),
        (b'{"type": "ping"}', "binary"),
        ('{"type": "ping", "more": ' + "[" * 100_000, "nested too deeply"),
        ('{"type": 5, "more": ' + "[" * 100_000, "nested too deeply"),
        ("[]", "a JSON object with a `type`"),
        ("null", "a JSON object with a `type`"),
        ("{}", "no `type`: ping, subscribe, unsubscribe"),
        ('{"type": 5}', "no `type`"),
        ('{"type": "auth"}', "unknown message type 'auth'; known are ping, subscribe, unsubscribe"),
        ('{"type": "subscribe"}', "missing required field `channel`"),
        ('{"type": "unsubscribe", "symbols": ["AAPL"]}', "missing required field `channel`"),
        (
            '{"type": "subscribe", "channel": "prices"}',
            "unknown channel 'prices'; known are price_updates, signals, trades, portfolio",
        ),
        ('{"type": "subscribe", "channel": 5}', "`$.channel`"),
        ('{"type": "subscribe", "channel": "signals", "symbols": "AAPL"}', "Expected `array | null`"),
        ('{"type": "subscribe", "channel": "signals", "symbols": [1]}', "`$.symbols[0]`"),
        ('{"type": "subscribe", "channel": "signals", "symbols": [""]}', "`$.symbols[0]`"),
    ],
)
def test_what_is_wrong_is_told_behind_the_documents_words(text: str | bytes, says: str) -> None:
    message = refusal(text)
    assert message.startswith("Invalid message format: ")
    assert says in message


def test_a_long_name_is_not_repeated_in_full() -> None:
    assert len(refusal({"type": "x" * 60_000})) < 250
    assert len(refusal({"type": "subscribe", "channel": "x" * 60_000})) < 250
    assert len(refusal({"type": "subscribe", "channel": "x" * 240})) < 250


def test_a_message_cannot_name_symbols_without_end() -> None:
    many = [str(number) for number in range(MOST_SYMBOLS + 1)]
    assert "`$.symbols`" in refusal({"type": "subscribe", "channel": "signals", "symbols": many})
    most = trading.parse(json.dumps({"type": "subscribe", "channel": "signals", "symbols": many[1:]}))
    assert most == Subscribe(Channel.SIGNALS, frozenset(many[1:]))


@pytest.mark.parametrize("symbols", [None, []])
@pytest.mark.parametrize("kind", ["subscribe", "unsubscribe"])
def test_no_symbols_are_all_symbols(kind: str, symbols: Any) -> None:
    message = {"type": kind, "channel": "signals"}
    command = trading.parse(json.dumps({**message, "symbols": symbols}))
    assert command == trading.parse(json.dumps(message))
    assert isinstance(command, Subscribe | Unsubscribe)
    assert command.symbols is None


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
NEARLY = st.fixed_dictionaries(
    {"type": st.sampled_from(["ping", "subscribe", "unsubscribe"]) | ANYTHING},
    optional={
        "channel": st.sampled_from(list(Channel)) | ANYTHING,
        "symbols": st.lists(st.text(min_size=1), max_size=3) | ANYTHING,
    },
)
RIGHT = re.compile(
    r"Invalid message format: .*(not JSON: |nested too deeply|binary|ping, subscribe, unsubscribe"
    r"|price_updates, signals, trades, portfolio|Expected |required field)",
    re.DOTALL,
)


def attempt(text: str | bytes) -> Command | RequestError:
    try:
        return trading.parse(text)
    except RequestError as error:
        return error


@given(st.text() | st.binary() | (NEARLY | ANYTHING).map(json.dumps))
@example('{"type": "ping"}')
def test_whatever_comes_is_a_command_or_told_what_is_right(text: str | bytes) -> None:
    outcome = attempt(text)
    if isinstance(outcome, RequestError):
        assert outcome.code is ErrorCode.INVALID_MESSAGE
        assert RIGHT.match(outcome.message)
        assert json.loads(trading.error(outcome.message, TIME))["error"] == outcome.message
    else:
        assert isinstance(outcome, Ping | Subscribe | Unsubscribe)


# What a client has chosen, against plain sets of the symbols that there are.

SYMBOLS = ["AAPL", "MSFT", "TSLA"]
UNHEARD_OF = "NEW"
some_symbols = st.none() | st.frozensets(st.sampled_from(SYMBOLS), min_size=1)
steps = st.lists(st.tuples(st.sampled_from([Subscribe, Unsubscribe]), some_symbols))


def admitted(choice: Choice | None) -> set[str]:
    return {symbol for symbol in [*SYMBOLS, UNHEARD_OF] if choice is not None and choice.admits(symbol)}


def reached(made: list[tuple[type[Subscribe | Unsubscribe], frozenset[str] | None]]) -> Choice | None:
    choice: Choice | None = EVERYTHING
    for kind, symbols in made:
        if kind is Unsubscribe:
            choice = None if choice is None else choice.remove(symbols)
        else:
            choice = trading.only(symbols) if choice is None else choice.add(symbols)
    return choice


@given(steps, some_symbols)
def test_adding_and_removing_are_those_of_sets(made: Any, symbols: frozenset[str] | None) -> None:
    choice = reached(made)
    before = admitted(choice)
    named = {*SYMBOLS, UNHEARD_OF} if symbols is None else set(symbols)
    assert admitted(reached([*made, (Subscribe, symbols)])) == before | named
    assert admitted(reached([*made, (Unsubscribe, symbols)])) == before - named


@given(steps, steps)
def test_choices_are_equal_when_they_mean_the_same_and_only_then(one: Any, other: Any) -> None:
    first, second = reached(one), reached(other)
    assert (first == second) == (admitted(first) == admitted(second))
    assert first != second or hash(first) == hash(second)


commands = st.lists(
    st.builds(Subscribe, st.sampled_from(Channel), some_symbols)
    | st.builds(Unsubscribe, st.sampled_from(Channel), some_symbols)
)


@given(commands)
def test_the_first_subscription_replaces_the_automatic_one_and_the_others_add(
    given_in_turn: list[Subscribe | Unsubscribe],
) -> None:
    everything = {(channel, symbol) for channel in Channel for symbol in [*SYMBOLS, UNHEARD_OF]}
    selection, model, automatic = Selection(), set(everything), True
    for command in given_in_turn:
        before, as_it_was = selection, dict(selection.choices)
        selection = selection.apply(command)
        assert before.choices == as_it_was
        named = {
            (channel, symbol)
            for channel, symbol in everything
            if channel is command.channel and (command.symbols is None or symbol in command.symbols)
        }
        if isinstance(command, Unsubscribe):
            model -= named
        else:
            model = named if automatic else model | named
            automatic = False
        chosen = {
            (channel, symbol) for channel, choice in selection.choices.items() for symbol in admitted(choice)
        }
        assert chosen == model
        assert selection.automatic is automatic
        assert all(admitted(choice) for choice in selection.choices.values())


def test_leaving_a_channel_of_the_automatic_subscription_leaves_the_rest() -> None:
    left = (
        Selection()
        .apply(Unsubscribe(Channel.PRICES, frozenset({"AAPL"})))
        .apply(Unsubscribe(Channel.PORTFOLIO))
    )
    assert left.choices == {
        Channel.PRICES: Choice(frozenset({"AAPL"})),
        Channel.SIGNALS: EVERYTHING,
        Channel.TRADES: EVERYTHING,
    }


@pytest.mark.parametrize("kind", [Subscribe, Unsubscribe])
def test_a_choice_cannot_grow_without_end(kind: type[Subscribe | Unsubscribe]) -> None:
    half = MOST_SYMBOLS // 2
    selection = Selection()
    for start in (0, half):
        selection = selection.apply(
            kind(Channel.PRICES, frozenset(str(start + number) for number in range(half)))
        )
    with pytest.raises(RequestError, match=f"more than {MOST_SYMBOLS} symbols of price_updates"):
        selection.apply(kind(Channel.PRICES, frozenset({"one more"})))
    assert len(selection.choices[Channel.PRICES].symbols) == MOST_SYMBOLS


# What events say.


def test_fields_that_an_event_has_not_are_left_out() -> None:
    assert trading.price(b'{"price": 1, "symbol": "A", "change": null}') == b'{"price":1}'
    bare = trading.update("signal", EVERYTHING)(entry({"symbol": "A", "confidence": 0.5, "type": "breakout"}))
    assert json.loads(bare) == {
        "type": "signal",
        "symbol": "A",
        "confidence": 0.5,
        "timestamp": "2024-12-19T12:00:00.000Z",
    }
    account = b'{"positions": {"A": {"symbol": "A", "quantity": 2}}, "cash": 1.0}'
    assert json.loads(trading.portfolio(account, EVERYTHING)) == {
        "positions": {"A": {"symbol": "A", "quantity": 2}},
        "position_count": 1,
    }


def test_an_event_without_a_time_has_the_time_of_its_entry() -> None:
    trade = {"symbol": "A", "side": "BUY", "quantity": 1, "price": 2.5}
    render = trading.update("trade", EVERYTHING)
    assert json.loads(render(entry(trade)))["timestamp"] == "2024-12-19T12:00:00.000Z"
    assert json.loads(render(entry({**trade, "timestamp": "now"})))["timestamp"] == "now"


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("signal", {"symbol": "AAPL", "confidence": 1.0}),
        ("trade", {"symbol": "AAPL", "side": "BUY", "quantity": 1, "price": 2}),
    ],
)
def test_an_event_of_a_symbol_that_was_not_chosen_is_not_told(kind: trading.Kind, data: Any) -> None:
    assert trading.update(kind, trading.only(frozenset({"MSFT"})))(entry(data)) == b""
    assert trading.update(kind, Choice(frozenset({"AAPL"})))(entry(data)) == b""
    chosen = trading.update(kind, trading.only(frozenset({"AAPL"})))(entry(data))
    assert chosen == trading.update(kind, EVERYTHING)(entry(data))
    assert json.loads(chosen)["symbol"] == "AAPL"


def test_a_portfolio_shows_the_chosen_positions_and_the_sums_of_the_account() -> None:
    positions = {symbol: {"symbol": symbol, "quantity": 1} for symbol in SYMBOLS}
    body = json.dumps({"positions": positions, "total_pnl": 12.5}).encode()
    assert json.loads(trading.portfolio(body, Choice(frozenset({"MSFT"})))) == {
        "positions": {symbol: positions[symbol] for symbol in ("AAPL", "TSLA")},
        "total_pnl": 12.5,
        "position_count": 3,
    }


def test_decimals_reach_the_client_as_numbers() -> None:
    assert trading.price(b'{"price": "150.25", "volume": "1000000"}') == b'{"price":150.25,"volume":1000000}'


def told(body: bytes, at: float = AT) -> list[bytes]:
    """All that can be said of data."""
    return [
        trading.price(body),
        trading.portfolio(body, EVERYTHING),
        *(trading.update(kind, EVERYTHING)(Entry(1, at, at, body)) for kind in KINDS),
    ]


@given(ANYTHING, st.floats())
def test_of_data_that_does_not_fit_nothing_is_told(data: Any, at: float) -> None:
    assert told(json.dumps(data).encode(), at) == [b"", b"", b"", b""]


def test_of_data_that_is_nested_too_deeply_nothing_is_told() -> None:
    deep = b'{"more":' + 100_000 * b"[" + 100_000 * b"]" + b"}"
    assert told(deep) == [b"", b"", b"", b""]


@given(st.floats(), st.floats(allow_nan=False, allow_infinity=False))
def test_an_event_can_be_told_whatever_its_time(at: float, price: float) -> None:
    body = json.dumps({"symbol": "A", "side": "BUY", "quantity": 1, "price": price}).encode()
    assert json.loads(trading.update("trade", EVERYTHING)(Entry(1, at, at, body)))["price"] == price


@given(st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)), st.text())
def test_an_update_is_json_whatever_the_symbols_are_called(prices: dict[str, float], moment: str) -> None:
    parts = [(symbol, trading.price(entry({"price": price}).body)) for symbol, price in prices.items()]
    assert json.loads(trading.price_update(parts, moment)) == {
        "type": "price_update",
        "symbols": {symbol: {"price": price} for symbol, price in prices.items()},
        "timestamp": moment,
    }
