"""The dialect against its document, line by line, and against everything that is no message."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.core.errors import ErrorCode, RequestError
from appliance.core.events import Entry, Mode
from appliance.core.history import Position, Resumption, Retention, Since, Stretch, Topic
from appliance.core.places import Asked, Place
from appliance.core.subscriptions import Joined
from appliance.core.topics import check
from appliance.dialects import cryptointel
from appliance.dialects.commands import Authenticate, Command, History, Ping, Subscribe, Unsubscribe
from appliance.dialects.complaint import Complaint
from appliance.dialects.cryptointel import Form
from appliance.dialects.messages.cryptointel import MOST_NAMES
from tests.dialects.protocol_page import Step, steps

DOCUMENT = (Path(__file__).resolve().parents[1] / "spec" / "cryptointel.md").read_text(encoding="utf-8")
EXAMPLES: dict[str, Any] = {
    section.partition("\n")[0]: json.loads(example)
    for section in re.split(r"^#+ ", DOCUMENT, flags=re.MULTILINE)
    for example in re.findall(r"^```json\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
}
"""The document's messages by the headings that they stand under."""

TIME = "2025-12-02T12:30:00Z"


def topic(name: str, message: str = "price_update", *, mode: Mode = Mode.STATE) -> Topic:
    return Topic(name, mode, message, "e1", Retention(10, None, 10_000))


def entry(data: Any, offset: int = 7) -> Entry:
    return Entry(offset, 0.0, 0.0, json.dumps(data).encode())


def refusal(text: str | bytes) -> RequestError:
    with pytest.raises(RequestError) as raised:
        cryptointel.parse(text)
    return raised.value


def attempt(text: str) -> Command | RequestError:
    try:
        return cryptointel.parse(text)
    except RequestError as error:
        return error


def refused(message: Any) -> str:
    error = refusal(json.dumps(message))
    assert error.code is ErrorCode.INVALID_MESSAGE
    return error.message


# What the document says.

COMMANDS: dict[str, Command] = {
    "Authentication": Authenticate("your-jwt-token"),
    "Subscribe to Channels": Subscribe(
        form=Form.DOCUMENT, names=("price:bitcoin", "signals:all", "market:summary")
    ),
    "Unsubscribe from Channels": Unsubscribe(form=Form.DOCUMENT, names=("price:bitcoin",)),
    "Ping (Keep-alive)": Ping(),
}
UPDATES = {
    "Price Update": "price:BTC",
    "Signal Alert": "signals:high",
    "Market Data": "market:summary",
    "System Status": "system:status",
}
ANSWERS = {
    "Pong Response": cryptointel.pong(Form.DOCUMENT, TIME),
    "Error Message": cryptointel.error(
        Form.DOCUMENT,
        ErrorCode.INVALID_CHANNEL,
        "Channel 'price:invalid' does not exist",
        Complaint(timestamp=TIME),
    ),
}


def test_every_message_of_the_document_is_tested() -> None:
    assert EXAMPLES.keys() == COMMANDS.keys() | UPDATES.keys() | ANSWERS.keys()
    assert len(EXAMPLES) == DOCUMENT.count("```json")


@pytest.mark.parametrize("heading", COMMANDS)
def test_the_documents_commands_are_understood(heading: str) -> None:
    assert cryptointel.parse(json.dumps(EXAMPLES[heading])) == COMMANDS[heading]


@pytest.mark.parametrize("heading", UPDATES)
def test_the_documents_updates_are_sent_with_an_offset_more(heading: str) -> None:
    shown = EXAMPLES[heading]
    label = shown.get("channel", UPDATES[heading])
    render = cryptointel.update(Form.DOCUMENT, topic(UPDATES[heading], shown["type"]), label)
    assert json.loads(render(entry(shown["data"]))) == {"channel": label, **shown, "offset": 7}


@pytest.mark.parametrize("heading", ANSWERS)
def test_the_documents_answers_are_given_to_the_letter(heading: str) -> None:
    assert json.loads(ANSWERS[heading]) == EXAMPLES[heading]


