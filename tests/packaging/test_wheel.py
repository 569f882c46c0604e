"""The wheel, installed by pip and by pipx: what an operator does with it goes as with the one file."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import build_zipapp
import pytest

import appliance
from tests.e2e import running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PATIENCE = 180.0
PLUGINS = ("plugins", "list", "--state-dir", "/nowhere")


def run(*words: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(zipapp: Path) -> Path:
    assert zipapp.exists(), "the wheel is made with it"
    (found,) = (build_zipapp.BUILD / "wheel").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def index(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels of the locked dependencies, packed again from what the build has installed, in place of a network."""
    folder = tmp_path_factory.mktemp("index")
    for dist in metadata.distributions(path=[str(wheel.parent.parent / "dependencies")]):
        tag = re.findall(r"(?m)^Tag: (\S+)$", dist.read_text("WHEEL") or "")[
            -1
        ]  # the first may be for Python 2
        name = f"{dist.name.replace('-', '_')}-{dist.version}-{tag}.whl"
        with zipfile.ZipFile(folder / name, "w") as opened:
            for file in dist.files or ():
                if file.parts[0] != ".." and Path(str(dist.locate_file(file))).is_file():
                    opened.writestr(str(file), file.read_binary())
    return folder


def make_environment(folder: Path) -> Path:
    """Give the pip of it, a copy of ours: to install the one that Python brings takes longer than all else."""
    folder.mkdir(parents=True)
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    distribution = metadata.distribution("pip")
    for name in {file.parts[0] for file in distribution.files or () if file.parts[0] != ".."}:
        shutil.copytree(str(distribution.locate_file(name)), packages / name)
    pip = folder / "bin/pip"
    pip.write_text(
        f"#!{folder}/bin/python\nfrom pip._internal.cli.main import main\nraise SystemExit(main())\n"
    )
    pip.chmod(0o755)
    return pip


@pytest.fixture(scope="module", params=["pip", "pipx"])
def program(
    request: pytest.FixtureRequest, wheel: Path, index: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The command that a user has once it is installed."""
    folder = tmp_path_factory.mktemp(request.param)
    offline = {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_COMPILE": "0",
    }
    if request.param == "pip":
        pip = make_environment(folder / "venv")
        run(pip, "install", "-q", wheel, cwd=folder, environment=offline)
        run(pip, "check", cwd=folder)
        return folder / "venv/bin/appliance"
    make_environment(
        folder / "pipx/shared"
    )  # has the pip that pipx uses for all; it would download the newest
    homes = {"PIPX_HOME": str(folder / "pipx"), "PIPX_BIN_DIR": str(folder / "bin")}
    pipx = {**offline, **homes, "PIPX_DISABLE_SHARED_LIBS_AUTO_UPGRADE": "1"}
    command = (sys.executable, "-m", "pipx", "install", "--python", sys.executable, wheel)
    run(*command, cwd=folder, environment=pipx)
    return folder / "bin/appliance"


def test_it_is_the_same_version(program: Path, tmp_path: Path) -> None:
    assert run(program, "version", cwd=tmp_path) == f"appliance {appliance.__version__}\n"


@pytest.fixture(scope="module")
def of_the_file(zipapp: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The plugins that the file has."""
    folder = tmp_path_factory.mktemp("file")
    unpacked = {"SHIV_ROOT": running.surroundings(zipapp)["SHIV_ROOT"]}
    return run(*running.command(zipapp), *PLUGINS, cwd=folder, environment=unpacked)


def test_it_has_the_plugins_of_the_file(program: Path, of_the_file: str, tmp_path: Path) -> None:
    of_the_wheel = run(program, *PLUGINS, cwd=tmp_path)
    assert re.search(r"(?m)^price +loaded", of_the_wheel)
    assert within(of_the_wheel) == within(of_the_file)


def within(text: str) -> str:
    """Leave out where the packages are."""
    return re.sub(r"/\S*/site-packages/", "", text)


def test_it_checks_a_configuration(program: Path, root: Path, tmp_path: Path) -> None:
    file = root / "config" / "data-ws.toml"
    told = run(program, "check", file, cwd=tmp_path)
    assert told.startswith(f"{file}: good\n")
    assert "channel predictions" in told


def test_it_serves_streams_and_its_page(program: Path, tmp_path: Path) -> None:
    words = (program, "serve", "--listen", "tcp://127.0.0.1:0", "--state-dir", tmp_path / "state")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with subprocess.Popen(
        words, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            address = next(listeners(process))
            assert b"<html" in get(f"http://{address}/")
            assert json.loads(get(f"http://{address}/health"))
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


def listeners(process: subprocess.Popen[bytes]) -> Iterator[str]:
    assert process.stderr is not None
    for line in process.stderr:
        logged = json.loads(line)
        if logged["event"] == "serving":
            yield logged["listeners"][0].partition("://")[2]
    pytest.fail("it does not serve")


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 - of our own process
        body: bytes = answer.read()
        return body
