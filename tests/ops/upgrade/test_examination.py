"""What a file has answered, and what is made of one that could not answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.ops.upgrade.examination import Examination, examined, read
from appliance.ops.upgrade.surroundings import Said

FILE = Path("/srv/appliance.pyz.new")
ANSWER: dict[str, Any] = {"version": "9.8.7", "mistakes": [], "warnings": [], "channels": ["price", "trades"]}


def store(**details: Any) -> dict[str, Any]:
    return {"folder": "/state", "version": 1, "becomes": 1, "reverted": None, "problem": None, **details}


def answer(**more: Any) -> Said:
    return Said(json.dumps({**ANSWER, **more}), "", good=True)


def test_an_answer_is_read() -> None:
    found = read(answer(warnings=["soon gone"], store=store()), FILE)
    assert found == Examination(
        warnings=("soon gone",), channels=("price", "trades"), folder="/state", found=1, becomes=1
    )
    assert found.summary == "the configuration is good, with 2 channels; the store is of version 1"
    assert not found.is_changed


def test_without_a_store_nothing_is_said_of_it() -> None:
    found = read(answer(store=None), FILE)
    assert (found.folder, found.is_changed) == ("", False)
    assert found.summary == "the configuration is good, with 2 channels"


def test_a_store_that_is_brought_to_another_version_is_told() -> None:
    found = read(answer(store=store(becomes=3)), FILE)
    assert found.is_changed
    assert "brought from version 1 to 3, and a copy is kept" in found.summary


def test_a_store_that_is_just_made_is_not_changed() -> None:
    assert not read(answer(store=store(version=0)), FILE).is_changed


def test_a_store_that_is_too_new_is_a_problem_and_its_copy_is_known() -> None:
    found = read(answer(store=store(version=2, becomes=2, reverted=1, problem="of version 2")), FILE)
    assert (found.problem, found.reverted, found.is_changed) == ("of version 2", 1, False)
    assert "of version 2 gives way to the copy of version 1" in found.summary


def test_what_a_later_version_says_beside_that_is_no_hindrance() -> None:
    assert read(answer(weather="fine"), FILE).channels == ("price", "trades")


def test_an_answer_is_found_among_what_plugins_print() -> None:
    said = Said(f'hello\n{{"no": "answer"}}\n{json.dumps(ANSWER)}\n[1]\nbye\n', "a warning\n", good=True)
    assert read(said, FILE).channels == ("price", "trades")


@pytest.mark.parametrize(
    "said",
    [
        Said("", f"{FILE} is built for Python 3.99\n", good=False),
        Said("appliance.pyz.new is built for Python 3.99", "", good=True),
        Said(json.dumps(ANSWER), "appliance.pyz.new is built for Python 3.99\n", good=False),
    ],
)
def test_a_file_that_cannot_answer_has_made_a_mistake(said: Said) -> None:
    first, told, *_ = read(said, FILE).mistakes
    assert first == "it does not run here:"
    assert told == "  appliance.pyz.new is built for Python 3.99"


def test_of_much_that_is_said_only_the_end_is_told() -> None:
    lines = [str(number) for number in range(100)]
    assert read(Said("", "\n".join(lines), good=False), FILE).mistakes[1:] == tuple(
        f"  {line}" for line in lines[-10:]
    )


def test_without_a_unit_the_file_is_run_by_this_user(
    zipapp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIV_ROOT", str(zipapp.parent.parent / "build" / "unpacked"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text("[limits]\nsessions = 10\n")
    bad.write_text("[limits]\nsesions = 10\nconnections = -1\n")
    assert "price" in examined(None, zipapp, config=good).channels
    mistakes = examined(None, zipapp, config=bad).mistakes
    assert len(mistakes) == 2
    assert f"{bad}:2: limits.sesions" in mistakes[0]


def test_what_is_no_program_is_told(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pyz"
    nothing.write_text("1/0")
    assert "ZeroDivisionError: division by zero" in examined(None, nothing).mistakes[-1]