def test_every_code_of_the_document_can_be_sent() -> None:
    codes = re.findall(r"^\| `([A-Z_]+)` \|", DOCUMENT, re.MULTILINE)
    assert len(codes) == 7
    assert set(codes) <= set(ErrorCode)


def test_every_channel_of_the_document_can_be_named() -> None:
    names = re.findall(r"`((?:price|signals|market):[\w:{}]+)`", DOCUMENT)
    assert len(names) == 12
    for name in names:
        concrete = name.replace("{type}", "price_anomaly")
        command = cryptointel.parse(json.dumps({"type": "subscribe", "channels": [concrete]}))
        assert command == Subscribe(form=Form.DOCUMENT, names=(check(concrete),))


# What the document's form has beyond it.


def test_a_subscription_may_have_a_limit_and_positions() -> None:
    message = {
        "type": "subscribe",
        "channels": ["price:*"],
        "limit": 2,
        "recover": {"price:BTC": {"epoch": "e1", "offset": 41}},
    }
    assert cryptointel.parse(json.dumps(message)) == Subscribe(
        form=Form.DOCUMENT, names=("price:*",), limit=2.0, recover={"price:BTC": Position("e1", 41)}
    )


def test_a_name_that_is_given_twice_counts_once() -> None:
    command = cryptointel.parse('{"type": "subscribe", "channels": ["a:1", "b:2", "a:1"]}')
    assert command == Subscribe(form=Form.DOCUMENT, names=("a:1", "b:2"))


def test_fields_that_are_not_known_are_left_alone() -> None:
    message = (
        '{"id": 1, "channels": ["a:1"], "type": "subscribe", "params": {"exchanges": ["x"]}, "new": null}'
    )
    assert cryptointel.parse(message) == Subscribe(form=Form.DOCUMENT, names=("a:1",))


BITCOIN = topic("price:BTC")
SIGNALS = topic("signals:all", "signal_alert", mode=Mode.LOG)


def test_an_answer_tells_the_position_of_each_topic() -> None:
    joined = [
        Joined(topic=BITCOIN, label="price:bitcoin", offset=9, after=8),
        Joined(topic=SIGNALS, label="signals:all", offset=5, after=5),
    ]
    assert json.loads(cryptointel.subscribed(Form.DOCUMENT, None, joined, [])) == {
        "type": "subscribed",
        "channels": [
            {"channel": "price:bitcoin", "mode": "state", "epoch": "e1", "offset": 9},
            {"channel": "signals:all", "mode": "log", "epoch": "e1", "offset": 5},
        ],
    }


@pytest.mark.parametrize(
    ("resumption", "told"),
    [
        (Resumption(after=4, recovered=True, gap=None), {"recovered": True}),
        (Resumption(after=8, recovered=False, gap=None), {"recovered": False}),
        (
            Resumption(after=8, recovered=False, gap=(5, 8)),
            {"recovered": False, "gap": {"from": 5, "to": 8}},
        ),
    ],
)
@pytest.mark.parametrize("form", Form)
def test_an_answer_tells_what_came_of_a_recovery(
    form: Form, resumption: Resumption, told: dict[str, Any]
) -> None:
    joined = Joined(topic=BITCOIN, label="price:BTC", offset=9, after=resumption.after, resumption=resumption)
    answer = json.loads(cryptointel.subscribed(form, "prices", [joined], []))
    position = {"channel": "price:BTC", "mode": "state", "epoch": "e1", "offset": 9}
    assert answer.get("data", answer)["channels"] == [{**position, **told}]


@pytest.mark.parametrize("form", Form)
def test_an_answer_tells_of_what_times_something_may_be_missing(form: Form) -> None:
    resumption = Resumption(after=4, recovered=False, gap=None, missing=(0.0, 2.5))
    joined = Joined(topic=BITCOIN, label="price:BTC", offset=9, after=4, resumption=resumption)
    answer = json.loads(cryptointel.subscribed(form, "prices", [joined], []))
    told = answer.get("data", answer)["channels"][0]
    gap = {"since": "1970-01-01T00:00:00.000Z", "until": "1970-01-01T00:00:02.500Z"}
    assert (told["recovered"], told["gap"]) == (False, gap)


