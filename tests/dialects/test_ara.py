"""The dialect against its document and the README beside it, line by line, and against all that is no message."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.core import instants, topics
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.events import Entry
from appliance.dialects import ara
from appliance.dialects.ara import (
    AlertConfig,
    ConfigureAlerts,
    Kind,
    Pong,
    RequestPrediction,
    Route,
    Severity,
    Subscribe,
)
from appliance.dialects.commands import Ping
from appliance.dialects.messages.ara import MOST_CHOICES

if TYPE_CHECKING:
    from collections.abc import Iterator

SPEC = Path(__file__).resolve().parents[1] / "spec"
DOCUMENT = (SPEC / "ara.md").read_text(encoding="utf-8")
FACTS = (SPEC / "README.md").read_text(encoding="utf-8").partition("**ara.**")[2].partition("\n\n")[0]
BLOCKS = re.findall(r"^```\w*\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)

AT = 1_704_110_400.0
TIME = "2024-01-01T12:00:00.000Z"
AAPL = Route(Kind.PREDICTIONS, "AAPL")


def entry(data: Any, at: float = AT) -> Entry:
    return Entry(7, at, at + 1, json.dumps(data).encode())


def refusal(kind: Kind, message: Any) -> str:
    """What is told of a message that cannot be understood; a text or bytes are the message itself."""
    text = message if isinstance(message, str | bytes) else json.dumps(message)
    with pytest.raises(RequestError) as raised:
        ara.parse(kind, text)
    assert raised.value.code is ErrorCode.INVALID_MESSAGE
    return raised.value.message


def attempt(kind: Kind, text: str | bytes) -> ara.Command | RequestError:
    try:
        return ara.parse(kind, text)
    except RequestError as error:
        return error


def parsed(kind: Kind, message: Any) -> ara.Command:
    return ara.parse(kind, json.dumps(message))


def configured(config: Any) -> AlertConfig:
    command = parsed(Kind.ALERTS, {"type": "configure_alerts", "config": config})
    assert isinstance(command, ConfigureAlerts)
    return command.config


# All that the appliance says on each path, and one of each message that it understands there.

EVERYWHERE = [ara.ping(TIME), ara.pong(), ara.error("Invalid JSON format", TIME)]
TOLD: dict[Kind, dict[str, dict[str, Any]]] = {
    kind: {message["type"]: message for message in map(json.loads, (*EVERYWHERE, *texts))}
    for kind, texts in {
        Kind.PREDICTIONS: [
            ara.connected(AAPL, "c1", TIME),
            ara.subscribed("AAPL", TIME),
            ara.prediction_requested("AAPL", TIME),
            ara.update(Kind.PREDICTIONS, "AAPL")(entry({"predicted_price": 150.25})),
        ],
        Kind.MARKET_DATA: [
            ara.connected(Route(Kind.MARKET_DATA, "AAPL"), "c1", TIME),
            ara.subscribed("AAPL", TIME),
            ara.update(Kind.MARKET_DATA, "AAPL")(entry({"price": 149.5})),
        ],
        Kind.ALERTS: [
            ara.connected(Route(Kind.ALERTS), "c1", TIME),
            ara.alerts_configured(AlertConfig(), TIME),
            ara.alert(AlertConfig())(entry({"type": "price_alert"})),
        ],
    }.items()
}
UNDERSTOOD: dict[Kind, dict[str, dict[str, Any]]] = {
    Kind.PREDICTIONS: {"pong": {}, "ping": {}, "subscribe": {"symbol": "MSFT"}, "request_prediction": {}},
    Kind.MARKET_DATA: {"pong": {}, "ping": {}, "subscribe": {"symbol": "MSFT"}},
    Kind.ALERTS: {"pong": {}, "ping": {}, "configure_alerts": {"config": {}}},
}
CLIENT_TYPES = sorted({named for messages in UNDERSTOOD.values() for named in messages})


# What the document says.


def listed(section: str, direction: str) -> set[str]:
    """The message types of a list in the document."""
    after = section.partition(f"**Message Types ({direction})**:\n")[2].partition("\n\n")[0]
    return set(re.findall(r"^- `(\w+)`", after, re.MULTILINE))


SECTIONS = {
    kind: next(section for section in DOCUMENT.split("\n### ") if section.partition("\n")[0].endswith(title))
    for kind, title in {
        Kind.PREDICTIONS: "Predictions WebSocket",
        Kind.MARKET_DATA: "Market Data WebSocket",
        Kind.ALERTS: "Alerts WebSocket",
    }.items()
}


@pytest.mark.parametrize("kind", Kind)
def test_each_endpoint_of_the_document_is_a_route(kind: Kind) -> None:
    endpoint = re.findall(
        r"^\*\*Endpoint\*\*: `ws://host:port([^?]+)\?token=YOUR_TOKEN`", SECTIONS[kind], re.MULTILINE
    )
    (path,) = (path.replace("{symbol}", "aapl") for path in endpoint)
    assert ara.route(path) == Route(kind, None if kind is Kind.ALERTS else "AAPL")


@pytest.mark.parametrize("kind", Kind)
def test_each_message_that_the_document_lists_for_a_path_is_said_there(kind: Kind) -> None:
    types = listed(SECTIONS[kind], "Server → Client")
    assert len(types) == 4
    assert types <= TOLD[kind].keys()


def test_each_message_that_the_document_lists_for_clients_is_understood() -> None:
    types = listed(SECTIONS[Kind.PREDICTIONS], "Client → Server")
    assert types == {"pong", "subscribe", "request_prediction"}
    assert types <= UNDERSTOOD[Kind.PREDICTIONS].keys()


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("named", CLIENT_TYPES)
def test_a_path_knows_its_own_messages_alone(kind: Kind, named: str) -> None:
    fields = UNDERSTOOD[kind].get(named)
    if fields is None:
        assert refusal(kind, {"type": named}) == f"Unknown message type: {named}"
    else:
        parsed(kind, {"type": named, **fields, "extra": [1]})


def branches(block: str) -> Iterator[tuple[str, set[str]]]:
    """Give each message type that an example tells apart, and the fields that it reads of it."""
    _, *found = re.split(r"(?:message\.type === |data\['type'\] == |case )'(\w+)'", block)
    for named, rest in zip(found[::2], found[1::2], strict=True):
        body = re.split(r"\n    \}\n|break;", rest)[0]
        yield named, set(re.findall(r"(?<=message\.)\w+|(?<=data\[')\w+", body))


def written(block: str) -> Iterator[dict[str, Any]]:
    """Give each message that an example sends; what stands in a variable is a symbol."""
    for text in re.findall(r"(?:JSON\.stringify|json\.dumps)\((\{.*?\})\)", block, re.DOTALL):
        quoted = re.sub(r"(\w+):", r'"\1":', text.replace("'", '"'))
        yield json.loads(re.sub(r": (\w+)", r': "\1"', quoted))


def addresses(block: str) -> list[str]:
    return re.findall(r"ws://[^\s'\"]+", block)


def broadcasts(block: str) -> dict[str, dict[str, Any]]:
    """Give the arguments of each function that an example broadcasts with."""
    if "await broadcast_" not in block:
        return {}
    calls = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)]
    return {
        ast.unparse(call.func): {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
        for call in calls
    }


def counted(block: str) -> list[str]:
    return re.findall(r'get_connection_count\("([^"]+)"\)', block)


def test_the_examples_of_the_document_are_all_tested() -> None:
    told = [
        [*branches(block), *written(block), *addresses(block), *broadcasts(block), *counted(block)]
        for block in BLOCKS
    ]
    assert len(BLOCKS) == DOCUMENT.count("```") / 2 == 11
    assert all(told)
    assert len([named for block in BLOCKS for named, _ in branches(block)]) == 11
    assert len([message for block in BLOCKS for message in written(block)]) == 6
    assert len([address for block in BLOCKS for address in addresses(block)]) == 7


@pytest.mark.parametrize("block", BLOCKS)
def test_what_an_example_reads_is_said(block: str) -> None:
    for named, fields in branches(block):
        messages = [told[named] for told in TOLD.values() if named in told]
        assert messages
        assert all(fields <= message.keys() for message in messages)


def test_the_fields_that_examples_read_are_found() -> None:
    read = {(named, field) for block in BLOCKS for named, fields in branches(block) for field in fields}
    assert read == {
        ("prediction_update", "data"),
        ("market_data_update", "data"),
        ("alert", "data"),
        ("error", "message"),
    }


@pytest.mark.parametrize("block", BLOCKS)
def test_what_an_example_sends_is_understood(block: str) -> None:
    commands = [parsed(Kind.PREDICTIONS, message) for message in written(block)]
    assert all(command in {Pong(), Subscribe("NEWSYMBOL")} for command in commands)


@pytest.mark.parametrize("block", BLOCKS)
def test_an_example_finds_its_way(block: str) -> None:
    for address in addresses(block):
        path = urlsplit(address).path
        # The complete client puts the symbol behind its endpoint itself.
        assert ara.route(path) or ara.route(f"{path}/AAPL")


def test_an_example_counts_what_clients_are_connected_to() -> None:
    (channel,) = (channel for block in BLOCKS for channel in counted(block))
    assert channel == TOLD[Kind.PREDICTIONS]["connected"]["channel"]


def test_what_an_example_broadcasts_arrives_as_it_is() -> None:
    calls = {name: given for block in BLOCKS for name, given in broadcasts(block).items()}
    assert calls.keys() == {"broadcast_prediction_update", "broadcast_market_data", "send_alert"}
    prediction, market = calls["broadcast_prediction_update"], calls["broadcast_market_data"]
    alert = calls["send_alert"]["alert_data"]
    arrived = [
        ara.update(Kind.PREDICTIONS, prediction["symbol"])(entry(prediction["prediction_data"])),
        ara.update(Kind.MARKET_DATA, market["symbol"])(entry(market["market_data"])),
        ara.alert(AlertConfig())(entry(alert)),
    ]
    assert [json.loads(text) for text in arrived] == [
        {
            "type": "prediction_update",
            "symbol": "AAPL",
            "data": {"predicted_price": 150.25, "confidence": 0.85, "timestamp": "2024-01-01T12:00:00Z"},
            "timestamp": TIME,
        },
        {
            "type": "market_data_update",
            "symbol": "AAPL",
            "data": {"price": 149.5, "volume": 1_000_000, "timestamp": "2024-01-01T12:00:00Z"},
            "timestamp": TIME,
        },
        {"type": "alert", "data": alert, "timestamp": TIME},
    ]


# What the README adds.


def shown() -> Iterator[dict[str, str]]:
    """Give each message of the README: its fields in their order, with their values where they are given."""
    for text in re.findall(r"`(\{.*?\})`", FACTS, re.DOTALL):
        yield dict(re.findall(r'"(\w+)"(?::\s*("[^"]*"|\{\.\.\.\}))?(?=\s*[,}])', text))


FROM_README = {message["type"].strip('"'): message for message in shown()}


def test_each_message_of_the_readme_is_tested() -> None:
    updates = {"connected", "subscribed", "prediction_requested", "", "alert", "error"}
    assert FROM_README.keys() == updates | {"configure_alerts"}


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (Kind.PREDICTIONS, "connected"),
        (Kind.MARKET_DATA, "connected"),
        (Kind.PREDICTIONS, "subscribed"),
        (Kind.MARKET_DATA, "subscribed"),
        (Kind.PREDICTIONS, "prediction_requested"),
        (Kind.ALERTS, "alert"),
        *((kind, "error") for kind in Kind),
    ],
)
def test_a_message_of_the_readme_has_its_fields_in_their_order(kind: Kind, named: str) -> None:
    message = TOLD[kind][named]
    assert list(message) == list(FROM_README[named])
    for field, value in FROM_README[named].items():
        assert not value or message[field] == json.loads(value)


@pytest.mark.parametrize(
    ("kind", "named"),
    [(Kind.PREDICTIONS, "prediction_update"), (Kind.MARKET_DATA, "market_data_update")],
)
def test_an_update_has_the_fields_of_the_readme_in_their_order(kind: Kind, named: str) -> None:
    assert list(TOLD[kind][named]) == list(FROM_README[""])


def test_connected_to_alerts_names_no_symbol() -> None:
    assert "`symbol` not on alerts" in FACTS
    assert list(TOLD[Kind.ALERTS]["connected"]) == [
        field for field in FROM_README["connected"] if field != "symbol"
    ]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Kind.PREDICTIONS, "Connected to the predictions stream for AAPL"),
        (Kind.MARKET_DATA, "Connected to the market data stream for AAPL"),
        (Kind.ALERTS, "Connected to the alerts stream"),
    ],
)
def test_connected_names_the_word_of_its_path_and_says_it_to_people(kind: Kind, words: str) -> None:
    message = TOLD[kind]["connected"]
    assert (message["channel"], message["connection_id"], message["message"]) == (kind.value, "c1", words)


def test_the_errors_of_the_readme_are_told_to_the_letter() -> None:
    assert re.findall(r"`(Invalid [^`]+|Unknown [^`]+)`", FACTS) == [
        refusal(Kind.PREDICTIONS, "{"),
        refusal(Kind.PREDICTIONS, {"type": "X"}),
    ]


def test_the_alerts_configuration_that_applies_is_told() -> None:
    config = AlertConfig(symbols=["msft", "AAPL"], types=["price_alert"], min_severity=Severity.HIGH)
    assert json.loads(ara.alerts_configured(config, TIME)) == {
        "type": "alerts_configured",
        "config": {"symbols": ["AAPL", "MSFT"], "types": ["price_alert"], "min_severity": "high"},
        "timestamp": TIME,
    }


def test_the_heartbeat() -> None:
    assert json.loads(ara.ping(TIME)) == {"type": "ping", "timestamp": TIME}
    assert json.loads(ara.pong()) == {"type": "pong"}


# Paths.


@pytest.mark.parametrize(
    ("path", "symbol"),
    [
        ("/ws/predictions/aapl", "AAPL"),
        ("/ws/predictions/BTC-USD", "BTC-USD"),
        ("/ws/predictions/BTC%2FUSD", "BTC/USD"),
        ("/ws/predictions/%5egspc", "^GSPC"),
        ("/ws/predictions/100%25", "100%"),
        ("/ws/predictions/%2541", "%41"),
        ("/ws/predictions/a+b", "A+B"),
        ("/ws/predictions/%C3%BCber", "ÜBER"),
        ("/ws/predictions/alerts", "ALERTS"),
    ],
)
def test_a_symbol_is_what_its_path_says_in_capitals(path: str, symbol: str) -> None:
    assert ara.route(path) == Route(Kind.PREDICTIONS, symbol)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/ws", "/ws/", "/ws/alerts/", "/ws/alerts/AAPL", "/ws/ALERTS", "/WS/alerts", "ws/alerts"),
        *("/ws/predictions", "/ws/predictions/", "/ws/market_data/AAPL", "/ws/trades/AAPL", "/v1/ws/alerts"),
        *("/ws/predictions/BTC/USD", "/ws/predictions/AAPL/", "/ws/predictions//AAPL"),
        *("/ws/predictions/AAPL?token=x", "/ws/predictions/AAPL#x", "/ws/alerts?token=x", "/ws/alerts\n"),
        *("/ws/predictions/%", "/ws/predictions/A%4", "/ws/predictions/%zz", "/ws/predictions/%+1"),
        *(
            "/ws/predictions/%FF",
            "/ws/predictions/%C3",
            "/ws/predictions/%ED%A0%80",
            "/ws/predictions/\ud800",
        ),
        *("/ws/predictions/*", "/ws/predictions/A%2A", "/ws/predictions/A%20B", "/ws/predictions/%00"),
        "/ws/predictions/" + "A" * 201,
        "/ws/predictions/" + "%C3%9F" * 101,  # 101 of the letter that two capitals stand for
    ],
)
def test_another_path_is_no_route(path: str) -> None:
    assert ara.route(path) is None


@given(st.text() | st.from_regex(r"/ws/(predictions|market-data|alerts)/.*"))
def test_a_route_has_a_symbol_that_a_topic_can_have(path: str) -> None:
    route = ara.route(path)
    if route is not None and route.kind is not Kind.ALERTS:
        assert route.symbol is not None
        assert topics.is_key(route.symbol)


@given(st.text(min_size=1, max_size=220), st.sampled_from([Kind.PREDICTIONS, Kind.MARKET_DATA]))
@example("A" * 200, Kind.MARKET_DATA)
def test_any_symbol_can_be_written_in_a_path(symbol: str, kind: Kind) -> None:
    wanted = Route(kind, symbol.upper()) if topics.is_key(symbol.upper()) else None
    assert ara.route(f"/ws/{kind}/{quote(symbol, safe='')}") == wanted


def test_a_route_knows_the_channel_of_its_topics() -> None:
    assert {kind: Route(kind).channel for kind in Kind} == {
        Kind.PREDICTIONS: "predictions",
        Kind.MARKET_DATA: "price",
        Kind.ALERTS: "alerts",
    }


# Messages of clients.


@pytest.mark.parametrize(
    ("kind", "message", "command"),
    [
        (Kind.ALERTS, {"type": "pong", "timestamp": 5}, Pong()),
        (Kind.MARKET_DATA, {"type": "ping"}, Ping()),
        (Kind.PREDICTIONS, {"type": "subscribe", "symbol": "msft"}, Subscribe("MSFT")),
        (Kind.MARKET_DATA, {"symbol": "BTC/USD", "id": 1, "type": "subscribe"}, Subscribe("BTC/USD")),
        (Kind.PREDICTIONS, {"type": "request_prediction"}, RequestPrediction()),
        (Kind.PREDICTIONS, {"type": "request_prediction", "symbol": None}, RequestPrediction()),
        (Kind.PREDICTIONS, {"type": "request_prediction", "symbol": "msft"}, RequestPrediction("MSFT")),
    ],
)
def test_a_message_is_understood(kind: Kind, message: Any, command: ara.Command) -> None:
    assert parsed(kind, message) == command


@pytest.mark.parametrize(
    ("kind", "message", "says"),
    [
        *(
            (kind, text, "^Invalid JSON format$")
            for kind in Kind
            for text in ("", "hello", '{"type": "pong"')
        ),
        (Kind.PREDICTIONS, '{"type": "pong"} {}', "^Invalid JSON format$"),
        (Kind.PREDICTIONS, '{"type": 5, bad', "^Invalid JSON format$"),
        (Kind.PREDICTIONS, '{"type": "other", bad', "^Invalid JSON format$"),
        (Kind.PREDICTIONS, '{"type": "pong", "at": NaN}', "^Invalid JSON format$"),
        (Kind.PREDICTIONS, '{"type": "\\ud800"}', "^Invalid JSON format$"),
        (Kind.PREDICTIONS, '{"type": "\ud800"}', "^Invalid JSON format$"),
        (Kind.PREDICTIONS, b'{"type": "pong"}', "JSON texts; this one was binary"),
        (Kind.PREDICTIONS, '{"type": "pong", "more": ' + "[" * 100_000, "nested too deeply"),
        (Kind.PREDICTIONS, '{"type": 5, "more": ' + "[" * 100_000, "nested too deeply"),
        (Kind.ALERTS, '{"type": "configure_alerts", "config": {"a": ' + "[" * 100_000, "nested too deeply"),
        (Kind.MARKET_DATA, [], r"a JSON object with a `type` \(pong, ping, subscribe\): Expected `object`"),
        (Kind.ALERTS, None, r"a JSON object with a `type` \(pong, ping, configure_alerts\)"),
        (Kind.PREDICTIONS, {}, "needs a `type`: pong, ping, subscribe, request_prediction$"),
        (Kind.PREDICTIONS, {"type": None}, "needs a `type`: pong"),
        (Kind.PREDICTIONS, {"type": ""}, "^Unknown message type: $"),
        (Kind.PREDICTIONS, {"type": "Pong"}, "^Unknown message type: Pong$"),
        (Kind.PREDICTIONS, {"type": "x" * 60_000}, "^Unknown message type: x{100}$"),
        (Kind.PREDICTIONS, {"type": "subscribe"}, "Malformed subscribe message: .*required field `symbol`"),
        (Kind.PREDICTIONS, {"type": "subscribe", "symbol": 5}, r"Expected `str`, got `int` - at `\$.symbol`"),
        (Kind.PREDICTIONS, {"type": "subscribe", "symbol": ""}, "^'' is no symbol: 1 to 200 visible"),
        (Kind.PREDICTIONS, {"type": "subscribe", "symbol": "A B"}, "^'A B' is no symbol"),
        (Kind.PREDICTIONS, {"type": "subscribe", "symbol": "*"}, r"^'\*' is no symbol: .* without `\*`$"),
        (Kind.PREDICTIONS, {"type": "subscribe", "symbol": "x" * 60_000}, "^'x{200}…' is no symbol"),
        (Kind.PREDICTIONS, {"type": "request_prediction", "symbol": []}, r"at `\$.symbol`"),
        (Kind.PREDICTIONS, {"type": "request_prediction", "symbol": ""}, "'' is no symbol"),
        (Kind.ALERTS, {"type": "configure_alerts"}, "required field `config`"),
        (Kind.ALERTS, {"type": "configure_alerts", "config": []}, r"Expected `object`.* at `\$.config`"),
    ],
)
def test_what_is_wrong_is_told(kind: Kind, message: Any, says: str) -> None:
    assert re.search(says, refusal(kind, message))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (
            {"symbol": ["AAPL"]},
            r"'symbol' in `config`; known are symbols, types, min_severity \(or severity\)",
        ),
        ({"x" * 60_000: 1}, "^Unknown key 'x{200}…'"),
        ({"symbols": "AAPL"}, r"Malformed `config`: Expected `array \| null`, got `str` - at `\$.symbols`"),
        ({"symbols": ["AAPL", 5]}, r"at `\$.symbols\[1\]`"),
        ({"symbols": ["A*"]}, r"'A\*' is no symbol"),
        ({"types": [""]}, r"at `\$.types\[0\]`"),
        ({"types": ["x"] * (MOST_CHOICES + 1)}, r"length <= 1000 - at `\$.types`"),
        ({"min_severity": 3}, r"Expected `str \| null`, got `int` - at `\$.min_severity`"),
        ({"min_severity": "urgent"}, "'urgent'; known are low, medium, high, critical$"),
        ({"severity": "info"}, "'info'; known are low, medium, high, critical$"),
        ({"severity": "low", "min_severity": "low"}, "another name for `min_severity`"),
    ],
)
def test_what_is_wrong_in_a_configuration_is_told(config: Any, says: str) -> None:
    assert re.search(says, refusal(Kind.ALERTS, {"type": "configure_alerts", "config": config}))


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
WORDS = st.sampled_from([*CLIENT_TYPES, "AAPL", "btc/usd", "high", "urgent"])
CHOICES = st.lists(WORDS, max_size=3) | ANYTHING
NEARLY = st.fixed_dictionaries(
    {"type": WORDS | ANYTHING},
    optional={
        "symbol": WORDS | ANYTHING,
        "config": st.fixed_dictionaries(
            {},
            optional={
                "symbols": CHOICES,
                "types": CHOICES,
                "min_severity": WORDS | ANYTHING,
                "severity": WORDS | ANYTHING,
                "more": ANYTHING,
            },
        )
        | ANYTHING,
    },
)
MESSAGES = (NEARLY | ANYTHING).map(json.dumps)


@st.composite
def torn(draw: st.DrawFn) -> str:
    """A message with something missing or something more in the middle."""
    text = draw(MESSAGES)
    start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
    return text[:start] + draw(st.text(max_size=3)) + text[end:]


@given(
    kind=st.sampled_from(Kind),
    text=st.text() | st.text(st.characters()) | st.binary() | MESSAGES | torn(),
)
def test_whatever_comes_is_a_command_or_told(kind: Kind, text: str | bytes) -> None:
    outcome = attempt(kind, text)
    if isinstance(outcome, RequestError):
        assert outcome.code is ErrorCode.INVALID_MESSAGE
        assert json.loads(ara.error(outcome.message, TIME))["message"] == outcome.message
    else:
        assert isinstance(outcome, Ping | Pong | Subscribe | RequestPrediction | ConfigureAlerts)


# Which alerts a client wants.


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({}, AlertConfig()),
        ({"symbols": [], "types": [], "min_severity": None, "severity": None}, AlertConfig()),
        ({"symbols": None, "types": None}, AlertConfig()),
        ({"symbols": ["aapl", "AAPL", "Msft"]}, AlertConfig(symbols=["MSFT", "AAPL"])),
        ({"types": ["b", "a", "b"]}, AlertConfig(types=["a", "b"])),
        ({"min_severity": "high"}, AlertConfig(min_severity=Severity.HIGH)),
        ({"severity": "High"}, AlertConfig(min_severity=Severity.HIGH)),
    ],
)
def test_a_configuration_is_understood(config: Any, wanted: AlertConfig) -> None:
    assert configured(config) == wanted
    assert hash(configured(config)) == hash(wanted)


HIGH = AlertConfig(min_severity=Severity.HIGH)


@pytest.mark.parametrize(
    ("config", "alert", "admitted"),
    [
        (AlertConfig(), {}, True),
        (AlertConfig(symbols=["aapl"]), {"symbol": "Aapl"}, True),
        (AlertConfig(symbols=["AAPL"]), {"symbol": "MSFT"}, False),
        (AlertConfig(symbols=["AAPL"]), {}, False),
        (AlertConfig(symbols=["AAPL"]), {"symbol": None}, False),
        (AlertConfig(types=["price_alert"]), {"type": "price_alert"}, True),
        (AlertConfig(types=["price_alert"]), {"type": "Price_Alert"}, False),
        (AlertConfig(types=["price_alert"]), {"type": ["price_alert"]}, False),
        (HIGH, {"severity": "low"}, False),
        (HIGH, {"severity": "medium"}, False),
        (HIGH, {"severity": "high"}, True),
        (HIGH, {"severity": "CRITICAL"}, True),
        (HIGH, {"severity": "urgent"}, False),
        (HIGH, {"severity": 4}, False),
        (HIGH, {}, False),
        (AlertConfig(symbols=["AAPL"], min_severity=Severity.LOW), {"symbol": "AAPL"}, False),
    ],
)
def test_a_client_is_told_of_what_it_wants(
    config: AlertConfig,
    alert: dict[str, Any],
    admitted: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert config.admits(alert) is admitted
    text = ara.alert(config)(entry(alert))
    assert bool(text) is admitted
    assert not admitted or json.loads(text) == {"type": "alert", "data": alert, "timestamp": TIME}


CONFIGS = st.builds(
    AlertConfig,
    symbols=st.sets(st.sampled_from(["A", "B", "C"])),
    types=st.sets(st.sampled_from(["x", "y"])),
    min_severity=st.none() | st.sampled_from(Severity),
)
ALERTS = [
    {"symbol": symbol, "type": kind, "severity": severity}
    for symbol in (None, "A", "B", "C", "D")
    for kind in (None, "x", "y", "z")
    for severity in (None, "low", "medium", "high", "critical", "urgent")
]


@given(CONFIGS, CONFIGS)
def test_configurations_are_equal_when_they_admit_the_same(one: AlertConfig, other: AlertConfig) -> None:
    same = all(one.admits(alert) == other.admits(alert) for alert in ALERTS)
    assert (one == other) is same
    assert not same or hash(one) == hash(other)


@given(CONFIGS, st.sampled_from(ALERTS))
def test_who_asks_for_less_gets_no_more(config: AlertConfig, alert: dict[str, Any]) -> None:
    for severity in Severity:
        if severity > (config.min_severity or 0) and attrs.evolve(config, min_severity=severity).admits(
            alert
        ):
            assert config.admits(alert)


@given(config=CONFIGS, random=st.randoms(use_true_random=False))
def test_a_configuration_means_the_same_however_it_is_written(config: AlertConfig, random: Any) -> None:
    told = config.told()
    for field in ("symbols", "types"):
        told[field] = random.sample(told[field] * 2, 2 * len(told[field]))
    told["symbols"] = [random.choice((symbol.lower(), symbol)) for symbol in told["symbols"]]
    if random.random() < 0.5:
        told["severity"] = told.pop("min_severity")
    assert configured(told) == config
    assert json.loads(ara.alerts_configured(configured(told), TIME))["config"] == config.told()


# Events to texts.


@given(
    kind=st.sampled_from([Kind.PREDICTIONS, Kind.MARKET_DATA]),
    symbol=st.text(min_size=1),
    data=ANYTHING,
    at=st.floats(0, 4e9),
)
def test_an_update_is_json_around_the_exact_body(kind: Kind, symbol: str, data: Any, at: float) -> None:
    body = json.dumps(data, ensure_ascii=False).encode()
    text = ara.update(kind, symbol)(Entry(7, at, 0.0, body))
    assert b'"data":' + body + b',"timestamp":' in text
    message = json.loads(text)
    assert (message["symbol"], message["data"]) == (symbol, data)
    assert message["timestamp"] == instants.timestamp(at)


@given(data=st.dictionaries(st.text(), ANYTHING, max_size=4), at=st.floats(0, 4e9))
def test_an_alert_is_json_around_the_exact_body(data: dict[str, Any], at: float) -> None:
    body = json.dumps(data, ensure_ascii=False).encode()
    text = ara.alert(AlertConfig())(Entry(7, at, 0.0, body))
    assert text.startswith(b'{"type":"alert","data":' + body + b',"timestamp":')
    assert json.loads(text) == {"type": "alert", "data": data, "timestamp": instants.timestamp(at)}


@given(text=st.text(), symbol=st.text(min_size=1))
def test_an_answer_is_json_whatever_it_quotes(text: str, symbol: str) -> None:
    assert json.loads(ara.error(text, TIME)) == {"type": "error", "message": text, "timestamp": TIME}
    assert json.loads(ara.subscribed(symbol, TIME))["symbol"] == symbol
    assert json.loads(ara.prediction_requested(symbol, TIME))["symbol"] == symbol
    connected = json.loads(ara.connected(Route(Kind.PREDICTIONS, symbol), text, TIME))
    assert (connected["symbol"], connected["connection_id"]) == (symbol, text)
