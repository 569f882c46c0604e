"""What `appliance upgrade` asks of a file that comes, as that answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from click.testing import CliRunner

import appliance
from appliance.cli.main import cli

if TYPE_CHECKING:
    from pathlib import Path


def test_it_takes_the_options_of_serve_and_answers_in_json(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text("")
    words = ["--config", str(file), "--listen", "tcp://127.0.0.1:1", "--state-dir", str(tmp_path)]
    done = CliRunner().invoke(cli, ["prospect", *words, "--set", "limits.sesions=1"])
    assert done.exit_code == 0
    answer = json.loads(done.stdout)
    assert answer["version"] == appliance.__version__
    assert "limits.sesions" in answer["mistakes"][0]


def test_it_takes_each_option_that_serve_has() -> None:
    commands = cli.commands
    names = [{name for each in commands[name].params for name in each.opts} for name in ("serve", "prospect")]
    assert names[0] <= names[1]


def test_nobody_is_shown_it() -> None:
    assert "prospect" not in CliRunner().invoke(cli, ["--help"]).stdout