@pytest.mark.parametrize("form", Form)
def test_an_answer_tells_the_pattern_and_the_limit(form: Form) -> None:
    joined = Joined(topic=BITCOIN, label="price:BTC", offset=9, after=8, pattern="price:*", limit=2.0)
    answer = json.loads(cryptointel.subscribed(form, "prices", [joined], ["price:*", "new:*"]))
    content = answer.get("data", answer)
    assert content["patterns"] == ["price:*", "new:*"]
    assert [(at["pattern"], at["limit"]) for at in content["channels"]] == [("price:*", 2.0)]


def test_a_subscription_may_begin_at_a_time_and_ask_for_times() -> None:
    message = {
        "type": "subscribe",
        "channels": ["price:*"],
        "times": True,
        "recover": {"price:*": {"since": "1970-01-01T01:00:01.5+01:00"}},
    }
    wanted = Subscribe(form=Form.DOCUMENT, names=("price:*",), recover={"price:*": Since(1.5)}, times=True)
    assert cryptointel.parse(json.dumps(message)) == wanted


def test_the_librarys_form_has_no_times() -> None:
    command = cryptointel.parse('{"type": "subscribe", "channel": "price:BTC", "times": true}')
    assert command == Subscribe(form=Form.LIBRARY, names=("price:BTC",), label="price:BTC")


def test_an_update_may_carry_its_times() -> None:
    render = cryptointel.update(Form.DOCUMENT, BITCOIN, "price:BTC", times=True)
    assert render(Entry(7, 1.0, 2.25, b'{"price": 1}')) == (
        b'{"type":"price_update","channel":"price:BTC","offset":7,"at":"1970-01-01T00:00:01.000Z",'
        b'"received":"1970-01-01T00:00:02.250Z","data":{"price": 1}}'
    )


# What a topic keeps.


@pytest.mark.parametrize(
    ("message", "command"),
    [
        ({}, History(name="a:1", asked=Asked())),
        ({"after": 12, "limit": 5}, History(name="a:1", asked=Asked(after=12), limit=5)),
        ({"after": "e0:12"}, History(name="a:1", asked=Asked(after=Position("e0", 12)))),
        ({"after": "e0-12"}, History(name="a:1", asked=Asked(after=Place("e0", 12)))),
        ({"to": 3, "after": None}, History(name="a:1", asked=Asked(to=3))),
        ({"to": "e0:3"}, History(name="a:1", asked=Asked(to=Position("e0", 3)))),
        (
            {"since": "1970-01-01T00:00:01Z", "until": "1970-01-01T01:00:02+01:00"},
            History(name="a:1", asked=Asked(since=1.0, until=2.0)),
        ),
        ({"id": None}, History(name="a:1", asked=Asked(), tag=b"null")),
        ({"id": {"n": [1, "x"]}}, History(name="a:1", asked=Asked(), tag=b'{"n": [1, "x"]}')),
        ({"new": 1}, History(name="a:1", asked=Asked())),
    ],
)
def test_a_client_may_ask_for_what_a_topic_keeps(message: dict[str, Any], command: History) -> None:
    assert cryptointel.parse(json.dumps({"type": "history", "channel": "a:1", **message})) == command


def test_what_is_kept_is_told_with_its_times_and_the_places_before_and_behind_it() -> None:
    found = Stretch(4, 9, [Entry(5, 1.0, 2.0, b'{"n": 5}'), Entry(9, 3.0, 4.0, b"{}")])
    resumption = Resumption(after=4, recovered=True, gap=None)
    assert json.loads(cryptointel.history(SIGNALS, "signals:all", found, resumption, b'"mine"')) == {
        "type": "history",
        "id": "mine",
        "channel": "signals:all",
        "mode": "log",
        "epoch": "e1",
        "offset": 9,
        "position": "e1:9",
        "start": "e1:4",
        "recovered": True,
        "events": [
            {
                "offset": 5,
                "at": "1970-01-01T00:00:01.000Z",
                "received": "1970-01-01T00:00:02.000Z",
                "data": {"n": 5},
            },
            {
                "offset": 9,
                "at": "1970-01-01T00:00:03.000Z",
                "received": "1970-01-01T00:00:04.000Z",
                "data": {},
            },
        ],
    }


