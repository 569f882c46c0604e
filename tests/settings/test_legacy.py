"""The environment variables of the replaced systems."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

import pytest

from appliance.loading.catalogue import collect
from appliance.settings import document
from appliance.settings.legacy import SYSTEMS, Inherited, inherit
from appliance.settings.tree import Legacy
from appliance.sources.postgres.settings import PostgresSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TRADING: Legacy = "trading-stream"
DATA_WS: Legacy = "data-ws"
DATABASE = ("DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD")


def taken(system: Legacy, environment: Mapping[str, str], **table: Any) -> tuple[dict[str, Any], Inherited]:
    """The table as the variables leave it, and what else came of them."""
    inherited = inherit([system], table, environment)
    return table, inherited


def told(system: Legacy, name: str, text: str, **table: Any) -> list[str]:
    before = dict(table)
    after, inherited = taken(system, {name: text}, **table)
    assert after == before
    assert inherited.applied.origins == {}
    assert inherited.keys == []
    return [str(mistake) for mistake in inherited.applied.mistakes]


def test_each_variable_of_the_documents_is_known_and_no_other(root: Path) -> None:
    for name, system in SYSTEMS.items():
        text = (root / "tests" / "spec" / f"{name}.md").read_text(encoding="utf-8")
        _, _, section = text.partition("### Environment Variables\n")
        block = section.split("```")[1]
        assert set(re.findall(r"^([A-Z_]+)=", block, re.MULTILINE)) == set(system.variables)


def test_the_manual_names_each_variable_at_its_system(root: Path) -> None:
    manual = (root / "docs" / "configuration.md").read_text(encoding="utf-8")
    _, _, section = manual.partition("### Variables of replaced systems\n")
    rows = re.findall(r"^\| `([\w-]+)` \| (.*) \|$", section.partition("\n## ")[0], re.MULTILINE)
    named = {name: re.findall(r"`([A-Z_]+)`", variables) for name, variables in rows}
    assert named == {name: list(system.variables) for name, system in SYSTEMS.items()}


def test_every_system_that_a_configuration_can_name_has_variables() -> None:
    assert set(SYSTEMS) == set(get_args(Legacy))


def test_what_a_variable_becomes_is_a_setting() -> None:
    known = {row.path for row in document.rows()}
    paths = {
        variable.path
        for system in SYSTEMS.values()
        for variable in system.variables.values()
        if variable.kind != "key"
    }
    known |= {f"sources.postgres.{row.path}" for row in document.rows(PostgresSettings)}
    assert {path.replace("[0]", "[]") for path in paths} <= known


def test_the_values_of_the_document_become_settings(root: Path) -> None:
    text = (root / "tests" / "spec" / "trading-stream.md").read_text(encoding="utf-8")
    environment = dict(re.findall(r"^(WEBSOCKET_[A-Z_]+)=(\S+)$", text, re.MULTILINE))
    table, inherited = taken(TRADING, environment)
    assert table == {
        "trading": {"enabled": "true", "price_interval": "3", "portfolio_interval": "5"},
        "heartbeat": {"interval": "30"},
        "limits": {"sessions": "100"},
    }
    assert inherited.applied.origins == {
        variable.path: name for name, variable in SYSTEMS[TRADING].variables.items()
    }
    assert (inherited.applied.mistakes, inherited.keys, inherited.warnings) == ([], [], [])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, "true") for text in ("true", "TRUE", "1", "Yes", " true\n")),
        *((text, "false") for text in ("false", "False", "0", "NO")),
    ],
)
def test_flags_are_read_as_such_systems_write_them(text: str, value: str) -> None:
    table, _ = taken(TRADING, {"WEBSOCKET_ENABLED": text})
    assert table == {"trading": {"enabled": value}}


@pytest.mark.parametrize(
    ("text", "value"), [("30", "30"), ("2.5", "2.5"), (" 030 ", "30"), ("0", "0"), ("-1", "-1")]
)
def test_numbers_are_plain(text: str, value: str) -> None:
    table, _ = taken(TRADING, {"WEBSOCKET_PING_INTERVAL": text})
    assert table == {"heartbeat": {"interval": value}}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "WEBSOCKET_ENABLED",
            "maybe",
            'trading.enabled: expected true or false (or yes or no, 1 or 0), found text ("maybe")',
        ),
        (
            "WEBSOCKET_PING_INTERVAL",
            "30s",
            'heartbeat.interval: expected a number of seconds such as 30, found text ("30s")',
        ),
        (
            "WEBSOCKET_PRICE_UPDATE_INTERVAL",
            "1e3",
            'trading.price_interval: expected a number of seconds such as 30, found text ("1e3")',
        ),
        (
            "WEBSOCKET_MAX_CONNECTIONS",
            "99.5",
            'limits.sessions: expected a whole number such as 100, found text ("99.5")',
        ),
    ],
)
def test_a_wrong_value_is_told_with_its_variable_and_what_is_right(name: str, text: str, said: str) -> None:
    assert told(TRADING, name, text) == [f"{name}: {said}"]


def test_an_empty_variable_is_not_set() -> None:
    environment = dict.fromkeys((*SYSTEMS[TRADING].variables, "WEBSOCKET_FUTURE"), "")
    assert taken(TRADING, environment) == ({}, Inherited())
    assert taken(DATA_WS, dict.fromkeys(SYSTEMS[DATA_WS].variables, " \n")) == ({}, Inherited())


@pytest.mark.parametrize(
    ("system", "name", "remedy"),
    [
        (TRADING, "WEBSOCKET_MAX_CONNECTION", "did you mean WEBSOCKET_MAX_CONNECTIONS?"),
        (DATA_WS, "DATA_WS_BIND", "did you mean DATA_WS_BIND_ADDR?"),
        (DATA_WS, "DATA_WS_" + "X" * 40, "there are DATA_WS_BIND_ADDR"),
    ],
)
def test_a_mistyped_name_is_told_the_nearest(system: Legacy, name: str, remedy: str) -> None:
    assert told(system, name, "5") == [f"{name}: {system} has no variable of this name; {remedy}"]


def test_only_the_variables_of_the_named_systems_are_read() -> None:
    environment = {"API_KEY": "hunter2", "WEBSOCKET_ENABLED": "maybe", "WEBSOCKET_TYPO": "1", "DB_HOST": "db"}
    table: dict[str, Any] = {}
    assert inherit([], table, environment) == Inherited()
    assert inherit([DATA_WS], table, environment).applied.mistakes == []
    assert inherit([TRADING], table, environment).keys == []


@pytest.mark.parametrize(
    ("before", "bound", "after"),
    [
        ("tls://0.0.0.0:8443", "127.0.0.1:9443", "tls://127.0.0.1:9443"),
        ("tcp://localhost:80", "[::]:0", "tcp://[::]:0"),
    ],
)
def test_the_bind_address_moves_the_first_listener_alone(before: str, bound: str, after: str) -> None:
    listen = [{"url": before, "auth": "none"}, {"url": "unix:socket"}]
    table, inherited = taken(DATA_WS, {"DATA_WS_BIND_ADDR": bound}, listen=listen)
    assert table == {"listen": [{"url": after, "auth": "none"}, {"url": "unix:socket"}]}
    assert inherited.applied.origins == {"listen[0].url": "DATA_WS_BIND_ADDR"}


def test_the_bind_address_moves_the_default_listener_too() -> None:
    table, _ = taken(DATA_WS, {"DATA_WS_BIND_ADDR": "0.0.0.0:9443"})
    assert [listen["url"] for listen in table["listen"]] == ["tls://0.0.0.0:9443"]


@pytest.mark.parametrize("text", ["8443", "127.0.0.1", "0.0.0.0:99999", "tls://0.0.0.0:8443", "::1:8443"])
def test_a_wrong_bind_address_is_told_what_is_right(text: str) -> None:
    right = "HOST:PORT such as 0.0.0.0:8443, an IPv6 address in brackets"
    assert told(DATA_WS, "DATA_WS_BIND_ADDR", text) == [
        f'DATA_WS_BIND_ADDR: listen[0].url: expected {right}, found text ("{text}")'
    ]


def test_a_unix_socket_has_no_host_and_port() -> None:
    [mistake] = told(DATA_WS, "DATA_WS_BIND_ADDR", "0.0.0.0:8443", listen=[{"url": "unix:socket"}])
    assert mistake == (
        "DATA_WS_BIND_ADDR: listen[0].url: the first listener is unix:socket, which has no HOST:PORT; "
        "put a tls:// or tcp:// first"
    )


@pytest.mark.parametrize("listen", [5, [], [5], [{}], [{"url": 5}], [{"url": "wss://a:1"}]])
def test_a_listener_that_is_wrong_is_left_as_it_is(listen: Any) -> None:
    assert told(DATA_WS, "DATA_WS_BIND_ADDR", "0.0.0.0:8443", listen=listen) == []


def test_the_key_is_one_that_may_not_publish() -> None:
    table, inherited = taken(DATA_WS, {"API_KEY": "hunter2"})
    assert table == {}
    [key] = inherited.keys
    assert (key.name, key.key, key.publish, key.expires) == ("API_KEY", "hunter2", (), None)
    assert "hunter2" not in repr(inherited)


@pytest.mark.parametrize("text", ["hunter 2", "hunter2\n", "hünter2", "hunter2\x00", "hunter2\udcff"])
def test_a_key_that_no_client_can_show_is_told_without_it(text: str) -> None:
    assert told(DATA_WS, "API_KEY", text) == [
        "API_KEY: auth.keys: no client can show this key: it is plain ASCII without spaces and line breaks"
    ]


def test_a_database_is_where_its_variables_say() -> None:
    given = ("timescaledb", " 05432", "ml\n", "reader", "pass word\n")
    table, inherited = taken(DATA_WS, dict(zip(DATABASE, given, strict=True)))
    assert table["sources"]["postgres"] == {
        "host": "timescaledb",
        "port": "5432",
        "database": "ml",
        "user": "reader",
        "password": "pass word",
        "sslmode": "prefer",
    }
    for name in DATABASE:
        assert inherited.applied.origins[SYSTEMS[DATA_WS].variables[name].path] == name
    assert (inherited.applied.mistakes, inherited.warnings) == ([], [])
    assert "pass word" not in repr((table, inherited))


@pytest.mark.parametrize("name", DATABASE)
def test_any_of_its_variables_makes_its_table_the_predictions_and_all_that_is_told(
    root: Path, name: str
) -> None:
    table, inherited = taken(DATA_WS, {name: "5432"})
    *_, key = SYSTEMS[DATA_WS].variables[name].path.split(".")
    rows = SYSTEMS[DATA_WS].rows
    assert table["sources"] == {"postgres": {**rows["sources"]["postgres"], key: "5432"}}
    assert table["channels"] == rows["channels"]
    assert table["channels"].keys() == collect([root / "plugins"]).channels.keys()
    assert {text for path, text in inherited.applied.origins.items() if path.startswith("channels.")} == {
        name
    }


def test_what_a_system_knew_of_its_rows_is_for_no_one_to_change() -> None:
    table, _ = taken(DATA_WS, {"DB_HOST": "db"})
    table["channels"]["predictions"]["table"] = "another"
    table["channels"]["price"]["enabled"] = True
    again, _ = taken(DATA_WS, {"DB_HOST": "db"})
    assert again["channels"] == SYSTEMS[DATA_WS].rows["channels"]


def test_what_the_file_says_goes_before_what_the_system_knew() -> None:
    said: dict[str, Any] = {
        "sources": {"postgres": {"user": "me", "host": "there", "sslmode": "require"}},
        "channels": {"predictions": {"time": "at"}, "alerts": {"enabled": True}, "scores": {"interval": 5}},
    }
    table, _ = taken(DATA_WS, {"DB_HOST": "db"}, **said)
    assert table["sources"]["postgres"] == {
        "user": "me",
        "host": "db",
        "sslmode": "require",
        "database": "btc_ml_production",
    }
    channels = table["channels"]
    assert channels["predictions"]["time"] == "at"
    assert channels["predictions"]["table"] == "ml_predictions"
    assert (channels["alerts"], channels["scores"]) == ({"enabled": True}, {"interval": 5, "enabled": False})


def test_a_channel_that_has_a_source_is_left_as_it_is_and_that_is_said() -> None:
    said: dict[str, Any] = {"predictions": {"source": "publish"}, "price": {"source": "publish"}}
    table, inherited = taken(DATA_WS, {"DB_HOST": "db", "DB_NAME": "ml"}, channels=said)
    assert table["channels"]["predictions"] == table["channels"]["price"] == {"source": "publish"}
    assert inherited.warnings == [
        "without effect on channels.predictions, which has another source: DB_HOST, DB_NAME"
    ]
    said = {"predictions": {"source": "postgres", "query": "SELECT 1"}}
    table, inherited = taken(DATA_WS, {"DB_HOST": "db"}, channels=said)
    assert table["channels"]["predictions"] == {"source": "postgres", "query": "SELECT 1"}
    assert inherited.warnings == []


@pytest.mark.parametrize("said", [5, {"predictions": 5, "postgres": 5}])
def test_what_is_no_table_is_left_as_it_is(said: Any) -> None:
    table, _ = taken(DATA_WS, {"DB_PASSWORD": "hunter2"}, channels=said, sources=said)
    assert (table["channels"], table["sources"]) == (said, said)


def test_a_wrong_port_is_told_with_its_variable() -> None:
    _, inherited = taken(DATA_WS, {"DB_PORT": "psql"})
    assert [str(mistake) for mistake in inherited.applied.mistakes] == [
        'DB_PORT: sources.postgres.port: expected a whole number such as 100, found text ("psql")'
    ]
