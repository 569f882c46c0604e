"""The configuration as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.core.errors import SettingsError
from appliance.settings.keeping import HistorySettings
from appliance.settings.limits import LimitSettings, ListenLimits
from appliance.settings.load import Loaded, load
from appliance.settings.tree import ChannelSettings, ListenSettings, Settings, SourceSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


LISTEN = (
    "--listen: expected tls://HOST:PORT, tcp://HOST:PORT or unix:PATH, found 'ws://a'; "
    "write tcp:// for ws and http without TLS"
)
AUTH = (
    'APPLIANCE_LISTEN: listen[0].auth: expected one of "required", "optional", "none", found text ("non"); '
    'did you mean "none"?'
)


DATA_WS = 'legacy_environment = ["data-ws"]\n'
TRADING = 'legacy_environment = ["trading-stream"]\n'
UNREPLACED = 'expected one of "data-ws", "trading-stream"'
CONTROLS = "expected text without control characters, found"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.toml"


def loaded(
    file: Path,
    text: str,
    environment: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    listen: Sequence[str] = (),
) -> Loaded:
    file.write_text(text, encoding="utf-8")
    return load(file=file, environment=environment or {}, overrides=overrides, listen=listen)


def told(
    file: Path,
    text: str,
    environment: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    listen: Sequence[str] = (),
) -> list[str]:
    found = loaded(file, text, environment, overrides, listen)
    with pytest.raises(SettingsError) as caught:
        _ = found.settings
    assert caught.value.mistakes == found.mistakes
    return str(caught.value).replace(f"{file.parent}/", "").splitlines()


def test_without_anything_the_defaults_hold() -> None:
    assert load(file=None, environment={"HOME": "/root"}) == Loaded(Settings())


def test_command_line_goes_before_environment_before_file_before_default(file: Path) -> None:
    text = "[limits]\nsessions = 1\nconnections = 1\ntopics = 1\n"
    environment = {"APPLIANCE_LIMITS__SESSIONS": "2", "APPLIANCE_LIMITS__CONNECTIONS": "2"}
    limits = loaded(file, text, environment, ["limits.sessions=3"]).settings.limits
    assert (limits.sessions, limits.connections, limits.topics) == (3, 2, 1)
    assert limits.burst == Settings().limits.burst


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(file: Path) -> None:
    text = """\
[[listen]]
url = "tcp://127.0.0.1:80"
[[listen]]
url = "tcp://127.0.0.1:80"
origins = [ "*",
  5 ]
limits = { sesions = 1, sessions = 0 }

[limits]
message_bytes = "64k"
sessions = 0
topics = "9"

[tls]
certificate = "cert.pem"
valid = "1h"

[[auth.keys]]
name = "a"
"""
    environment = {"APPLIANCE_LIMITS__SESSIONS": "-1", "APPLIANCE_LOG_LEVEL": "debug"}
    assert told(file, text, environment, ["stop.deadline=1h"], ["ws://a"]) == [
        "a.toml:4: listen[1].url: is the same as that of listen[0]; give each its own",
        "a.toml:6: listen[1].origins[1]: expected text, found a number (5)",
        "a.toml:7: listen[1].limits.sesions: is not a known key; did you mean `sessions`? (known here: "
        + ", ".join(attrs.fields_dict(ListenLimits))
        + ")",
        "a.toml:7: listen[1].limits.sessions: must be at least 1, not 0",
        'a.toml:10: limits.message_bytes: expected a size such as "64KiB", found text ("64k")',
        'a.toml:12: limits.topics: expected a whole number, found text ("9")',
        "a.toml:15: tls.certificate: needs `key` beside it; give both, or neither for a self-signed one",
        'a.toml:16: tls.valid: must be at least 1d, not "1h"',
        "a.toml:18: auth.keys[0]: needs `key`, or `key_file` with the file that holds it",
        LISTEN,
        '--set stop.deadline: stop.deadline: must be at most 10m, not "1h"',
        "APPLIANCE_LIMITS__SESSIONS: limits.sessions: must be at least 1, not -1",
        "APPLIANCE_LOG_LEVEL: no setting has this name; did you mean APPLIANCE_LOG__LEVEL?",
    ]


def test_what_is_right_is_kept_beside_what_is_wrong(file: Path) -> None:
    text = """\