def test_an_answer_without_an_id_has_none() -> None:
    answer = json.loads(cryptointel.history(SIGNALS, "signals:all", Stretch(0, 0, []), None, None))
    assert answer.keys() == {"type", "channel", "mode", "epoch", "offset", "position", "start", "events"}


def test_other_answers() -> None:
    assert json.loads(cryptointel.authenticated("alice")) == {
        "type": "authenticated",
        "data": {"name": "alice"},
    }
    assert json.loads(cryptointel.unsubscribed(Form.DOCUMENT, None, ["price:bitcoin"])) == {
        "type": "unsubscribed",
        "channels": ["price:bitcoin"],
    }


def test_what_becomes_of_a_session_that_does_not_stay_for_ever() -> None:
    assert json.loads(cryptointel.authenticated("alice", TIME))["data"] == {"name": "alice", "expires": TIME}
    told = {"expires": TIME, "seconds": 59.988}
    for form in (Form.DOCUMENT, None):
        assert json.loads(cryptointel.expiring(form, TIME, 59.98765)) == {"type": "expiring", **told}
    assert json.loads(cryptointel.expiring(Form.LIBRARY, TIME, 59.98765)) == {
        "type": "expiring",
        "data": told,
    }
    names, reason = ["price:BTC"], ErrorCode.UNAUTHORIZED
    assert json.loads(cryptointel.unsubscribed(Form.DOCUMENT, None, names, reason=reason)) == {
        "type": "unsubscribed",
        "channels": names,
        "reason": "UNAUTHORIZED",
    }
    assert json.loads(cryptointel.unsubscribed(Form.LIBRARY, "prices", names, reason=reason)) == {
        "type": "unsubscription_success",
        "data": {"channel": "prices", "channels": names, "reason": "UNAUTHORIZED"},
    }


def test_an_update_goes_under_the_name_that_the_client_wrote() -> None:
    render = cryptointel.update(Form.DOCUMENT, BITCOIN, "price:bitcoin")
    assert json.loads(render(entry({}))) == {
        "type": "price_update",
        "channel": "price:bitcoin",
        "offset": 7,
        "data": {},
    }


# The form of the library in circulation.


@pytest.mark.parametrize(
    ("channel", "params", "names"),
    [
        ("prices", {"symbols": ["BTC", "ETH"]}, ["price:BTC", "price:ETH"]),
        ("prices", {"symbols": ["BTC", "BTC"], "exchanges": ["x"]}, ["price:BTC"]),
        ("prices", {"symbols": []}, ["price:*"]),
        ("prices", {}, ["price:*"]),
        ("signals", {"types": ["a", "b"]}, ["signals:type:a", "signals:type:b"]),
        ("signals", {"severities": ["high"]}, ["signals:severity:high"]),
        (
            "signals",
            {"types": ["a", "b"], "severities": ["high", "low"]},
            [
                "signals:type:a:severity:high",
                "signals:type:a:severity:low",
                "signals:type:b:severity:high",
                "signals:type:b:severity:low",
            ],
        ),
        ("signals", {"types": [], "severities": []}, ["signals:all"]),
        ("market_data", {"markets": ["summary"]}, ["market:summary"]),
        ("market_data", {}, ["market:*"]),
        ("predictions", {"symbols": ["BTC"]}, ["predictions:BTC"]),
        ("predictions", {}, ["predictions:*"]),
        ("price:BTC", {}, ["price:BTC"]),
        ("price:*", {"symbols": ["BTC"]}, ["price:*"]),
    ],
)
def test_the_librarys_channels_are_topics(channel: str, params: dict[str, Any], names: list[str]) -> None:
    message = {"type": "subscribe", "channel": channel, "params": params}
    assert cryptointel.parse(json.dumps(message)) == Subscribe(
        form=Form.LIBRARY, names=tuple(names), label=channel
    )


