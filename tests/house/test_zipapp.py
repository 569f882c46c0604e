"""What is in `dist/appliance.pyz`, and that it starts with nothing but the Python it is built for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

import appliance
from tests.house.source_tree import files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PACKED = "site-packages/"


@pytest.fixture(scope="module")
def archive(zipapp: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(zipapp) as opened:
        yield opened


@pytest.fixture(scope="module")
def sources(root: Path) -> Mapping[str, Path]:
    """What of the tree belongs into the file, by its name there."""
    found = {str(path.relative_to(root)): path for path in files("appliance")}
    static = root / "appliance" / "web" / "static"
    found |= {str(path.relative_to(root)): path for path in static.rglob("*") if path.is_file()}
    found |= {f"appliance/{path.relative_to(root)}": path for path in files("plugins")}
    found |= {f"appliance/config/{path.name}": path for path in (root / "config").glob("*.toml")}
    found |= {f"appliance/systemd/{path.name}": path for path in (root / "packaging" / "systemd").iterdir()}
    return found


def start(zipapp: Path, *arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Start it as a machine would that has Python alone (`-S`: no packages but its own)."""
    return subprocess.run(
        [sys.executable, "-S", zipapp, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_it_holds_the_appliance_as_it_is_here(archive: zipfile.ZipFile, sources: Mapping[str, Path]) -> None:
    """Modules, plugins, configuration, what browsers get; no test, no bench, nothing to build from."""
    packed = {
        name.removeprefix(PACKED) for name in archive.namelist() if name.startswith(f"{PACKED}appliance/")
    }
    assert packed == set(sources)
    stale = [name for name, path in sources.items() if archive.read(PACKED + name) != path.read_bytes()]
    assert stale == [], "dist/appliance.pyz is older than its sources: run `make pyz`"


def test_it_holds_plugins_and_a_script_for_browsers(archive: zipfile.ZipFile) -> None:
    names = archive.namelist()
    assert any(re.fullmatch(rf"{PACKED}appliance/plugins/\w+\.py", name) for name in names)
    assert any(re.fullmatch(rf"{PACKED}appliance/web/static/[\w-]+\.js", name) for name in names)


def test_it_holds_the_locked_dependencies_and_no_other(archive: zipfile.ZipFile, root: Path) -> None:
    lock = (root / "packaging" / "requirements.txt").read_text(encoding="utf-8")
    locked = {name.replace("-", "_"): version for name, version in re.findall(r"(?m)^([\w-]+)==(\S+)", lock)}
    found = re.findall(rf"(?m)^{PACKED}([^/]+)-([^/-]+)\.dist-info/METADATA$", "\n".join(archive.namelist()))
    packed = {name.lower().replace("-", "_").replace(".", "_"): version for name, version in found}
    assert packed == {**locked, "stream_appliance": appliance.__version__}


def test_it_holds_no_ballast_and_every_licence(archive: zipfile.ZipFile, root: Path) -> None:
    packed = {name.removeprefix(PACKED) for name in archive.namelist() if name.startswith(PACKED)}
    assert [name for name in packed if re.search(r"\.(pyi|h|c|pyx|pxd|pyc)$|(^|/)_?tests?/", name)] == []
    (installed,) = (root / "build").glob(f"{sys.implementation.name}-3{sys.version_info[1]}/dependencies")
    licences = {
        str(path.relative_to(installed))
        for path in installed.glob("*.dist-info/**/*")
        if re.search(r"(?i)licen[cs]e|notice|authors|copying", path.name) and path.is_file()
    }
    assert len(licences) > 20
    assert licences - packed == set()


def test_each_package_lists_what_is_here_of_it(archive: zipfile.ZipFile) -> None:
    packed = {name.removeprefix(PACKED) for name in archive.namelist() if name.startswith(PACKED)}
    listed = {
        line.split(",")[0]
        for name in packed
        if name.endswith(".dist-info/RECORD")
        for line in archive.read(PACKED + name).decode().splitlines()
    }
    assert listed == packed


def test_it_knows_nothing_of_the_machine_that_built_it(archive: zipfile.ZipFile, root: Path) -> None:
    place = os.fsencode(root)
    assert [name for name in archive.namelist() if place in archive.read(name)] == []


def test_it_starts_alone(zipapp: Path, tmp_path: Path) -> None:
    """When its bytecode is compiled is in tests/e2e/test_zipapp.py."""
    done = start(zipapp, "version", home=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"appliance {appliance.__version__}\n", "")


def test_it_can_be_run_by_its_name(zipapp: Path) -> None:
    assert os.access(zipapp, os.X_OK)
    with zipapp.open("rb") as opened:
        assert opened.readline() == b"#!/usr/bin/env python3\n"
