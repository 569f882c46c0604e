"""The command line and the start, as an operator meets them: what is shown, what is made, and why a start fails."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shlex
import socket
import ssl
import stat
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from websockets.sync.client import connect, unix_connect
from websockets.typing import Origin

from tests.e2e import running
from tests.e2e.running import SECRET
from tests.e2e.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.asking import Loaded
    from tests.e2e.conftest import Invoke, Start
    from tests.e2e.running import Running

pytestmark = pytest.mark.launched

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture(scope="module")
def ask(zipapp: Path, loaded: Loaded) -> Invoke:
    """As `invoke`, of the built file that is loaded already: for the other cases of what a command says."""

    def run(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        environment = running.surroundings(zipapp, options.pop("environment", None))
        done = loaded.run(*words, environment=environment, **options)
        assert SECRET not in done.stdout + done.stderr
        return done

    return run


# --- Commands. ---


def test_version_is_told(invoke: Invoke) -> None:
    done = invoke("version")

    assert done.returncode == 0
    assert re.fullmatch(r"appliance \d+\.\d+\.\d+\S*\n", done.stdout)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), ("serve", "check", "version")),
        (("serve",), ("--config", "--listen", "--state-dir", "--set", "SIGTERM", "SIGHUP", "APPLIANCE_")),
        (("check",), ("FILE", "--set")),
        (("version",), ("version",)),
    ],
    ids=["appliance", "serve", "check", "version"],
)
def test_help_is_given(invoke: Invoke, words: tuple[str, ...], told: tuple[str, ...]) -> None:
    done = invoke(*words, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert [word for word in told if word not in done.stdout] == []


@pytest.mark.parametrize("words", [("swerve",), ("serve", "--porte", "1"), ("check",)])
def test_a_wrong_command_line_is_told(invoke: Invoke, words: tuple[str, ...]) -> None:
    done = invoke(*words)

    assert done.returncode == 2
    assert done.stderr.startswith("Usage: appliance")


def test_check_tells_what_a_good_file_means(invoke: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text('[[listen]]\nurl = "tcp://127.0.0.1:8080"\nauth = "none"\n')

    done = invoke("check", str(file))

    assert done.returncode == 0, done.stderr
    assert f"{file}: good" in done.stdout
    assert "tcp://127.0.0.1:8080, authentication none" in done.stdout
    assert "channel price (state)" in done.stdout


@pytest.mark.parametrize("words", [("check",), ("serve", "--config")], ids=["check", "serve"])
def test_all_mistakes_of_a_configuration_are_told_at_once(
    invoke: Invoke, tmp_path: Path, words: tuple[str, ...]
) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text('[limits]\nsesions = 5\nhandshake = 0\nmessage_bytes = "much"\n')

    done = invoke(*words, str(file))

    assert done.returncode == 2
    assert done.stdout == ""
    first, *mistakes = done.stderr.splitlines()
    assert first.startswith("appliance: the configuration has ")
    places = [mistake.removeprefix(f"  {file}:").split(": ")[:2] for mistake in mistakes]
    assert places[:3] == [["2", "limits.sesions"], ["3", "limits.handshake"], ["4", "limits.message_bytes"]]
    assert "`sessions`" in mistakes[0]


MISTAKEN = """
[sources.simulated]
intervall = "1s"
[sources.mine]
kind = "simulatd"
[channels.prise]
enabled = true
[channels.price]
source = "simulatde"
"""


@pytest.fixture(scope="module")
def mistakes(ask: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Sequence[str]:
    """What is told of a file in which all that is about plugins is a mistake, without its name."""
    file = tmp_path_factory.mktemp("mistaken") / "appliance.toml"
    file.write_text(MISTAKEN)
    done = ask("serve", "--config", str(file))
    assert done.returncode == 2
    return [line.removeprefix(f"  {file}:") for line in done.stderr.splitlines()[1:]]


@pytest.mark.parametrize(
    ("place", "nearest"),
    [
        ("3: sources.simulated.intervall: ", "interval"),
        ("6: channels.prise: ", "price"),
        ("9: channels.price.source: ", "simulated"),
        ("5: sources.mine.kind: ", "simulated"),
    ],
    ids=["option of a source", "channel", "source", "kind of source"],
)
def test_a_mistake_about_plugins_names_the_nearest(mistakes: Sequence[str], place: str, nearest: str) -> None:
    assert len(mistakes) == 4
    (mistake,) = [mistake for mistake in mistakes if mistake.startswith(place)]
    assert f"`{nearest}`" in mistake


# --- A start that succeeds. ---


def test_the_pasted_line_shows_the_market_move(appliance: Running) -> None:
    line = appliance.hello.strip().splitlines()[-1].strip()
    prices: set[float] = set()

    with subprocess.Popen(["sh", "-c", f"exec {line} --silent"], stdout=subprocess.PIPE, text=True) as curl:
        assert curl.stdout is not None
        for text in curl.stdout:
            if text.startswith("data: ") and '"price:BTC"' in text:
                prices.add(json.loads(text.removeprefix("data: ")).get("data", {}).get("price"))
            if len(prices - {None}) > 1:
                break
        curl.terminate()

    assert len(prices - {None}) > 1


def test_the_first_start_makes_a_key_that_stays(start: Start, tmp_path: Path) -> None:
    state = tmp_path / "xdg" / "appliance"
    first = start(environment={"XDG_STATE_HOME": str(state.parent)}, named=False, state=state)
    key, certificate = first.key, first.certificate.read_bytes()

    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert [stat.S_IMODE((state / name).stat().st_mode) for name in ("api_key", "certificate.key")] == [
        0o600
    ] * 2
    assert first.stop() == 0

    second = start(environment={"XDG_STATE_HOME": str(state.parent)}, named=False, state=state)
    assert (second.key, second.certificate.read_bytes()) == (key, certificate)
    assert second.get("/ws/stats")[0] == 200


def test_the_start_message_tells_how_to_connect(appliance: Running) -> None:
    served = ssl.get_server_certificate(("127.0.0.1", appliance.port))
    fingerprint = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256"],
        input=served,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.partition("=")[2]

    assert appliance.wss_url in appliance.hello
    assert fingerprint.strip() in appliance.hello
    assert str(appliance.state / "api_key") in appliance.hello
    assert appliance.key not in appliance.hello


def test_a_terminal_shows_the_key(zipapp: Path, tmp_path: Path) -> None:
    words = ("serve", "--state-dir", str(tmp_path / "state"), "--listen", running.ANY_PORT)
    with Terminal.start(zipapp, *words) as terminal:
        shown = terminal.wait_for("/sse?channels")
        key = (tmp_path / "state" / "api_key").read_text().strip()

        assert f"key          {key}\n" in shown
        assert "stopped" in terminal.stop()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_no_obstacle(zipapp: Path, tmp_path: Path, closed: str) -> None:
    path = tmp_path / "appliance.sock"
    words = shlex.join(
        [*running.command(zipapp), "serve", "--state-dir", str(tmp_path), "--listen", f"unix:{path}"]
    )
    process = subprocess.Popen(
        ["sh", "-c", f"exec {words} {closed}"],
        env=running.surroundings(zipapp),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with (
        process,
        contextlib.closing(socket.socket(socket.AF_UNIX)) as client,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(process.kill)
        deadline = time.monotonic() + running.PATIENCE
        while client.connect_ex(str(path)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            select.select((), (), (), 0.02)
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        process.terminate()

        assert process.wait(running.PATIENCE) == 0


def test_the_default_is_served_where_the_documents_say(ask: Invoke, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 8443))
        taken.listen()

        done = ask("serve", environment={"XDG_STATE_HOME": str(tmp_path)})

    assert "tls://127.0.0.1:8443: the port is taken" in one_line(done)


def test_each_listener_has_its_own_policy(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "appliance.sock"
    file = tmp_path / "appliance.toml"
    file.write_text(
        f"""
        [[listen]]
        url = "tls://127.0.0.1:0"
        origins = ["https://app.example"]

        [[listen]]
        url = "tcp://127.0.0.1:0"
        auth = "none"

        [[listen]]
        url = "unix:{path}"
        auth = "optional"
        limits = {{ subscriptions = 1 }}
        """
    )
    served = start("--config", str(file))
    asked = json.dumps({"type": "subscribe", "channels": ["price:BTC", "price:ETH"]})

    with served.connect(key="") as over_tls:
        over_tls.send(asked)
        assert "UNAUTHORIZED" in over_tls.recv(running.PATIENCE)
    with pytest.raises(Exception, match="403"), served.connect(origin="https://evil.example"):
        pass
    evil = Origin("https://evil.example")
    with connect(served.url("ws", "/ws", listener=1), origin=evil, proxy=None) as plain:
        plain.send(asked)
        assert "subscribed" in plain.recv(running.PATIENCE)
    with unix_connect(str(path), uri="ws://localhost/ws") as local:
        local.send(asked)
        assert "limits.subscriptions" in local.recv(running.PATIENCE)
    wrong = {"Authorization": f"Bearer {SECRET}"}
    with unix_connect(str(path), uri="ws://localhost/ws", additional_headers=wrong) as local:
        assert "INVALID_TOKEN" in local.recv(running.PATIENCE)


def test_several_listeners_on_the_command_line(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "appliance.sock"
    served = start("--listen", running.ANY_PORT, "--listen", "tcp://127.0.0.1:0", "--listen", f"unix:{path}")

    shown = {"Authorization": f"Bearer {served.key}"}
    with served.connect() as over_tls:
        over_tls.ping()
    with connect(served.url("ws", "/ws", listener=1), additional_headers=shown, proxy=None) as plain:
        plain.ping()
    with unix_connect(str(path), uri="ws://localhost/ws", additional_headers=shown) as local:
        local.ping()


# --- Where values come from. ---


@pytest.mark.parametrize(
    ("in_file", "in_environment", "on_command_line", "deadline"),
    [
        ("", {}, (), 10.0),
        ("[stop]\ndeadline = 4", {}, (), 4.0),
        ("[stop]\ndeadline = 4", {"APPLIANCE_STOP__DEADLINE": "3s"}, (), 3.0),
        ("[stop]\ndeadline = 4", {"APPLIANCE_STOP__DEADLINE": "3s"}, ("--set", "stop.deadline=2s"), 2.0),
    ],
    ids=["default", "file", "environment", "command line"],
)
def test_the_nearest_to_the_command_wins(
    start: Start,
    tmp_path: Path,
    *,
    in_file: str,
    in_environment: dict[str, str],
    on_command_line: tuple[str, ...],
    deadline: float,
) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text(in_file)
    listen = ("--listen", running.ANY_PORT)
    served = start("--config", str(file), *listen, *on_command_line, environment=in_environment)

    assert served.stop() == 0
    assert served.wait_for("stopping")["deadline"] == deadline


def test_keys_come_from_files_and_from_systemd(start: Start, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"in-a-file-{SECRET}\n")
    (tmp_path / "key").chmod(0o600)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "auth.keys").write_text(f"bob by-systemd-{SECRET}\n")
    file = tmp_path / "appliance.toml"
    file.write_text(f'[[auth.keys]]\nname = "alice"\nkey_file = "{tmp_path / "key"}"\n')

    served = start(
        *("--config", str(file), "--listen", running.ANY_PORT),
        environment={"CREDENTIALS_DIRECTORY": str(credentials)},
    )

    assert served.get("/ws/stats", key=f"in-a-file-{SECRET}")[0] == 200
    assert served.get("/ws/stats", key=f"by-systemd-{SECRET}")[0] == 200
    assert served.get("/ws/stats", key=f"neither-{SECRET}")[0] == 401
    assert not (served.state / "api_key").exists()


# --- A start that fails says why in one line. ---


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """Give the one line that a failed start wrote."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("appliance: ")
    return line


