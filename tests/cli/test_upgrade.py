"""The command `appliance upgrade` as somebody types it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from appliance.cli import upgrading
from appliance.cli.main import cli


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "name the file that comes, or say --previous"),
        (["new.pyz", "--previous"], "name the file that comes, or say --previous"),
        (["new.pyz", "--watch", "soon"], "'soon': write a time as a number and ms, s, m, h or d"),
        (["new.pyz", "--keep", "-1"], "--keep"),
    ],
)
def test_what_is_mistyped_is_told(words: list[str], says: str) -> None:
    done = CliRunner().invoke(cli, ["upgrade", *words])
    assert done.exit_code == 2
    assert says in done.stderr


def test_what_is_said_is_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[upgrading.Request] = []

    def upgrade(request: upgrading.Request) -> int:
        asked.append(request)
        return 0

    monkeypatch.setattr(upgrading, "upgrade", upgrade)
    words = ["--ready-within", "2m", "--watch", "500ms", "--keep", "5", "--unit", "other", "--no-restart"]
    assert CliRunner().invoke(cli, ["upgrade", "--previous", *words]).exit_code == 0
    assert CliRunner().invoke(cli, ["upgrade", "new.pyz"]).exit_code == 0
    chosen, usual = asked
    assert (chosen.new, chosen.ready_within, chosen.watch, chosen.keep) == (None, 120, 0.5, 5)
    assert (chosen.unit, chosen.no_restart) == ("other", True)
    assert str(usual.new) == "new.pyz"
    assert (usual.unit, usual.ready_within, usual.watch) == ("appliance.service", 60, 10)
    assert {usual.no_restart, usual.dry_run, usual.allow_downgrade, usual.revert_store} == {False}