def test_the_library_leaves_a_channel_whole_or_in_part() -> None:
    whole = cryptointel.parse('{"type": "unsubscribe", "channel": "prices"}')
    assert whole == Unsubscribe(form=Form.LIBRARY, names=(), label="prices")
    part = cryptointel.parse('{"type": "unsubscribe", "channel": "prices", "params": {"symbols": ["BTC"]}}')
    assert part == Unsubscribe(form=Form.LIBRARY, names=("price:BTC",), label="prices")


LIBRARY = {
    "price_update": cryptointel.update(Form.LIBRARY, BITCOIN, "prices")(entry({"price": 1})),
    "signal_notification": cryptointel.update(Form.LIBRARY, SIGNALS, "signals")(entry({"id": "s1"})),
    "market_data": cryptointel.update(Form.LIBRARY, topic("market:summary", "market_data"), "market_data")(
        entry({})
    ),
    "subscription_success": cryptointel.subscribed(Form.LIBRARY, "prices", [], ["price:*"]),
    "subscription_error": cryptointel.error(
        Form.LIBRARY, ErrorCode.INVALID_CHANNEL, "no", Complaint(timestamp=TIME, label="prices")
    ),
    "unsubscription_success": cryptointel.unsubscribed(Form.LIBRARY, "prices", ["price:BTC"]),
    "pong": cryptointel.pong(Form.LIBRARY, TIME),
    "error": cryptointel.error(Form.LIBRARY, ErrorCode.INVALID_MESSAGE, "no", Complaint(timestamp=TIME)),
    "gap": cryptointel.gap(Form.LIBRARY, BITCOIN, "prices")(3, 5),
}


@pytest.mark.parametrize("kind", LIBRARY)
def test_the_library_finds_every_content_under_data(kind: str) -> None:
    message = json.loads(LIBRARY[kind])
    assert message["type"] == kind
    assert message.keys() <= {"type", "data", "channel", "topic", "offset"}
    assert isinstance(message["data"], dict)


def test_the_library_is_told_which_topic_its_channel_means() -> None:
    assert json.loads(LIBRARY["price_update"]) == {
        "type": "price_update",
        "channel": "prices",
        "topic": "price:BTC",
        "offset": 7,
        "data": {"price": 1},
    }
    joined = Joined(topic=BITCOIN, label="prices", offset=9, after=8)
    assert json.loads(cryptointel.subscribed(Form.LIBRARY, "prices", [joined], []))["data"] == {
        "channel": "prices",
        "channels": [{"channel": "price:BTC", "mode": "state", "epoch": "e1", "offset": 9}],
    }


# Errors and gaps.


@pytest.mark.parametrize("code", ErrorCode)
@pytest.mark.parametrize(("form", "field"), [(Form.DOCUMENT, "error"), (Form.LIBRARY, "data")])
def test_every_code_reads_the_same_in_its_form(code: ErrorCode, form: Form, field: str) -> None:
    complaint = Complaint(timestamp=TIME, retry_after=2.00049, resume={"price:BTC": ("e1", 9)})
    assert json.loads(cryptointel.error(form, code, "why", complaint)) == {
        "type": "error",
        field: {
            "code": code.value,
            "message": "why",
            "timestamp": TIME,
            "retry_after": 2.0,
            "resume": {"price:BTC": {"epoch": "e1", "offset": 9}},
        },
    }


@pytest.mark.parametrize(
    ("form", "kind", "field"),
    [(Form.DOCUMENT, "error", "error"), (Form.LIBRARY, "subscription_error", "data")],
)
def test_a_refused_channel_is_named(form: Form, kind: str, field: str) -> None:
    complaint = Complaint(timestamp=TIME, label="price:invalid")
    message = json.loads(cryptointel.error(form, ErrorCode.INVALID_CHANNEL, "no", complaint))
    assert (message["type"], message[field]["channel"]) == (kind, "price:invalid")


