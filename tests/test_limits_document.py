"""The table of limits in docs/security.md: each setting has its row and default, and what is counted has its name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs
import pytest

from appliance.core import brakes, rates
from appliance.edge import admission, proxy_protocol
from appliance.settings import document
from appliance.settings.limits import COUNTED, LimitSettings, ListenLimits
from tests.house.source_tree import modules

if TYPE_CHECKING:
    from pathlib import Path

ROW = re.compile(r"^\| `([a-z0-9_.]+)`( °)? \| (.+?) \| (.+?) \| (?:`(.+?)` )?\|$", re.MULTILINE)
NAMED = re.compile(r'limit="([^"]+)"')
OF_A_PRINCIPAL = "sessions of a principal"


@attrs.frozen
class Row:
    own: bool
    default: str
    told: str
    counted: str


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    text = (root / "docs" / "security.md").read_text(encoding="utf-8")
    return text.partition("\n## Limits\n")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def rows(page: str) -> dict[str, Row]:
    return {
        setting: Row(own=bool(own), default=default, told=told, counted=counted)
        for setting, own, default, told, counted in ROW.findall(page)
    }


def test_every_limit_has_its_row_with_its_default(rows: dict[str, Row]) -> None:
    settings = {
        row.path: row.default for row in document.rows() if row.path.startswith(("limits.", "publish."))
    }
    settings |= {row.path: row.default for row in document.rows() if row.path == "auth.timeout"}
    assert {setting: row.default for setting, row in rows.items()} == settings


def test_those_of_a_listener_are_marked(rows: dict[str, Row]) -> None:
    own = {f"limits.{field.name}" for field in attrs.fields(ListenLimits)}
    assert {setting for setting, row in rows.items() if row.own} == own


def test_what_is_counted_is_told_and_what_is_told_is_counted(rows: dict[str, Row]) -> None:
    assert {row.counted for row in rows.values() if row.counted} == set(COUNTED) - {OF_A_PRINCIPAL}


def test_each_is_counted_by_the_name_of_its_setting(rows: dict[str, Row]) -> None:
    names = {field.name for field in attrs.fields(LimitSettings)}
    for setting, row in rows.items():
        if row.counted:
            assert row.counted in {setting, setting.removeprefix("limits."), "publish.events_per_second"}
    assert all(limit in names or "." in limit for limit in COUNTED if limit != OF_A_PRINCIPAL)


def test_what_the_code_names_is_among_what_is_counted() -> None:
    found = {name for module in modules("appliance") for name in NAMED.findall(module.text)}
    assert found - set(COUNTED) == set()


def test_the_figures_are_those_of_the_code(page: str) -> None:
    flat = " ".join(page.split())
    for figure in (
        f"At most {admission.MOST_TOLD} connections at once",
        f"at most {rates.MOST:,} of each",
        f"and {proxy_protocol.MOST} bytes",
    ):
        assert figure in flat
    assert rates.MOST == brakes.MOST
    assert (brakes.FIRST, brakes.FORGOTTEN, LimitSettings().failed_logins) == (1.0, 60.0, 10)