def a_file_in_the_way(folder: Path) -> str:
    folder.write_text("")
    return "a file stands in its way"


def a_key_for_everyone(folder: Path) -> str:
    folder.mkdir()
    (folder / "api_key").write_text(SECRET)
    (folder / "api_key").chmod(0o644)
    return f"chmod 600 {folder / 'api_key'}"


def a_folder_as_key(folder: Path) -> str:
    (folder / "api_key").mkdir(parents=True)
    return f"{folder / 'api_key'} is not a file"


def an_empty_key(folder: Path) -> str:
    folder.mkdir()
    (folder / "api_key").touch(0o600)
    return f"{folder / 'api_key'} is empty"


def a_certificate_without_key(folder: Path) -> str:
    folder.mkdir()
    (folder / "certificate.key").mkdir()
    return f"{folder / 'certificate.key'}"


@pytest.mark.parametrize(
    "prepare",
    [a_file_in_the_way, a_key_for_everyone, a_folder_as_key, an_empty_key, a_certificate_without_key],
)
def test_an_unusable_state_folder_is_told(
    ask: Invoke, tmp_path: Path, prepare: Callable[[Path], str]
) -> None:
    told = prepare(tmp_path / "state")

    done = ask("serve", "--state-dir", str(tmp_path / "state"), "--listen", running.ANY_PORT)

    assert told in one_line(done)