def made(shown: dict[str, Any]) -> bytes:
    """Make a message of the page anew from what it says."""
    content = shown.get("data") or shown.get("error") or shown
    if shown["type"] == "expiring":
        return cryptointel.expiring(Form.DOCUMENT, content["expires"], content["seconds"])
    if shown["type"] == "unsubscribed":
        reason = ErrorCode(content["reason"])
        return cryptointel.unsubscribed(Form.DOCUMENT, None, content["channels"], reason=reason)
    if shown["type"] == "gap":
        form = Form.LIBRARY if "data" in shown else Form.DOCUMENT
        of = topic(content.get("topic", content["channel"]))
        return cryptointel.gap(form, of, content["channel"])(content["from"], content["to"])
    resume = {name: (at["epoch"], at["offset"]) for name, at in content.get("resume", {}).items()}
    complaint = Complaint(
        timestamp=content["timestamp"], retry_after=content.get("retry_after"), resume=resume
    )
    return cryptointel.error(Form.DOCUMENT, ErrorCode(content["code"]), content["message"], complaint)


@pytest.mark.parametrize(
    "step", [step for step in steps() if step.mark == "made"], ids=lambda step: step.line
)
def test_the_page_shows_rare_messages_as_they_are_made(step: Step) -> None:
    shown = json.loads(step.text)
    assert json.loads(made(shown)) == shown


# What is no message.


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("hello", "not JSON"),
        ('{"type": "ping"', "not JSON"),
        ('{"type": "ping"} {}', "not JSON"),
        ('{"type": 5, bad', "not JSON"),
        ('{"type": "\\ud800"}', "not JSON"),
        ('{"type": "ping", "more": ' + "[" * 100_000, "nested too deeply"),
        ('{"type": 5, "more": ' + "[" * 100_000, "nested too deeply"),
        ("[]", "a JSON object with a `type`"),
        ('"ping"', "a JSON object with a `type`"),
        ("null", "a JSON object with a `type`"),
        ("{}", "no `type`"),
        ('{"type": null}', "no `type`"),
        (
            '{"type": "publish"}',
            "Unknown message type 'publish'; known are auth, history, ping, subscribe, unsubscribe",
        ),
        ('{"type": "auth"}', "missing required field `token`"),
        ('{"type": "auth", "token": ""}', "`$.token`"),
        ('{"type": "subscribe"}', "`channels` or one `channel`"),
        ('{"type": "subscribe", "channels": ["a:1"], "channel": "prices"}', "`channels` or one `channel`"),
        ('{"type": "subscribe", "channels": []}', "`channels` is empty"),
        ('{"type": "subscribe", "channels": "price:BTC"}', "Expected `array | null`, got `str`"),
        ('{"type": "subscribe", "channels": [1]}', "`$.channels[0]`"),
        ('{"type": "subscribe", "channels": ["a:1", ""]}', "`$.channels[1]`"),
        ('{"type": "subscribe", "channels": ["a:1"], "limit": 0}', "`$.limit`"),
        ('{"type": "subscribe", "channels": ["a:1"], "limit": 1e999}', "Number out of range"),
        ('{"type": "subscribe", "channels": ["a:1"], "limit": true}', "`$.limit`"),
        ('{"type": "subscribe", "channels": ["a:1"], "recover": {"a:1": 5}}', "`$.recover[...]`"),
        (
            '{"type": "subscribe", "channels": ["a:1"], "recover": {"a:1": {"epoch": "e", "offset": -1}}}',
            "`$.recover[...].offset`",
        ),
        ('{"type": "subscribe", "channels": ["a:1"], "recover": {"a:1": {"epoch": "e"}}}', "`since` alone"),
        ('{"type": "subscribe", "channels": ["a:1"], "recover": {"a:1": {}}}', "`$.recover[...]`"),
        (
            '{"type":"subscribe", "channels": ["a"], "recover": {"a": {"offset": 1, "since": "1970-01-01T00:00:00Z"}}}',
            "`since` alone",
        ),
        (
            '{"type": "subscribe", "channels": ["a:1"], "recover": {"a:1": {"since": "2030-01-31T12:00:00"}}}',
            "with a timezone component - at `$.recover[...].since`",
        ),
        ('{"type": "subscribe", "channels": ["a:1"], "times": 1}', "`$.times`"),
        ('{"type": "history"}', "missing required field `channel`"),
        ('{"type": "history", "channel": ["a:1"]}', "`$.channel`"),
        ('{"type": "history", "channel": "a:1", "after": -1}', "`$.after`"),
        ('{"type": "history", "channel": "a:1", "after": "here"}', "'here' is no position: `EPOCH:OFFSET`"),
        ('{"type": "history", "channel": "a:1", "to": 1.5}', "`$.to`"),
        (
            '{"type": "history", "channel": "a:1", "since": "yesterday"}',
            "RFC3339 encoded datetime - at `$.since`",
        ),
        ('{"type": "history", "channel": "a:1", "until": 5}', "`$.until`"),
        ('{"type": "history", "channel": "a:1", "limit": 0}', "`$.limit`"),
        ('{"type": "history", "channel": "a:1", "id": nothing}', "not JSON"),
        ('{"type": "history", "channel": "a:1", "id": ' + "[" * 100_000, "nested too deeply"),
        ('{"type": "subscribe", "channel": "prices", "params": {"symbols": "BTC"}}', "`$.params.symbols`"),
        ('{"type": "unsubscribe"}', "`channels` or one `channel`"),
    ],
)
def test_what_is_wrong_is_told(text: str, says: str) -> None:
    error = refusal(text)
    assert error.code is ErrorCode.INVALID_MESSAGE
    assert says in error.message


