from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from appliance.cli.starter import next_steps, problem, write
from appliance.core.errors import PluginError
from appliance.loading import bundle, plugin
from tests.authoring import ROOT, run_pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def lax() -> Iterator[None]:
    """A umask that lets the group write, as some systems have it."""
    before = os.umask(0o002)
    yield
    os.umask(before)


def test_what_is_written_loads_as_it_is_and_passes_its_test(tmp_path: Path) -> None:
    written = write("fees", tmp_path)
    loaded = plugin.load(bundle.read(written.plugin, most=65_536, folder=tmp_path))
    assert [channel.name for channel in loaded.channels] == ["fees"]
    loaded.forget()
    done = run_pytest(tmp_path, "-p", "appliance.pytest_plugin", path=ROOT)
    assert done.status == 0, done.output
    assert "1 passed" in done.output


def test_its_test_finds_the_plugin_from_anywhere(tmp_path: Path) -> None:
    written = write("fees", tmp_path / "plugins")
    for options in ([], ["--rootdir", "/"]):
        done = run_pytest(
            tmp_path.parent, "-p", "appliance.pytest_plugin", *options, str(written.test), path=ROOT
        )
        assert "1 passed" in done.output, done.output


def test_a_plugin_is_about_twenty_lines_and_its_test_five(tmp_path: Path) -> None:
    written = write("fees", tmp_path)

    def lines(path: Path) -> list[str]:
        return [line for line in path.read_text().splitlines() if line.strip()]

    assert len(lines(written.test)) == 5
    text = written.plugin.read_text()
    producer = text[text.index("async def produce") : text.index("CHANNEL")]
    assert len(producer.splitlines()) < 10
    assert len(lines(written.plugin)) < 45  # with imports, comments and docstrings


@pytest.mark.usefixtures("lax")
def test_what_is_written_may_be_loaded_whatever_the_umask(tmp_path: Path) -> None:
    written = write("fees", tmp_path / "new" / "folder")
    for path in (written.plugin, written.plugin.parent, written.test.parent):
        assert stat.S_IMODE(path.stat().st_mode) & 0o022 == 0
    bundle.read(written.plugin, most=65_536, folder=written.plugin.parent)


@pytest.mark.parametrize("taken", ["fees.py", "tests/test_fees.py"])
def test_nothing_is_overwritten(tmp_path: Path, taken: str) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / taken).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PluginError, match=f"{taken} is there already: remove it, or take another name"):
        write("fees", tmp_path)
    assert (tmp_path / taken).read_text() == "mine"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_second_plugin_has_its_test_beside_that_of_the_first(tmp_path: Path) -> None:
    write("fees", tmp_path)
    conftest = tmp_path / "tests" / "conftest.py"
    conftest.write_text(f"{conftest.read_text()}\nOF_MINE = 1\n")
    write("rates", tmp_path)
    assert "OF_MINE" in conftest.read_text()
    done = run_pytest(tmp_path, "-p", "appliance.pytest_plugin", path=ROOT)
    assert "2 passed" in done.output


def test_a_folder_that_cannot_be_written_is_told_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PluginError, match=r"cannot be written .*: put that right, or take another --dir"):
        write("fees", tmp_path / "file" / "plugins")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fees", ""),
        ("fees_2", ""),
        ("My-Fees", "'My-Fees' is no name for a channel: .*; `my_fees` is one"),
        ("2nd", "is no name for a channel"),
        ("", "is no name for a channel"),
        ("../fees", "; `fees` is one"),
        ("système", "is no name for a channel"),
        ("system", "is the appliance's own channel"),
        ("class", "Python has a `class` of its own"),
        ("random", "Python has a `random` of its own, .*: call it `random_feed`"),
        ("trio", "Python has a `trio` of its own"),
        ("price", "the appliance has a channel `price` already"),
    ],
)
def test_a_name_that_cannot_be_is_told_with_the_reason(name: str, told: str) -> None:
    if told:
        with pytest.raises(AssertionError, match=told):
            raise AssertionError(problem(name))
    else:
        assert problem(name) == ""


def test_the_lines_to_paste_are_for_the_program_that_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write("fees", tmp_path / "my plugins")
    monkeypatch.setattr(sys, "argv", ["/usr/bin/appliance"])
    assert [line for line in next_steps(written) if not line.startswith("#")] == [
        f"appliance plugins check '{written.plugin}'",
        f"{sys.executable} -m pytest '{written.test}'",
        f'plugins_dir = ["{written.plugin.parent}"]',
    ]
    monkeypatch.setattr(sys, "argv", ["/srv/appliance.pyz"])
    check, pytest_line, _ = [line for line in next_steps(written) if not line.startswith("#")]
    assert check == f"{sys.executable} /srv/appliance.pyz plugins check '{written.plugin}'"
    assert pytest_line == f"SHIV_INTERPRETER=1 {sys.executable} /srv/appliance.pyz -m pytest '{written.test}'"
