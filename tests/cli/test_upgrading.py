"""Upgrades where no systemd is: the built file puts another in its own place, or refuses it, or is killed meanwhile.

Those under systemd are in tests/e2e/test_upgrades.py.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.ops.upgrade import package
from tests import unpacked
from tests.e2e.other_version import other_version
from tests.e2e.running import PATIENCE, command, surroundings

if TYPE_CHECKING:
    from collections.abc import Callable

    Upgrade = Callable[..., subprocess.CompletedProcess[str]]
    There = Callable[[], dict[str, str]]
    """Gives the versions of the files in the folder."""

pytestmark = pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs this machine")


@pytest.fixture(scope="module")
def two(zipapp: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another version."""
    return other_version(zipapp, tmp_path_factory.mktemp("two") / "two.pyz", "9.0.0")


@pytest.fixture(scope="module")
def cache(zipapp: Path, two: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where both versions have unpacked themselves."""
    folder = tmp_path_factory.mktemp("cache")
    unpacked.lay(zipapp, folder / "appliance" / "unpacked", two)
    return folder


@pytest.fixture
def present(zipapp: Path, tmp_path: Path) -> Path:
    """The file, installed."""
    installed = tmp_path / "lib" / "appliance.pyz"
    installed.parent.mkdir()
    installed.write_bytes(zipapp.read_bytes())
    return installed


@pytest.fixture
def environment(zipapp: Path, cache: Path, tmp_path: Path) -> dict[str, str]:
    own = {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CACHE_HOME": str(cache)}
    return {name: value for name, value in surroundings(zipapp, own).items() if name != "SHIV_ROOT"}


@pytest.fixture
def upgrade(present: Path, environment: dict[str, str]) -> Upgrade:
    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command(present), "upgrade", *map(str, words)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def versions(zipapp: Path, two: Path) -> dict[str, str]:
    """Those of the two files that may be in place whole, by their content."""
    return {found.digest: found.version for found in map(package.read, (zipapp, two))}


@pytest.fixture(scope="module")
def version(zipapp: Path) -> str:
    """That of the file which is in place at first."""
    return package.read(zipapp).version


@pytest.fixture
def there(present: Path, versions: dict[str, str]) -> There:
    def look() -> dict[str, str]:
        return {path.name: versions[digest(path)] for path in sorted(present.parent.iterdir())}

    return look


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_takes_the_place_of_another_and_goes_back(
    present: Path, two: Path, zipapp: Path, version: str, upgrade: Upgrade, there: There, tmp_path: Path
) -> None:
    config = tmp_path / "appliance.toml"
    config.write_text("[limits]\nsessions = 10\n")
    tried = upgrade(two, "--no-restart", "--dry-run", "--config", config)
    assert (tried.returncode, tried.stderr) == (0, "")
    assert "nothing was changed" in tried.stdout
    assert there() == {"appliance.pyz": version}

    done = upgrade(two, "--no-restart", "--config", config)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"9.0.0 is to take the place of {version}: {present}",
        "examined: the configuration is good, with 9 channels",
        "9.0.0 is in place, and runs from the next start on",
    ]
    assert there() == {"appliance.pyz": "9.0.0", "appliance.pyz.previous": version}

    (present.parent / "appliance.pyz.new").write_bytes(b"of one that was killed")
    again = upgrade(two, "--no-restart")
    assert (again.returncode, again.stdout) == (0, f"9.0.0 is in place already: {two} is the same file\n")
    assert there() == {"appliance.pyz": "9.0.0", "appliance.pyz.previous": version}

    refused = upgrade(zipapp, "--no-restart")
    assert f"{version} is older than 9.0.0" in refused.stderr
    back = upgrade("--previous", "--no-restart")
    assert (back.returncode, back.stderr) == (0, "")
    assert there() == {"appliance.pyz": version, "appliance.pyz.previous": "9.0.0"}


def test_all_that_speaks_against_a_file_is_told_and_nothing_changes(
    present: Path, two: Path, version: str, upgrade: Upgrade, there: There, tmp_path: Path
) -> None:
    older = other_version(present, tmp_path / "older.pyz", "0.0.1")
    older.with_name("older.pyz.sha256").write_text(f"{'0' * 64}  older.pyz\n")
    done = upgrade(older, "--no-restart")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"appliance: {older} is refused, and nothing was changed:",
        f"appliance: {older} is not the file that {older}.sha256 is for: copy both anew",
        f"appliance: 0.0.1 is older than {version}: --allow-downgrade takes it all the same",
    ]
    config = tmp_path / "appliance.toml"
    config.write_text("[limits]\nsesions = 10\nconnections = -1\n")
    done = upgrade(two, "--no-restart", "--config", config)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 3
    assert f"appliance: {config}:2: limits.sesions" in done.stderr
    assert there() == {"appliance.pyz": version}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere.pyz", "--no-restart"], "nowhere.pyz cannot be read: No such file or directory"),
        (["--previous", "--no-restart"], "no file is kept that was in place before"),
        (["nowhere.pyz"], "systemd does not run this machine"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(upgrade: Upgrade, words: list[str], says: str) -> None:
    done = upgrade(*words)
    assert done.returncode == 1
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_whenever_it_is_killed_a_whole_file_is_in_place(
    *,
    present: Path,
    two: Path,
    zipapp: Path,
    version: str,
    versions: dict[str, str],
    upgrade: Upgrade,
    there: There,
    environment: dict[str, str],
    pytestconfig: pytest.Config,
) -> None:
    began = time.monotonic()
    assert upgrade(two, "--no-restart").returncode == 0
    took = time.monotonic() - began
    for seed in range(1, int(pytestconfig.getoption("--seeds")) + 1):
        coming = (two, zipapp)[seed % 2]
        words = [*command(present), "upgrade", str(coming), "--no-restart", "--allow-downgrade"]
        with subprocess.Popen(
            words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            time.sleep(random.Random(seed).uniform(0, 1.2) * took)  # when it ends is what is tried
            process.kill()
        assert digest(present) in versions
    assert upgrade(zipapp, "--no-restart", "--allow-downgrade").returncode == 0
    assert there()["appliance.pyz"] == version
    assert set(there()) <= {"appliance.pyz", "appliance.pyz.previous"}
