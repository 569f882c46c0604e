"""The profiles of the replaced systems: each starts as it is, and has the figures of that system's document."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from appliance.api import Mode
from appliance.cli.serving import Request, check
from appliance.core.errors import SettingsError
from appliance.loading.catalogue import collect
from appliance.loading.configured import arrange, configure
from appliance.loading.files import builtin_folder
from appliance.settings.fields import Secret
from appliance.settings.legacy import SYSTEMS
from appliance.settings.load import Loaded, load
from appliance.sources.postgres.settings import PostgresSettings, TableSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PROFILES = ("ara", "cryptointel", "data-ws", "trading-stream")
COMMENTED = re.compile(r"^#(?=[\w\[\"])", re.MULTILINE)
KEYS = "/etc/appliance/keys"
TELLS = {
    "ara": {"alerts", "predictions", "price"},
    "cryptointel": {"market", "price", "signals"},
    "data-ws": {"predictions"},
    "trading-stream": {"portfolio", "price", "signals", "trades"},
}
"""The channels that the clients of each system read."""

KIB = 1024


@pytest.fixture(params=PROFILES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def profile(root: Path, name: str) -> Path:
    return root / "config" / f"{name}.toml"


def spec(root: Path, name: str) -> str:
    return (root / "tests" / "spec" / f"{name}.md").read_text(encoding="utf-8")


def loaded(root: Path, name: str, environment: Mapping[str, str] | None = None) -> Loaded:
    return load(file=profile(root, name), environment=environment or {})


def with_real_rows(root: Path, name: str, folder: Path) -> Path:
    """The profile with all its lines taken in use, and the files that they name."""
    text = COMMENTED.sub("", profile(root, name).read_text(encoding="utf-8"))
    for key_file in re.findall(rf'"{KEYS}/(\w+)"', text):
        (folder / key_file).write_text(f"key of {key_file}".replace(" ", "-"), encoding="utf-8")
        (folder / key_file).chmod(0o600)
    file = folder / f"{name}.toml"
    file.write_text(text.replace(KEYS, str(folder)), encoding="utf-8")
    return file


def figure(pattern: str, text: str) -> str:
    """What the document has in this one place."""
    [found] = set(re.findall(pattern, text))
    return str(found)


def number(pattern: str, text: str) -> int:
    return int(figure(pattern, text.replace(",", "")))


def test_there_is_a_profile_for_each_replaced_system(root: Path) -> None:
    found = {path.stem for path in (root / "config").glob("*.toml")} - {"appliance", "postgres"}
    assert found == set(PROFILES)
    documents = {path.stem for path in (root / "tests" / "spec").glob("*.md")} - {"README"}
    assert found == documents


def test_it_is_one_that_a_start_takes(root: Path, name: str) -> None:
    asked = Request(
        file=profile(root, name), listen=(), overrides=(), state_dir=None, environment={"HOME": "/root"}
    )
    good, listens, *channels = check(asked)
    assert good == f"{asked.file}: good"
    [listen] = loaded(root, name).settings.listen
    assert listens == f"  listens on {listen.url}, authentication {listen.auth}"
    assert {line.split()[1] for line in channels} > TELLS[name]


def test_it_is_short_and_says_what_it_is_and_how_it_is_started(root: Path, name: str) -> None:
    text = profile(root, name).read_text(encoding="utf-8")
    first, *_ = text.splitlines()
    assert first.startswith("# In the place of ")
    assert first.endswith("docs/migrate.md says more.")
    assert f"appliance.pyz serve --config {name}.toml\n" in text
    assert len(text.splitlines()) < 80


def test_all_rows_are_simulated_as_it_stands(root: Path, name: str) -> None:
    settings = loaded(root, name).settings
    assert [own for own in settings.channels.values() if own.source is not None] == []


def test_with_all_lines_in_use_rows_are_real_and_nothing_is_simulated(
    root: Path, name: str, tmp_path: Path
) -> None:
    found = load(file=with_real_rows(root, name, tmp_path), environment={})
    assert found.warnings == ()
    channels = configure(collect([builtin_folder()]), found)
    assert {configured.channel.name for configured in channels} == TELLS[name]
    assert all(configured.publishable for configured in channels)
    grants = [set(key.publish) for key in found.settings.auth.keys if key.publish]
    assert grants == [TELLS[name]]


def test_lines_in_use_change_nothing_but_rows_keys_and_certificate(
    root: Path, name: str, tmp_path: Path
) -> None:
    before = tomllib.loads(profile(root, name).read_text(encoding="utf-8"))
    after = tomllib.loads(with_real_rows(root, name, tmp_path).read_text(encoding="utf-8"))
    assert {key: after.get(key) for key in before} == before
    assert after.keys() - before.keys() <= {"auth", "channels", "tls"}


def test_where_a_client_comes_in_without_a_key_it_is_said_how_to_close_that(root: Path, name: str) -> None:
    text = profile(root, name).read_text(encoding="utf-8")
    [listen] = loaded(root, name).settings.listen
    said = "WHOEVER REACHES THE PORT READS EVERYTHING" in text and "To close it" in text
    assert said == (listen.auth != "required")


@pytest.mark.parametrize("name", ["ara", "trading-stream"])
@pytest.mark.parametrize(
    "remedy",
    [
        'url = "tcp://127.0.0.1:8000"',
        'auth = "required"',
        'url = "tls://0.0.0.0:8000"',
        'origins = ["https://app.example.com"]',
    ],
)
def test_what_closes_it_is_right(root: Path, name: str, remedy: str, tmp_path: Path) -> None:
    text = profile(root, name).read_text(encoding="utf-8")
    assert remedy in text.partition("[[listen]]")[0]
    key = remedy.partition(" ")[0]
    file = tmp_path / "closed.toml"
    file.write_text(re.sub(rf"(?m)^{key} = .*$", remedy, text), encoding="utf-8")
    assert file.read_text(encoding="utf-8") != text
    assert load(file=file, environment={}).mistakes == ()


def test_data_ws_has_the_figures_of_its_document(root: Path) -> None:
    text, settings = spec(root, "data-ws"), loaded(root, "data-ws").settings
    [listen] = settings.listen
    assert listen.url == f"tls://{figure('DATA_WS_BIND_ADDR=(.*)', text)}"
    assert listen.url.rpartition(":")[2] == str(number(r"wss://localhost:(\d+)/", text))
    assert "(requires API key)" in text
    assert listen.auth == "required"
    assert listen.origins == ("*",)
    options = settings.sources["simulated"].options
    assert options["interval"] == f"{number(r'queries every ([0-9]+)s', text)}s"
    assert f"DB_NAME={settings.data_ws.symbol.lower()}_" in text
    assert settings.legacy_environment == ("data-ws",)


def test_data_ws_starts_with_the_variables_of_its_document(root: Path) -> None:
    text = spec(root, "data-ws")
    _, _, section = text.partition("### Environment Variables\n")
    environment = dict(re.findall(r"^([A-Z_]+)=(\S+)$", section.split("```")[1], re.MULTILINE))
    found = loaded(root, "data-ws", environment)
    assert found.warnings == ()
    assert [key.name for key in found.settings.auth.keys] == ["API_KEY"]
    assert found.settings.auth.keys[0].key == environment["API_KEY"]
    assert found.settings.listen[0].url == f"tls://{environment['DATA_WS_BIND_ADDR']}"
    arrangement = arrange(collect([builtin_folder()]), found)
    assert arrangement.sources["postgres"].settings == PostgresSettings(
        host=environment["DB_HOST"],
        port=int(environment["DB_PORT"]),
        database=environment["DB_NAME"],
        user=environment["DB_USER"],
        password=Secret(environment["DB_PASSWORD"]),
        sslmode="prefer",
    )
    [predictions] = arrangement.channels.values()
    assert (predictions.channel.name, predictions.channel.mode) == ("predictions", Mode.STATE)
    assert predictions.told == TableSettings(
        table=figure(r"\n(\w+) \(TimescaleDB\)", text), key="'BTC'", time="time"
    )
    assert predictions.told.every == number(r"queries every ([0-9]+)s", text)
    assert predictions.durable


def test_data_ws_has_its_rows_by_the_variables_of_its_container(root: Path) -> None:
    text = spec(root, "data-ws")
    environment = dict(re.findall(r"-e ([A-Z_]+)=(\S+) ", text))
    assert environment.keys() == {"API_KEY", "DB_HOST"}
    arrangement = arrange(collect([builtin_folder()]), loaded(root, "data-ws", environment))
    assert arrangement.channels.keys() == {"predictions"}
    database = arrangement.sources["postgres"].settings
    assert database.host == environment["DB_HOST"]
    assert database.database == figure("DB_NAME=(.*)", text)
    assert database.user == figure("DB_USER=(.*)", text)
    assert database.password is None


def test_data_ws_shows_what_its_variables_stand_for(root: Path, tmp_path: Path) -> None:
    text = profile(root, "data-ws").read_text(encoding="utf-8")
    shown = "\n".join(re.findall(r"^#     (.*)$", text, re.MULTILINE))
    assert tomllib.loads(shown) == SYSTEMS["data-ws"].rows
    file = tmp_path / "data-ws.toml"
    file.write_text(f"{text}\n{shown}\n", encoding="utf-8")
    built_in = collect([builtin_folder()])
    written = arrange(built_in, load(file=file, environment={}))
    meant = arrange(built_in, loaded(root, "data-ws", {"DB_HOST": "localhost"}))
    assert written.sources["postgres"].settings == meant.sources["postgres"].settings
    assert list(written.channels) == list(meant.channels)
    assert written.channels["predictions"].told == meant.channels["predictions"].told


def test_what_is_wrong_with_the_variables_of_data_ws_is_told_without_the_password(root: Path) -> None:
    environment = {"HOME": "/root", "DB_PASSWORD": "hunter2\x07", "DB_PORT": "99999", "DB_HOST": "/run"}
    asked = Request(
        file=profile(root, "data-ws"), listen=(), overrides=(), state_dir=None, environment=environment
    )
    with pytest.raises(SettingsError) as caught:
        list(check(asked))
    told = {mistake.origin: str(mistake) for mistake in caught.value.mistakes}
    assert told.keys() == {"DB_HOST", "DB_PASSWORD", "DB_PORT"}
    assert told["DB_PORT"] == "DB_PORT: sources.postgres.port: must be at most 65535, not 99999"
    assert "found U+0007 as character 8" in told["DB_PASSWORD"]
    assert "hunter2" not in str(caught.value)


def test_trading_stream_has_the_figures_of_its_document(root: Path) -> None:
    text, settings = spec(root, "trading-stream"), loaded(root, "trading-stream").settings
    [listen] = settings.listen
    assert listen.url == f"tcp://0.0.0.0:{number(r'ws://localhost:([0-9]+)/ws', text)}"
    assert (listen.auth, listen.origins) == ("none", ("*",))
    _, _, section = text.partition("### Status Endpoint\n")
    status = json.loads(re.findall(r"```json\n(.*?)```", section, re.DOTALL)[0])
    assert settings.trading.enabled is status["enabled"]
    assert settings.trading.price_interval == status["price_update_interval"]
    assert settings.trading.portfolio_interval == status["portfolio_update_interval"]
    assert settings.heartbeat.interval == status["ping_interval"]
    assert settings.limits.sessions == status["max_connections"]
    assert settings.paths == {"/ws": "trading"}
    environment = dict(re.findall(r"^(WEBSOCKET_[A-Z_]+)=(\S+)$", text, re.MULTILINE))
    assert loaded(root, "trading-stream", environment).settings == settings


def test_ara_has_the_figures_of_its_document(root: Path) -> None:
    text, settings = spec(root, "ara"), loaded(root, "ara").settings
    [listen] = settings.listen
    assert listen.url == f"tcp://0.0.0.0:{number(r'ws://localhost:([0-9]+)/ws', text)}"
    assert "support optional authentication" in text
    assert (listen.auth, listen.origins) == ("optional", ("*",))
    assert settings.heartbeat.interval == float(number(r"default: every (\d+) seconds", text))
    assert settings.legacy_environment == ()


def test_cryptointel_has_the_figures_of_its_document(root: Path) -> None:
    text, settings = spec(root, "cryptointel"), loaded(root, "cryptointel").settings
    [listen] = settings.listen
    assert "**WSS Only**" in text
    assert re.search(r"wss://[\w.-]+:\d", text) is None
    assert listen.url == "tls://0.0.0.0:443"
    assert "WebSocket connections require authentication" in text
    assert listen.auth == "required"
    assert settings.paths == {"/ws": "cryptointel"}
    limits = settings.limits
    assert limits.connections_per_minute == number(r"(\d+) connections per minute per IP", text)
    assert limits.messages_per_minute == number(r"(\d+) messages per minute per connection", text)
    assert limits.subscriptions == number(r"(\d+) channels per connection", text)
    assert limits.message_bytes == number(r"Maximum (\d+)KB per message", text) * KIB
    assert limits.idle == number(r"Idle connections closed after (\d+) minutes", text) * 60.0
    assert limits.sessions == number(r"Concurrent Connections\*\*: (\d+)\+", text)
    assert limits.connections >= limits.sessions
