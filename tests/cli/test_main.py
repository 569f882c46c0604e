from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

import appliance
from appliance.cli.main import cli
from tests import asking

CONTROLS = "expected text without control characters, found"
ROOT = Path(appliance.__file__).parent.parent


@attrs.frozen
class Done:
    """How a command ended."""

    status: int
    output: str
    errors: str


ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/nowhere"}


def run(*arguments: str | Path, **environment: str) -> Done:
    """Run the command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "appliance.cli.main", *map(str, arguments)],
        cwd=ROOT,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def ask(*arguments: str | Path, **environment: str) -> Done:
    """As `run`, behind the commands that are loaded already: for the other cases of what they say."""
    whole = {**ENVIRONMENT, **environment}
    done = asking.of_this_tree().run(*map(str, arguments), folder=ROOT, environment=whole)
    return Done(done.returncode, done.stdout, done.stderr)


def invoke(*arguments: str) -> Done:
    """Call the commands, up to where they would need anything but their arguments."""
    done = CliRunner().invoke(cli, arguments, prog_name="appliance")
    return Done(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "appliance.toml"


def test_help_lists_the_commands() -> None:
    for arguments in (["--help"], ["-h"]):
        done = invoke(*arguments)
        assert done.status == 0
        assert [line.split()[0] for line in done.output.partition("Commands:\n")[2].splitlines()] == [
            "check",
            "describe",
            "doctor",
            "keys",
            "plugins",
            "record",
            "replay",
            "serve",
            "sql",
            "store",
            "systemd",
            "token",
            "upgrade",
            "version",
        ]


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("serve", {"--config", "--listen", "--state-dir", "--set"}),
        ("check", {"--listen", "--state-dir", "--set", "--connect", "--timeout"}),
        ("describe", {"--config", "--listen", "--state-dir", "--set"}),
        ("version", set()),
    ],
)
def test_help_explains_each_option(command: str, options: set[str]) -> None:
    done = invoke(command, "--help")
    assert done.status == 0
    listed = done.output.partition("Options:\n")[2].splitlines()
    beginnings = [line.split() for line in listed if line.startswith("  -")]
    assert {words[0] for words in beginnings} == options | {"-h,"}
    assert [words for words in beginnings if len(words) < 3] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sevre"], "No such command 'sevre'"),
        (["serve", "--port", "80"], "No such option '--port'"),
        (["serve", "now"], "unexpected extra argument (now)"),
        (["serve", "--config", "/"], "File '/' is a directory"),
        (["check"], "Missing argument 'FILE'"),
        (["check", "a.toml", "--connect", "--timeout", "0"], "0.0 is not in the range 0<x<=3600"),
        (["version", "--short"], "No such option '--short'"),
    ],
)
def test_wrong_arguments_are_told_with_the_usage(arguments: list[str], words: str) -> None:
    done = invoke(*arguments)
    assert done.status == 2
    assert words in done.errors
    assert done.errors.startswith("Usage: appliance")
    assert done.output == ""


def test_the_version_is_told_without_loading_the_server() -> None:
    script = """if True:
        import sys
        from appliance.cli.main import main
        sys.argv = ["appliance", "version"]
        try:
            main()
        finally:
            print(*sorted({"trio", "cryptography", "hypercorn", "starlette", "cattrs"} & sys.modules.keys()))
    """
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == (f"appliance {appliance.__version__}\n\n", "")
    assert done.returncode == 0


def test_check_tells_what_a_good_file_means(file: Path) -> None:
    file.write_text(
        '[[listen]]\nurl = "tcp://127.0.0.1:0"\nauth = "none"\n[channels.trades]\nenabled = false\n'
    )
    done = ask("check", file, "--set", "channels.market.enabled=false")
    assert (done.status, done.errors) == (0, "")
    assert done.output.splitlines() == [
        f"{file}: good",
        "  listens on tcp://127.0.0.1:0, authentication none",
        "  channel alerts (log)",
        "  channel drift (log)",
        "  channel portfolio (state)",
        "  channel predictions (state)",
        "  channel price (state)",
        "  channel scores (state)",
        "  channel signals (log)",
    ]


@pytest.mark.parametrize("command", [("check",), ("serve", "--config")])
def test_all_mistakes_are_told_and_end_with_status_2(file: Path, command: tuple[str, ...]) -> None:
    file.write_text("[limits]\nsesions = 5\n\n[stop]\ndeadline = 3600\n")
    done = ask(*command, file, APPLIANCE_LOG__LEVEL="loud")
    assert (done.status, done.output) == (2, "")
    head, *mistakes = done.errors.splitlines()
    assert head == "appliance: the configuration has 3 mistakes"
    assert [mistake.split(": ", 2)[:2] for mistake in mistakes] == [
        [f"  {file}:2", "limits.sesions"],
        [f"  {file}:5", "stop.deadline"],
        ["  APPLIANCE_LOG__LEVEL", "log.level"],
    ]


def test_mistakes_in_the_settings_of_plugins_are_told_alike(file: Path) -> None:
    file.write_text("[channels.signals]\nhigh = 2\n")
    done = ask("check", file)
    assert done.status == 2
    assert done.errors.splitlines() == [
        "appliance: the configuration has a mistake",
        f"  {file}:2: channels.signals.high: must be at most 1, not 2",
    ]


@pytest.mark.parametrize("command", [("check",), ("serve", "--config")])
def test_what_is_wrong_in_the_file_and_in_plugins_is_told_in_one_go(
    tmp_path: Path, file: Path, command: tuple[str, ...]
) -> None:
    plugin = tmp_path / "broken.py"
    plugin.write_text("import nothing_of_this_name\n")
    file.write_text(
        f'plugins_dir = ["{tmp_path}"]\n[channels.signals]\nhigh = 2\n[limits]\nsessions = 0\n'
        '[channels.of_the_broken_one]\n[tls]\ncertificate = "/a\\u0000b"\nkey = "key.pem"\n'
    )
    done = ask(*command, file)
    assert (done.status, done.output) == (2, "")
    assert done.errors.splitlines() == [
        "appliance: the configuration has 4 mistakes",
        f"  {file}:3: channels.signals.high: must be at most 1, not 2",
        f"  {file}:5: limits.sessions: must be at least 1, not 0",
        f"  {file}:8: tls.certificate: {CONTROLS} U+0000 as character 3 of it",
        (
            f"  {plugin}:1: ModuleNotFoundError: No module named 'nothing_of_this_name': install it for "
            f"{sys.executable}, or put it beside the plugin in one zip"
        ),
    ]


def test_all_plugins_that_do_not_load_are_told(tmp_path: Path, file: Path) -> None:
    for name in ("first.py", "second.py"):
        (tmp_path / name).write_text("1 / 0\n")
    file.write_text(f'plugins_dir = ["{tmp_path}"]\n')
    done = ask("check", file)
    assert (done.status, done.output) == (1, "")
    assert done.errors.splitlines() == [
        f"appliance: {tmp_path / name}:1: ZeroDivisionError: division by zero"
        for name in ("first.py", "second.py")
    ]


def test_a_plugin_that_does_not_load_is_told_in_a_line(tmp_path: Path, file: Path) -> None:
    plugin = tmp_path / "broken.py"
    plugin.write_text("import nothing_of_this_name\n")
    file.write_text(f'plugins_dir = ["{tmp_path}"]\n')
    done = ask("check", file)
    assert (done.status, done.output) == (1, "")
    assert done.errors == (
        f"appliance: {plugin}:1: ModuleNotFoundError: No module named 'nothing_of_this_name': install it for "
        f"{sys.executable}, or put it beside the plugin in one zip\n"
    )


def test_a_port_that_is_taken_is_told_in_a_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        done = run("serve", "--listen", url, "--state-dir", tmp_path / "state")
    assert (done.status, done.output) == (1, "")
    assert done.errors.startswith(f"appliance: {url}: the port is taken")
    assert done.errors.count("\n") == 1


def test_a_state_folder_that_cannot_be_is_told_in_a_line(file: Path) -> None:
    file.write_text("")
    done = ask("serve", "--listen", "tcp://127.0.0.1:0", "--state-dir", file)
    assert (done.status, done.output) == (1, "")
    assert done.errors.startswith(f"appliance: state folder {file}")
    assert done.errors.count("\n") == 1


def test_a_file_that_is_not_there_is_told(file: Path) -> None:
    done = ask("serve", "--config", file)
    assert done.status == 2
    assert f"{file}: cannot be read: No such file or directory" in done.errors
