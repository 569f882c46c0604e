"""The build: the same bytes wherever and however it runs, and no file that does not run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import archive
import build_zipapp
import pytest
import trial

from tests import unpacked

PATIENCE = 280.0
SOURCES = ("appliance", "plugins", "config", "packaging", "README.md", "LICENSE", "pyproject.toml")
LAID = ("dependencies", "dependencies.lock", "report.json")
LEFT_OUT = shutil.ignore_patterns("node_modules", "__pycache__", "machines")


def copy(root: Path, target: Path) -> Path:
    """Make a checkout of its own, with what the build would have to download or to compile with Node."""
    target.mkdir(parents=True)
    laid = build_zipapp.BUILD.relative_to(build_zipapp.ROOT)
    for name in (*SOURCES, *(str(laid / each) for each in LAID)):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (root / name).is_dir():
            shutil.copytree(root / name, target / name, copy_function=closed, ignore=LEFT_OUT)
        else:
            closed(str(root / name), str(target / name))
    return target


def build(checkout: Path, *before: str, **variables: str) -> dict[str, bytes]:
    """Build there, and give the results."""
    done = subprocess.run(
        [*before, sys.executable, checkout / "packaging" / "build_zipapp.py"],
        env={"PATH": os.environ["PATH"], **variables},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in (checkout / "dist").iterdir()}


def test_the_same_sources_give_the_same_bytes(root: Path, tmp_path: Path, zipapp: Path) -> None:
    """As those of `make`, in another folder, at another time, with files of other modes, by a user of another locale.

    What is built is tried from the folder that `make` has it unpacked in, for it is the same build.
    """
    there = copy(root, tmp_path / "a" / "longer way" / "there")
    built = build(
        there,
        *("sh", "-c", 'umask 077; exec "$0" "$@"'),
        LC_ALL="C.UTF-8",
        TZ="Pacific/Kiritimati",
        PYTHONHASHSEED="1",
        HOME=str(tmp_path),
        SHIV_ROOT=str(unpacked.lay(zipapp, tmp_path / "unpacked")),
    )
    assert built.keys() == {"appliance.pyz", "appliance.pyz.sha256", "appliance.cdx.json"}
    assert [name for name, content in built.items() if (zipapp.parent / name).read_bytes() != content] == []


def closed(source: str, target: str) -> None:
    """Copy a file with other modes, as of now."""
    shutil.copyfile(source, target)
    Path(target).chmod(0o700)


def test_neither_order_nor_modes_of_what_was_packed_show(tmp_path: Path) -> None:
    parts = {
        "environment.json": '{"build_id": "0123456789abcdef0123"}',
        "site-packages/a.py": "",
        "__main__.py": "",
    }
    finished = []
    for mode, names in ((0o600, list(parts)), (0o755, list(reversed(parts)))):
        packed, target = tmp_path / "packed", tmp_path / "finished"
        packed.write_bytes(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(packed, "a") as opened:
            for name in names:
                entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                entry.external_attr = mode << 16
                opened.writestr(entry, parts[name])
        needs = archive.Needs(python=(3, 11), built_for="cpython-311-x86_64-linux-gnu", glibc=(2, 17))
        archive.finish(packed, target, needs, entry_point="a:main", name="appliance-1.0")
        finished.append(target.read_bytes())
    assert len(set(finished)) == 1


def test_what_does_not_start_is_no_result(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pyz"
    broken.write_text("raise SystemExit('no')\n")
    with pytest.raises(SystemExit, match=r"^broken\.pyz does not start \(1\):\nno\n$"):
        trial.boot(broken)


def test_what_does_not_serve_is_no_result(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pyz"
    broken.write_text("import sys\nif sys.argv[1] == 'serve': sys.exit('cannot')\n")
    with pytest.raises(SystemExit, match=r"does not serve:\ncannot\n$"):
        trial.boot(broken)


@pytest.mark.parametrize(
    ("member", "needed"),
    [
        ("site-packages/trio/_core/_run.py", True),
        ("site-packages/trio/_tests/test_path.py", False),
        ("site-packages/thing/tests/data.txt", False),
        ("site-packages/thing/testing.py", True),
        ("site-packages/thing/part.pyi", False),
        ("site-packages/thing/part.cpython-311.so", True),
        ("site-packages/pygments/lexers/python.py", True),
        ("site-packages/pygments/lexers/lisp.py", False),
        ("site-packages/thing-1.dist-info/tests/LICENSE", True),
        ("_launch/start.py", True),
    ],
)
def test_ballast_is_what_nothing_runs(member: str, needed: bool) -> None:  # noqa: FBT001 - a column of the table
    assert archive.ballast(member) is not needed