def test_a_state_folder_that_cannot_be_made_is_told(ask: Invoke) -> None:
    line = one_line(ask("serve", "--state-dir", "/proc/appliance", "--listen", running.ANY_PORT))

    assert "/proc/appliance" in line
    assert "--state-dir" in line


@needs_root
def test_a_state_folder_of_somebody_else_is_told(ask: Invoke, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    os.chown(tmp_path / "state", 12_345, 12_345)

    done = ask("serve", "--state-dir", str(tmp_path / "state"), "--listen", running.ANY_PORT)

    assert "belongs to user 12345" in one_line(done)


def test_a_taken_port_is_told(appliance: Running, invoke: Invoke, tmp_path: Path) -> None:
    (url,) = appliance.addresses

    assert f"{url}: the port is taken" in one_line(
        invoke("serve", "--state-dir", str(tmp_path), "--listen", url)
    )


def test_an_address_of_another_machine_is_told(ask: Invoke, tmp_path: Path) -> None:
    url = "tls://192.0.2.1:8443"

    assert url in one_line(ask("serve", "--state-dir", str(tmp_path), "--listen", url))


def test_a_taken_socket_is_told_and_left_alone(ask: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "appliance.sock"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen()

        done = ask("serve", "--state-dir", str(tmp_path / "state"), "--listen", f"unix:{path}")

    assert "another server listens there" in one_line(done)
    assert path.is_socket()


def test_a_stale_socket_is_replaced(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "appliance.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))

    start("--listen", f"unix:{path}")

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


@pytest.mark.parametrize(
    ("certificate", "told"),
    [("missing.pem", "cannot be read"), ("garbage.pem", "is not a certificate in PEM form")],
)
def test_an_unreadable_certificate_is_told(ask: Invoke, tmp_path: Path, certificate: str, told: str) -> None:
    (tmp_path / "garbage.pem").write_text("no certificate")
    (tmp_path / "key.pem").write_text("no key")

    done = ask(
        *("serve", "--state-dir", str(tmp_path / "state"), "--listen", running.ANY_PORT),
        *("--set", f"tls.certificate={tmp_path / certificate}", "--set", f"tls.key={tmp_path / 'key.pem'}"),
    )

    line = one_line(done)
    assert str(tmp_path / certificate) in line
    assert told in line


CHANNEL = """
from appliance.api import Channel, Mode, hookimpl

async def produce(feed, settings): ...

@hookimpl
def register_channels():
    return (Channel(name="{name}", mode=Mode.LOG, message="mine", produce=produce),)
"""


UNUSABLE = {
    "import": (
        "import os\nimport no_such_library\n",
        ":2: ModuleNotFoundError: No module named 'no_such_library'",
    ),
    "syntax": ("def broken(:\n", ":1: SyntaxError"),
    "at_import": ("\n\n1 / 0\n", ":3: ZeroDivisionError"),
    "clash": (CHANNEL.format(name="price"), "'price' is already registered by"),
    "name": (CHANNEL.format(name="No Name"), "'No Name' is no name for a channel"),
}
"""Plugins that cannot be used, by the names of their files, and why."""


@pytest.fixture(scope="module")
def unusable(ask: Invoke, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sequence[str]]:
    """A folder with these plugins, and the lines that tell of them."""
    folder = tmp_path_factory.mktemp("plugins")
    for name, (text, _) in UNUSABLE.items():
        (folder / f"{name}.py").write_text(text)
    file = tmp_path_factory.mktemp("configuration") / "appliance.toml"
    file.write_text(f'plugins_dir = ["{folder}"]\n')
    done = ask("check", str(file))
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert len(lines) == len(UNUSABLE)
    return folder, lines


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_plugin_that_cannot_be_used_is_told(unusable: tuple[Path, Sequence[str]], name: str) -> None:
    """Each in a line of its own, and all at once."""
    folder, lines = unusable
    (line,) = [line for line in lines if line.startswith(f"appliance: {folder / name}.py")]
    assert UNUSABLE[name][1] in line


def test_a_missing_configuration_is_told(ask: Invoke, tmp_path: Path) -> None:
    done = ask("serve", "--config", str(tmp_path / "missing.toml"))

    assert done.returncode == 2
    assert done.stderr.splitlines()[1:] == [
        f"  {tmp_path / 'missing.toml'}: cannot be read: No such file or directory"
    ]


def test_a_missing_key_file_is_told(ask: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text(f'[[auth.keys]]\nname = "alice"\nkey_file = "{tmp_path / "missing"}"\n')

    done = ask("serve", "--config", str(file), "--state-dir", str(tmp_path / "state"))

    assert done.returncode == 2
    (mistake,) = done.stderr.splitlines()[1:]
    assert mistake.startswith(f"  {file}:3: auth.keys[0].key_file: ")
    assert "No such file" in mistake
