"""Holds docs/migrate.md: all that it names is there, its commands start, and its events are taken."""

from __future__ import annotations

import ast
import contextlib
import http.client
import inspect
import json
import os
import re
import shlex
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from appliance import broadcast
from appliance.access.principals import Principal
from appliance.cli import main
from appliance.core.entitlements import Entitlements
from appliance.core.errors import ErrorCode
from appliance.core.topics import Aliases
from appliance.edge.ways import Ways
from appliance.loading.catalogue import collect
from appliance.loading.configured import configure
from appliance.loading.files import builtin_folder
from appliance.runtime.submission import Reading
from appliance.settings import document
from appliance.settings.address import Address
from appliance.settings.legacy import SYSTEMS
from appliance.settings.load import load
from appliance.settings.tree import Settings
from appliance.sources.postgres.settings import PostgresSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from appliance.api import Event

PROFILES = ("data-ws", "trading-stream", "ara", "cryptointel")
BLOCK = re.compile(r"^(?:<!-- (\S+) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE = 30.0
APPLICATION = {"APPLIANCE_URL", "APPLIANCE_KEY", "APPLIANCE_CERTIFICATE"}


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "migrate.md").read_text(encoding="utf-8")


@pytest.fixture(params=PROFILES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def section(page: str, heading: str) -> str:
    _, found, rest = page.partition(f"\n## {heading}\n")
    assert found
    return rest.partition("\n## ")[0]


def settings(root: Path, name: str) -> Settings:
    return load(file=root / "config" / f"{name}.toml", environment={}).settings


def prose(page: str) -> str:
    return BLOCK.sub("", page)


def code(text: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`\n]+)`", prose(text))


def blocks(text: str, kind: str) -> list[str]:
    return [found for _, written, found in BLOCK.findall(text) if written == kind]


def commands(text: str) -> list[list[str]]:
    """The command lines of the shell blocks, as words."""
    joined = "\n".join(blocks(text, "sh")).replace("\\\n", " ")
    return [shlex.split(line) for line in joined.splitlines() if line]


def requests(text: str) -> set[tuple[str, str]]:
    """The paths that are named with their method, without their queries."""
    return set(re.findall(r"`(GET|WS) (/[^`?\s]*)[^`]*`", text))


# --- What it names. ---


def test_there_is_a_part_for_each_profile(page: str) -> None:
    assert tuple(re.findall(r"^## (.*)$", page, re.MULTILINE))[2:] == PROFILES


def test_the_first_table_says_what_the_profiles_say(page: str, root: Path) -> None:
    rows = re.findall(
        r"^\| \[(\S+)\]\(#\1\) \| \[(\S+)\]\(\.\./\2\) \| `(\S+)` \| (\w+) \|$", page, re.MULTILINE
    )
    assert [name for name, *_ in rows] == list(PROFILES)
    for name, file, url, auth in rows:
        [listen] = settings(root, name).listen
        assert (file, url, auth) == (f"config/{name}.toml", listen.url, listen.auth)


def test_links_lead_somewhere(page: str, root: Path) -> None:
    headings = {
        re.sub(r"[^\w-]", "", h.lower().replace(" ", "-"))
        for h in re.findall(r"^## (.*)$", page, re.MULTILINE)
    }
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert links
    for link in links:
        if link.startswith("#"):
            assert link[1:] in headings
        else:
            assert (root / "docs" / link).is_file(), link


def test_settings_exist(page: str) -> None:
    known = {row.path for row in document.rows()}
    known |= {f"sources.postgres.{row.path}" for row in document.rows(PostgresSettings)}
    known |= {path.rpartition(".")[0].removesuffix("[]") for path in known}
    tops = {attribute.name for attribute in attrs.fields(Settings)}
    named = {text for text in code(page) if re.split(r"[.\[]", text)[0] in tops}
    assert len(named) > 10
    assert {path for path in named if re.sub(r"\[\d*\]", "[]", path) not in known} == set()


def test_variables_are_those_that_are_read(page: str) -> None:
    known = {variable for system in SYSTEMS.values() for variable in system.variables}
    named = {text for text in code(page) if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", text)}
    assert named == known | APPLICATION | {ErrorCode.EXPIRED_TOKEN}
    assert [text for text in code(page) if "…" in text] == ["APPLIANCE_…", "DB_…"]


def test_variables_of_the_application_are_those_that_it_reads(root: Path) -> None:
    text = (root / "appliance" / "broadcast.py").read_text(encoding="utf-8")
    assert set(re.findall(r'environ\.get\("(\w+)"\)', text)) == APPLICATION


def test_each_variable_has_its_row(page: str, name: str) -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*) \|$", section(page, name), re.MULTILINE))
    variables = next((system.variables for known, system in SYSTEMS.items() if known == name), {})
    assert ("There are no variables of the environment." in section(page, name)) == (variables == {})
    assert list(rows) == list(variables)
    for variable, becomes in rows.items():
        assert f"`{variables[variable].path}`" in becomes, variable
        assert ("in seconds" in becomes) == (variables[variable].kind == "seconds")


def test_figures_are_those_of_the_profiles(page: str, root: Path) -> None:
    for name in PROFILES:
        [listen] = settings(root, name).listen
        named = set(re.findall(r"[Pp]ort (\d+)", section(page, name)))
        assert named == {str(Address.parse(listen.url).port)}
    data_ws, trading, ara, cryptointel = (settings(root, name) for name in PROFILES)
    interval = data_ws.sources["simulated"].options["interval"]
    assert f"not up to {interval.replace('s', ' s')} later" in section(page, "data-ws")
    assert f"`data_ws.symbol` (`{data_ws.data_ws.symbol}`)" in section(page, "data-ws")
    for said in (
        f"`price_update` every\n{trading.trading.price_interval:g} s",
        f"`portfolio_update` every {trading.trading.portfolio_interval:g} s",
        f"at most {trading.limits.sessions} clients",
    ):
        assert said in section(page, "trading-stream")
    assert f"by `pong`, {ara.heartbeat.interval:g} s after" in section(page, "ara")
    limits = cryptointel.limits
    for said in (
        f"from an address {limits.connections_per_minute} connections a minute",
        f"{limits.messages_per_minute} messages a\nminute",
        f"{limits.subscriptions} channels",
        f"{limits.message_bytes // 1024} KiB a message",
        f"{(limits.idle or 0) / 60:g} minutes without one",
        f"{limits.sessions:,} connections.",
        f"the {limits.connections_per_minute} connections a minute",
    ):
        assert said in section(page, "cryptointel"), said
    limits, general = Settings().limits, section(page, "What holds for all")
    assert f"messages a minute ({limits.messages_per_minute} unless" in general
    assert f"`limits.message_bytes` ({limits.message_bytes // 1024} KiB)" in general
    assert f"connections a minute ({limits.connections_per_minute:,})" in general


# --- Its commands. ---


def test_every_block_is_of_a_kind_that_is_held(page: str) -> None:
    assert {kind for _, kind, _ in BLOCK.findall(page)} == {"sh", "python"}
    assert page.count("```") == 2 * len(BLOCK.findall(page))


def test_commands_are_those_of_the_appliance(page: str, root: Path) -> None:
    started = []
    for words in commands(page):
        while re.fullmatch(r"[A-Z_]+=.*", words[0]):
            assert words.pop(0).partition("=")[0] in SYSTEMS["data-ws"].variables
        if words[0] == "appliance.pyz":
            assert words[1] == "serve"
            # Click says what is wrong with an option by raising.
            above = main.cli.make_context("appliance", words[1:])
            file = main.serve.make_context("serve", words[2:], parent=above).params["file"]
            assert (root / "config" / file).is_file()
            started.append(file.stem)
        else:
            assert words[0] in ("install", "openssl", "chmod", "curl")
    assert started == list(PROFILES)


def test_the_key_is_made_where_a_profile_looks_for_it(page: str, root: Path) -> None:
    profile = (root / "config" / "trading-stream.toml").read_text(encoding="utf-8")
    [key_file] = re.findall(r'key_file = "(.*)"', profile)
    shell = "\n".join(blocks(page, "sh"))
    assert set(re.findall(r"(/etc/\S+?)(?:\)|$)", shell, re.MULTILINE)) == {
        key_file,
        key_file.rpartition("/")[0],
    }


def test_another_port_keeps_the_policy(page: str, root: Path) -> None:
    [override] = re.findall(r"`--set '([^`]*)'`", page)
    found = load(file=root / "config" / "trading-stream.toml", environment={}, overrides=[override])
    [listen], [before] = found.settings.listen, settings(root, "trading-stream").listen
    assert listen == attrs.evolve(before, url="tcp://0.0.0.0:9000")


# --- Its paths. ---


@contextlib.contextmanager
def started(words: list[str], folder: Path, root: Path) -> Iterator[Address]:
    """Start what a command line of the page says, on a free port of this machine alone."""
    variables = dict(word.split("=", 1) for word in words if re.fullmatch(r"[A-Z_]+=.*", word))
    arguments = words[words.index("serve") :]
    file = root / "config" / arguments[-1]
    kind = Address.parse(load(file=file, environment={}).settings.listen[0].url).kind
    more = ["--state-dir", str(folder), "--set", f"listen[0].url={kind}://127.0.0.1:0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance.cli.main", *arguments[:-1], str(file), *more],
        cwd=root,
        env={"PATH": os.environ["PATH"], **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    watch = threading.Timer(PATIENCE, process.kill)
    watch.start()
    with process:
        try:
            assert process.stderr is not None
            told = (json.loads(line) for line in process.stderr)
            [url] = next(line["listeners"] for line in told if line["event"] == "serving")
            yield Address.parse(url)
        finally:
            process.kill()
            watch.cancel()


def ask(address: Address, method: str, path: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
    connection: http.client.HTTPConnection
    if address.kind == "tls":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            address.host, address.port, timeout=PATIENCE, context=context
        )
    else:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request(method, path, headers=dict(headers))
        response = connection.getresponse()
        if "text/event-stream" not in response.headers.get("content-type", ""):
            response.read()
        return response


def test_the_command_of_each_system_serves_the_paths_of_its_part(
    page: str, root: Path, name: str, tmp_path: Path
) -> None:
    part = section(page, name)
    [words] = commands(part)
    paths = Ways(settings(root, name).paths)
    with started(words, tmp_path, root) as address:
        made = tmp_path / "api_key"
        key = made.read_text(encoding="utf-8").strip() if made.exists() else "your_secure_api_key_here"
        for method, path in requests(part) | requests(section(page, "What holds for all")):
            if method == "WS":
                assert paths.find(path.replace("{symbol}", "AAPL")) is not None, path
                continue
            query = "?channels=price:BTC" if path == "/sse" else ""
            response = ask(address, "GET", path + query, {"Authorization": f"Bearer {key}"})
            # The client of browsers is built: a checkout may be without it.
            assert response.status == 200 or path == "/websocket-client.js", path
        shown = settings(root, name).listen[0].auth == "required"
        assert ask(address, "GET", "/ws/stats", {}).status == (401 if shown else 200)
        assert ask(address, "POST", "/api/v1/publish", {}).status == 401


# --- Its events. ---


@attrs.define
class Taken:
    """What an appliance with the lines of a profile in use would publish. It raises where that would refuse."""

    reading: Reading
    channels: set[str]
    events: list[Event] = attrs.Factory(list)

    async def publish(self, event: bytes, key: str | None) -> broadcast.Receipt:
        await trio.lowlevel.checkpoint()
        return self.publish_blocking(event, key)

    def publish_blocking(self, event: bytes, key: str | None) -> broadcast.Receipt:
        assert key is None
        taken = self.reading.event(json.loads(event), lambda *steps: ".".join(steps))
        assert self.reading.flaws == []
        assert taken is not None
        self.events.append(taken)
        return {"published": 1}

    def connections(self) -> Mapping[str, Any]:
        return {"total": 0, "channels": {}}


def in_use(root: Path, name: str, folder: Path) -> Taken:
    text = (root / "config" / f"{name}.toml").read_text(encoding="utf-8")
    text = re.sub(r"^#(?=[\w\[\"])", "", text, flags=re.MULTILINE)
    for key_file in re.findall(r'key_file = "(.*)"', text):
        own = folder / Path(key_file).name
        own.write_text(own.name, encoding="utf-8")
        text = text.replace(key_file, str(own))
    file = folder / "profile.toml"
    file.write_text(text, encoding="utf-8")
    found = load(file=file, environment={})
    channels = {each.channel.name: each for each in configure(collect([builtin_folder()]), found)}
    [publisher] = [
        Principal(key.name, Entitlements(publish=key.publish))
        for key in found.settings.auth.keys
        if key.publish
    ]
    reading = Reading(channels, publisher, Aliases(found.settings.aliases), time.time())
    return Taken(reading, set(channels))


async def run(source: str, taken: Taken) -> dict[str, Any]:
    """Run a block of Python as it stands, `await` included, where it publishes into `taken`."""
    names: dict[str, Any] = {}
    compiled = compile(source, "migrate.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with broadcast.inside(taken):
        result = eval(compiled, names)  # noqa: S307 - the page's own examples
        if inspect.isawaitable(result):
            await result
    return names


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "ara"])  # its functions are below
async def test_each_profile_takes_the_events_of_its_part(
    page: str, root: Path, name: str, tmp_path: Path
) -> None:
    taken = in_use(root, name, tmp_path)
    for source in blocks(section(page, name), "python"):
        await run(source, taken)
    assert {event.channel for event in taken.events} == taken.channels


async def test_the_example_for_all_is_taken(page: str, root: Path, tmp_path: Path) -> None:
    taken = in_use(root, "trading-stream", tmp_path)
    part = section(page, "Real rows")
    [source] = blocks(part, "python")
    await run(source, taken)
    curl = commands(part)[-1]
    await taken.publish(curl[curl.index("-d") + 1].encode(), None)
    assert [(event.channel, event.key, event.data["price"]) for event in taken.events] == [
        ("price", "AAPL", 150.25)
    ] * 2
    [listen] = settings(root, "trading-stream").listen
    assert curl[-1] == f"http://127.0.0.1:{Address.parse(listen.url).port}/api/v1/publish"


async def test_the_modules_of_ara_give_what_its_document_imports(
    page: str, root: Path, tmp_path: Path
) -> None:
    """The document's own Python, with the two modules of the page in the place of ara's."""
    modules = {file: text for file, kind, text in BLOCK.findall(section(page, "ara")) if kind == "python"}
    assert [text.count("\n") for text in modules.values()] == [1, 1]
    taken = in_use(root, "ara", tmp_path)
    spec = (root / "tests" / "spec" / "ara.md").read_text(encoding="utf-8")
    used = [text for text in blocks(spec, "python") if "from ara." in text]
    for source in used:
        imports = {file: f"from {file.removesuffix('.py').replace('/', '.')} import" for file in modules}
        [file] = [file for file, beginning in imports.items() if beginning in source]
        (tree,) = [node for node in ast.parse(source).body[:1] if isinstance(node, ast.ImportFrom)]
        given = await run(modules[file], taken)
        assert {alias.name for alias in tree.names} <= given.keys()
        await run(source.replace(imports[file], "from appliance.broadcast import"), taken)
    assert len(used) == len(modules)
    assert [(event.channel, event.key) for event in taken.events] == [
        ("predictions", "AAPL"),
        ("price", "AAPL"),
        ("alerts", "AAPL"),
    ]