plugins_dir = ["mine"]
state_dir = 5

[limits]
sessions = 0
topics = 7

[channels.price]
enabled = "no"
publish = true
colour = "red"
history = { age = "soon", count = 3 }

[sources]
lake = 5
pond = { kind = 5, depth = 6 }

[[listen]]
url = "tcp://127.0.0.1:80"
auth = "non"
"""
    found = loaded(file, text)
    assert len(found.mistakes) == 7
    assert found.draft == attrs.evolve(
        Settings(),
        plugins_dir=("mine",),
        limits=LimitSettings(topics=7),
        channels={
            "price": ChannelSettings(
                publish=True, history=HistorySettings(count=3), options={"colour": "red"}
            )
        },
        sources={"pond": SourceSettings(options={"depth": 6})},
    )


@pytest.mark.parametrize(
    ("text", "lost", "there"),
    [
        ("plugins_dir = 5", ["plugins_dir"], ["sources", "channels.price"]),
        ('plugins_dir = ["mine", 5]', ["plugins_dir"], []),
        ("sources = 5", ["sources", "sources.a", "sources.a.kind"], ["channels.a.source"]),
        ("sources.a.kind = 5", ["sources.a.kind"], ["sources.a", "sources.ab.kind", "sources.a.kin"]),
        ('[sources."a b"]\nkind = 5', ['sources."a b".kind'], ["sources.a"]),
        ("limits.sessions = 5", [], ["limits", "limits.sessions"]),
    ],
)
def test_what_is_lost_can_be_asked(file: Path, text: str, lost: list[str], there: list[str]) -> None:
    found = loaded(file, text)
    assert [path for path in [*lost, *there] if found.is_lost(path)] == lost


@pytest.mark.parametrize(
    "text",
    [
        'state_dir = "/a\\u0000b"',
        'plugins_dir = ["/a\\u0000b"]',
        'tls.certificate = "/a\\u0000b"\ntls.key = "key.pem"',
        'tls.key = "/a\\u0000b"\ntls.certificate = "certificate.pem"',
        'listen = [{ url = "unix:/a\\u0000b" }]',
        'auth.keys = [{ name = "a", key_file = "/a\\u0000b" }]',
        'auth.keys = [{ name = "/a\\u0000b", key = "k" }]',
        '[channels.price]\nsource = "/a\\u0000b"',
        '[aliases.price]\n"bitcoin" = "/a\\u0000b"',
    ],
)
def test_no_text_has_control_characters(file: Path, text: str) -> None:
    [mistake] = loaded(file, text).mistakes
    place = 8 if "unix:" in text else 3
    assert mistake.problem == f"{CONTROLS} U+0000 as character {place} of it"
    assert mistake.path.replace("[0]", "").rpartition(".")[2] in text
    assert mistake.line == text[: text.index("/a")].count("\n") + 1


def test_no_text_has_control_characters_wherever_it_comes_from(file: Path) -> None:
    environment = {"APPLIANCE_PLUGINS_DIR": '["a\\u0000"]', "APPLIANCE_TLS__NAMES": '["\\u001b"]'}
    assert told(file, "", environment, ["state_dir=\x01"]) == [
        f"--set state_dir: state_dir: {CONTROLS} U+0001 as character 1 of it",
        f"APPLIANCE_PLUGINS_DIR: plugins_dir[0]: {CONTROLS} U+0000 as character 2 of it",
        f"APPLIANCE_TLS__NAMES: tls.names[0]: {CONTROLS} U+001B as character 1 of it",
    ]


def test_a_mistake_in_the_state_folder_is_told_as_it_was_given(file: Path) -> None:
    found = load(file=None, environment={}, overrides=["state_dir=\x01"], state_dir="\x02")
    assert [str(mistake) for mistake in found.mistakes] == [
        f"--state-dir: state_dir: {CONTROLS} U+0002 as character 1 of it"
    ]
    file.write_text("state_dir = 5", encoding="utf-8")
    assert load(file=file, environment={}, state_dir="/here").settings.state_dir == "/here"


def test_a_history_without_a_bound_of_age(file: Path) -> None:
    def age(text: str, environment: Mapping[str, str] | None = None) -> object:
        return loaded(file, text, environment).settings.channels["price"].history.age

    assert age("[channels.price.history]") is None
    assert age('[channels.price.history]\nage = "none"') == "none"
    assert age('[channels.price.history]\nage = "5m"') == 300.0
    assert age("", {"APPLIANCE_CHANNELS__PRICE__HISTORY__AGE": "none"}) == "none"
    path = "a.toml:1: channels.price.history.age"
    assert told(file, "channels.price.history.age = 0") == [f"{path}: must be more than 0, not 0"]
    assert told(file, 'channels.price.history.age = "never"') == [
        f'{path}: expected a time such as "30s" or "none", found text ("never")'
    ]


def test_a_mistake_in_what_replaced_a_list_has_no_line_of_the_file(file: Path) -> None:
    text = '[[listen]]\nurl = "tcp://127.0.0.1:80"\n'
    assert told(file, text, {"APPLIANCE_LISTEN": '[{url = "tcp://127.0.0.1:80", auth = "non"}]'}) == [AUTH]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1\nb = tru", "a.toml:2: is not TOML: Invalid value at column 5; text stands in quotes"),
        (
            "level: debug",
            "a.toml:1: is not TOML: Expected '=' after a key in a key/value pair at column 6; a line is",
        ),
        ("a = [1,\n", "a.toml:2: is not TOML: Invalid value at the end of the file"),
        (
            "a = {\nb = 1}",
            "a.toml:1: is not TOML: Invalid initial character for a key part at column 6; a key is",
        ),
        (
            "a = 1\na = 2",
            "a.toml:2: is not TOML: Cannot overwrite a value at the end of the file; a key stands only once",
        ),
        (
            "[limits]\n[limits]",
            "a.toml:2: is not TOML: Cannot declare ('limits',) twice at column 8; a table stands",
        ),
        ('a = "b', "a.toml:1: is not TOML: Unterminated string at the end of the file; close the text"),
        ("a = 1" + "0" * 5000, "a.toml: holds a number with too many digits"),
        ("a = " + "[" * 100_000, "a.toml: lists or tables are nested too deeply"),
    ],
)
def test_what_is_no_toml_is_told_with_its_place_and_a_remedy(file: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(file, text)
    assert str(caught.value).replace(f"{file.parent}/", "").startswith(said)


def test_a_file_that_is_not_read_is_named(file: Path) -> None:
    with pytest.raises(SettingsError, match=r"a\.toml: cannot be read: No such file or directory"):
        load(file=file, environment={})
    file.write_bytes(b"[limits]\n# caf\xe9\n")
    with pytest.raises(SettingsError, match=r"a\.toml:2: is not text in UTF-8"):
        load(file=file, environment={})


def test_a_mark_of_byte_order_does_no_harm(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf[limits]\r\nsessions = 5\r\n")
    assert load(file=file, environment={}).settings.limits.sessions == 5


def test_listen_replaces_the_list_and_keeps_the_policy_of_a_known_url(file: Path) -> None:
    text = '[[listen]]\nurl = "tcp://127.0.0.1:80"\nauth = "none"\n[[listen]]\nurl = "unix:socket"\n'
    found = loaded(file, text, listen=["tls://[::]:443", "tcp://127.0.0.1:80"])
    assert found.settings.listen == (
        ListenSettings(url="tls://[::]:443"),
        ListenSettings(url="tcp://127.0.0.1:80", auth="none"),
    )


def test_listen_twice_at_one_place_is_a_mistake(file: Path) -> None:
    assert told(file, "", listen=["tcp://a:1", "tcp://a:1"]) == ["--listen: tcp://a:1 is given twice"]
    assert len(loaded(file, "", listen=["tcp://a:0", "tcp://a:0"]).settings.listen) == 2


def test_secrets_come_from_files_and_none_shows(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "alice"
    secret.write_text("hunter2\n", encoding="utf-8")
    secret.chmod(0o644)
    found = loaded(file, f'[[auth.keys]]\nname = "alice"\nkey_file = "{secret}"\n')
    assert found.settings.auth.keys[0].key == "hunter2"
    assert "hunter2" not in repr(found)
    assert found.warnings == (f"{secret} can be read by everyone; take that away with `chmod o-r {secret}`",)


def test_a_secret_from_the_environment_goes_before_the_file_of_the_file(file: Path) -> None:
    text = '[[auth.keys]]\nname = "alice"\nkey_file = "missing"\n'
    found = loaded(file, text, {"APPLIANCE_AUTH__KEYS__0__KEY": "12345"})
    assert found.settings.auth.keys[0].key == "12345"


def test_no_mistake_quotes_a_secret(file: Path) -> None:
    text = '[[auth.keys]]\nname = "a"\nkey = ["hunter2"]\n[[auth.keys]]\nname = "b"\nkye = "hunter2"\n'
    environment = {"APPLIANCE_AUTH__KEYS": "hunter2", "CREDENTIALS_DIRECTORY": str(file.parent)}
    (file.parent / "auth.keys").write_text("a b hunter2\n", encoding="utf-8")
    assert "hunter2" not in "".join(told(file, text))
    assert "hunter2" not in "".join(told(file, text, environment))
    assert "hunter2" not in "".join(
        told(file, "", overrides=["auth.keys=[hunter2", "auth.keys[0].x=hunter2"])
    )
    with pytest.raises(SettingsError) as caught:
        loaded(file, 'key = "hunter2')
    assert "hunter2" not in str(caught.value)
    text = '[[auth.keys]]\nname = "a"\nkey = "hunter2\\u0000"\n'
    assert told(file, text) == [f"a.toml:3: auth.keys[0].key: {CONTROLS} U+0000 as character 8 of it"]


def test_keys_of_the_credential_come_to_those_of_the_file(file: Path, tmp_path: Path) -> None:
    (tmp_path / "auth.keys").write_text("bob swordfish\n", encoding="utf-8")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    found = loaded(file, '[[auth.keys]]\nname = "alice"\nkey = "hunter2"\n', environment)
    assert [(key.name, key.key) for key in found.settings.auth.keys] == [
        ("alice", "hunter2"),
        ("bob", "swordfish"),
    ]
    assert told(file, '[[auth.keys]]\nname = "bob"\nkey = "hunter2"\n', environment) == [
        "credential auth.keys: auth.keys: two API keys are named `bob`; give each its own name"
    ]


def test_two_keys_of_the_same_text_are_told_where_the_second_comes_from(file: Path, tmp_path: Path) -> None:
    (tmp_path / "auth.keys").write_text("bob hunter2\ncarol swordfish\n", encoding="utf-8")
    text = f'{DATA_WS}[[auth.keys]]\nname = "alice"\nkey = "hunter2"\n'
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path), "API_KEY": "swordfish"}
    assert told(file, text, environment) == [
        "API_KEY: auth.keys: the same key as that of `carol`; give each its own",
        "credential auth.keys: auth.keys: the same key as that of `alice`; give each its own",
    ]


def test_replaced_systems_go_behind_command_line_and_environment_and_before_the_file(file: Path) -> None:
    text = f"{TRADING}[limits]\nsessions = 1\n[heartbeat]\ninterval = 1\n[trading]\nprice_interval = 1\n"
    environment = {
        "WEBSOCKET_MAX_CONNECTIONS": "2",
        "WEBSOCKET_PING_INTERVAL": "2",
        "WEBSOCKET_PRICE_UPDATE_INTERVAL": "2",
        "APPLIANCE_LIMITS__SESSIONS": "3",
        "APPLIANCE_HEARTBEAT__INTERVAL": "3s",
    }
    settings = loaded(file, text, environment, ["limits.sessions=4"]).settings
    assert settings.limits.sessions == 4
    assert settings.heartbeat.interval == 3.0
    assert settings.trading.price_interval == 2.0
    assert settings.trading.portfolio_interval == Settings().trading.portfolio_interval


@pytest.mark.parametrize(
    ("environment", "overrides"),
    [
        ({"APPLIANCE_LEGACY_ENVIRONMENT": '["trading-stream"]'}, []),
        ({"APPLIANCE_LEGACY_ENVIRONMENT__0": "trading-stream"}, []),
        ({"APPLIANCE_LEGACY_ENVIRONMENT": '["data-ws"]'}, ["legacy_environment[1]=trading-stream"]),
        ({}, ['legacy_environment=["data-ws", "trading-stream"]']),
    ],
)
def test_what_goes_before_the_variables_can_name_their_system(
    file: Path, environment: dict[str, str], overrides: list[str]
) -> None:
    variables = {"WEBSOCKET_MAX_CONNECTIONS": "2", **environment}
    assert loaded(file, "", variables, overrides).settings.limits.sessions == 2


def test_what_goes_before_the_variables_can_leave_their_system_out(file: Path) -> None:
    variables = {"WEBSOCKET_MAX_CONNECTIONS": "none", "WEBSOCKET_TYPO": "1"}
    assert loaded(file, TRADING, variables, ["legacy_environment=[]"]).settings.legacy_environment == ()
    assert loaded(file, "", variables).settings == Settings()


def test_a_mistake_in_a_variable_names_it_and_its_setting(file: Path) -> None:
    text = f"{TRADING}[trading]\nprice_interval = 0\nportfolio_interval = 0\n"
    assert told(file, text, {"WEBSOCKET_PRICE_UPDATE_INTERVAL": "0", "WEBSOCKET_MAX_CONNECTIONS": "0"}) == [
        "a.toml:4: trading.portfolio_interval: must be at least 50ms, not 0",
        "WEBSOCKET_MAX_CONNECTIONS: limits.sessions: must be at least 1, not 0",
        "WEBSOCKET_PRICE_UPDATE_INTERVAL: trading.price_interval: must be at least 50ms, not 0",
    ]
    assert told(file, 'legacy_environment = ["data-ws", "dataws"]', {"DATA_WS_ADDR": "1"}) == [
        f'a.toml:1: legacy_environment[1]: {UNREPLACED}, found text ("dataws"); did you mean "data-ws"?',
        "DATA_WS_ADDR: data-ws has no variable of this name; did you mean DATA_WS_BIND_ADDR?",
    ]


def test_the_bind_address_of_data_ws_goes_before_the_file_alone(file: Path) -> None:
    text = f'{DATA_WS}[[listen]]\nurl = "tls://0.0.0.0:8443"\nauth = "optional"\n'
    environment = {"DATA_WS_BIND_ADDR": "127.0.0.1:9443"}
    moved = ListenSettings(url="tls://127.0.0.1:9443", auth="optional")
    assert loaded(file, text, environment).settings.listen == (moved,)
    assert loaded(file, text, environment, listen=["tls://127.0.0.1:9443"]).settings.listen == (moved,)
    environment["APPLIANCE_LISTEN__0__URL"] = "tls://127.0.0.1:1"
    assert loaded(file, text, environment).settings.listen[0].url == "tls://127.0.0.1:1"


def test_the_key_of_data_ws_comes_to_the_others(file: Path) -> None:
    text = f'{DATA_WS}[[auth.keys]]\nname = "alice"\nkey = "hunter2"\npublish = ["*"]\n'
    found = loaded(file, text, {"API_KEY": "swordfish"})
    assert [(key.name, key.key, key.publish) for key in found.settings.auth.keys] == [
        ("alice", "hunter2", ("*",)),
        ("API_KEY", "swordfish", ()),
    ]
    assert "swordfish" not in repr(found)
    assert told(file, f'{DATA_WS}[[auth.keys]]\nname = "API_KEY"\nkey = "a"\n', {"API_KEY": "b"}) == [
        "API_KEY: auth.keys: two API keys are named `API_KEY`; give each its own name"
    ]


def test_the_database_of_data_ws_goes_before_the_file_and_behind_all_else(file: Path) -> None:
    text = f'{DATA_WS}[sources.postgres]\nhost = "filed"\nuser = "filed"\nport = 1\n'
    environment = {
        "DB_HOST": "given",
        "DB_USER": "given",
        "DB_PASSWORD": "hunter2",
        "APPLIANCE_SOURCES__POSTGRES__USER": "ours",
        "APPLIANCE_CHANNELS__PRICE__ENABLED": "true",
    }
    found = loaded(file, text, environment, overrides=["channels.predictions.table=ours"])
    options = found.settings.sources["postgres"].options
    assert (options["host"], options["user"], options["port"]) == ("given", "ours", 1)
    channels = found.settings.channels
    assert channels["price"].enabled
    assert not channels["alerts"].enabled
    assert channels["predictions"].options["table"] == "ours"
    assert found.places.mistake("channels.predictions.key", "").origin == "DB_HOST"
    assert found.places.mistake("channels.predictions.table", "").origin == "--set channels.predictions.table"
    assert "hunter2" not in repr(found)


def test_what_is_said_of_the_variables_of_data_ws_is_passed_on(file: Path) -> None:
    found = loaded(file, f'{DATA_WS}channels.predictions.source = "publish"\n', {"DB_PASSWORD": "hunter2"})
    assert found.warnings == (
        "without effect on channels.predictions, which has another source: DB_PASSWORD",
    )


@attrs.frozen
class Options:
    size: int = 1


def test_a_plugin_is_filled_with_the_places_of_its_options(file: Path) -> None:
    text = '[sources.pg]\nkind = "postgres"\n\nsize = "5"\n'
    found = loaded(file, text)
    with pytest.raises(
        SettingsError, match=r'a.toml:4: sources.pg.size: expected a whole number, found text \("5"\)'
    ):
        found.fill(Options, found.settings.sources["pg"].options, "sources.pg")
    found = loaded(file, text, {"APPLIANCE_SOURCES__PG__SIZE": "6"})
    assert found.fill(Options, found.settings.sources["pg"].options, "sources.pg") == Options(6)
    found = loaded(file, text, {"APPLIANCE_SOURCES__PG__SIZE": "x"})
    with pytest.raises(SettingsError, match=r"^APPLIANCE_SOURCES__PG__SIZE: sources\.pg\.size: expected"):
        found.fill(Options, found.settings.sources["pg"].options, "sources.pg")


WORDS = [
    "LIMITS",
    "SESSIONS",
    "LISTEN",
    "0",
    "1",
    "URL",
    "AUTH",
    "KEYS",
    "KEY",
    "CHANNELS",
    "X",
    "HISTORY",
    "",
]
NAMES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5)
VALUES = st.sampled_from(
    ["", "5", "x", "[]", "[{}]", "{}", "{a = 1}", '"5"', "true", "tcp://a:1", "[", "[5]"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.lists(
        st.sampled_from(["limits = 5", "listen = [{}]", "[channels.X]", "[auth]", "keys = 1", "a.b = 1"])
    ).map("\n".join),
    environment=st.dictionaries(NAMES.map(lambda words: "APPLIANCE_" + "__".join(words)), VALUES, max_size=5),
    overrides=st.lists(st.builds(lambda w, v: f"{'.'.join(w).lower()}={v}", NAMES, VALUES), max_size=3),
)
def test_anything_loads_or_is_told_its_mistakes(
    file: Path, text: str, environment: dict[str, str], overrides: list[str]
) -> None:
    try:
        found = loaded(file, text, environment, overrides)
    except SettingsError as error:
        told_mistakes = error.mistakes
    else:
        told_mistakes = found.mistakes
        assert found.draft.listen
    assert all(mistake.problem for mistake in told_mistakes)
    assert len(set(told_mistakes)) == len(told_mistakes)