def test_a_refused_token_is_not_repeated() -> None:
    assert "sk_secret" not in refused({"type": "auth", "token": ["sk_secret"]})
    assert "sk_secret" not in refused({"type": "auth", "token": "sk_secret" * 1000})


def test_a_long_name_is_not_repeated_in_full() -> None:
    assert len(refused({"type": "x" * 60_000})) < 250
    assert len(refused({"type": "subscribe", "channels": ["x" * 60_000]})) < 250


def test_a_short_message_cannot_name_topics_without_end() -> None:
    half = [str(number) for number in range(MOST_NAMES // 2)]
    params = {"types": half, "severities": half}
    assert "several messages" in refused({"type": "subscribe", "channel": "signals", "params": params})
    many = [f"a:{number}" for number in range(MOST_NAMES + 1)]
    assert "`$.channels`" in refused({"type": "subscribe", "channels": many})
    most = cryptointel.parse(json.dumps({"type": "subscribe", "channels": many[1:]}))
    assert most == Subscribe(form=Form.DOCUMENT, names=tuple(many[1:]))


@given(st.binary())
@example(b'{"type": "ping"}')
def test_a_binary_message_is_refused(data: bytes) -> None:
    error = refusal(data)
    assert (error.code, "binary" in error.message) == (ErrorCode.INVALID_MESSAGE, True)


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
WORDS = st.sampled_from(
    ["auth", "ping", "history", "subscribe", "unsubscribe", "prices", "signals", "price:BTC", "price:*", "e1"]
)
MOMENTS = st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
SHOWN = st.integers(0, 100) | st.sampled_from(["e1:5", "e1-5"]) | ANYTHING
NEARLY = st.fixed_dictionaries(
    {"type": WORDS | ANYTHING},
    optional={
        "token": WORDS | ANYTHING,
        "channel": WORDS | ANYTHING,
        "channels": st.lists(WORDS, max_size=3) | ANYTHING,
        "limit": st.floats(0.001, 1000) | ANYTHING,
        "params": st.fixed_dictionaries(
            {}, optional={"symbols": st.lists(WORDS) | ANYTHING, "types": st.lists(WORDS) | ANYTHING}
        )
        | ANYTHING,
        "recover": st.dictionaries(
            WORDS,
            st.fixed_dictionaries({"epoch": WORDS | ANYTHING, "offset": st.integers(0) | ANYTHING})
            | st.fixed_dictionaries({"since": MOMENTS | ANYTHING}),
        )
        | ANYTHING,
        "after": SHOWN,
        "to": SHOWN,
        "since": MOMENTS | ANYTHING,
        "until": MOMENTS | ANYTHING,
        "id": ANYTHING,
    },
)
MESSAGES = (NEARLY | ANYTHING).map(json.dumps)


@st.composite
def torn(draw: st.DrawFn) -> str:
    """A message with something missing or something more in the middle."""
    text = draw(MESSAGES)
    start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
    return text[:start] + draw(st.text(max_size=3)) + text[end:]


RIGHT = re.compile(
    r"not JSON: |nested too deeply|auth, history, ping, subscribe, unsubscribe|Expected |required field"
    r"|Invalid RFC3339|`since` alone|is no position|list `channels` or one `channel`|name at least one|several messages"
)


@given(st.text() | MESSAGES | torn() | st.binary().map(lambda data: data.decode(errors="replace")))
def test_whatever_comes_is_a_command_or_told_what_is_right(text: str) -> None:
    outcome = attempt(text)
    if isinstance(outcome, RequestError):
        assert outcome.code in {ErrorCode.INVALID_MESSAGE, ErrorCode.INVALID_CHANNEL}
        assert RIGHT.search(outcome.message)
        assert outcome.message.encode()
    else:
        assert isinstance(outcome, Authenticate | Subscribe | Unsubscribe | History | Ping)


@given(ANYTHING)
def test_an_id_comes_back_as_it_was_sent(tag: Any) -> None:
    command = cryptointel.parse(json.dumps({"type": "history", "channel": "a:1", "id": tag}))
    assert isinstance(command, History)
    kept = cryptointel.history(SIGNALS, "signals:all", Stretch(0, 0, []), None, command.tag)
    assert json.loads(kept)["id"] == tag
    complaint = Complaint(timestamp=TIME)
    error = cryptointel.error(Form.DOCUMENT, ErrorCode.INVALID_CHANNEL, "no", complaint, tag=command.tag)
    assert json.loads(error)["error"]["id"] == tag


NAMES = st.lists(st.text(min_size=1, max_size=240), min_size=1, max_size=5, unique=True)


@given(
    names=NAMES,
    limit=st.none() | st.floats(0.001, 1000),
    recover=st.dictionaries(
        st.text(min_size=1, max_size=240),
        st.builds(Position, st.text(min_size=1, max_size=240), st.integers(0, 2**63 - 1)),
        max_size=3,
    ),
)
def test_a_subscription_arrives_as_it_was_written(
    names: list[str], limit: float | None, recover: dict[str, Position]
) -> None:
    message = {
        "type": "subscribe",
        "channels": names,
        "limit": limit,
        "recover": {name: {"epoch": at.epoch, "offset": at.offset} for name, at in recover.items()},
    }
    wanted = Subscribe(form=Form.DOCUMENT, names=tuple(names), limit=limit, recover=recover)
    assert cryptointel.parse(json.dumps(message)) == wanted
    assert cryptointel.parse(json.dumps(message, ensure_ascii=False)) == wanted


@given(
    form=st.sampled_from(Form),
    name=st.text(min_size=1),
    label=st.text(min_size=1),
    offset=st.integers(1, 2**63 - 1),
    data=ANYTHING,
)
def test_an_update_is_json_around_the_exact_body(
    form: Form, name: str, label: str, offset: int, data: Any
) -> None:
    body = json.dumps(data, ensure_ascii=False).encode()
    text = cryptointel.update(form, topic(name), label)(Entry(offset, 0.0, 0.0, body))
    assert text.endswith(b'"data":' + body + b"}")
    message = json.loads(text)
    assert (message["offset"], message["channel"], message["data"]) == (offset, label, data)
    assert message.get("topic", name) == name


@given(form=st.sampled_from(Form), label=st.text(), first=st.integers(1, 2**63 - 2), more=st.integers(0, 100))
def test_a_gap_notice_names_what_is_left_out(form: Form, label: str, first: int, more: int) -> None:
    message = json.loads(cryptointel.gap(form, BITCOIN, label)(first, first + more))
    content = message.get("data", message)
    assert (content["channel"], content["from"], content["to"]) == (label, first, first + more)
    assert content["reason"] == "conflated"


@given(form=st.sampled_from(Form), text=st.text(), label=st.none() | st.text())
def test_an_error_is_json_whatever_it_quotes(form: Form, text: str, label: str | None) -> None:
    message = json.loads(
        cryptointel.error(form, ErrorCode.INVALID_CHANNEL, text, Complaint(timestamp=TIME, label=label))
    )
    content = message.get("error") or message["data"]
    assert (content["message"], content.get("channel")) == (text, label)
