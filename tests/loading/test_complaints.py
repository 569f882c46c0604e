from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from appliance.core.errors import Mistake, PluginError, SettingsError
from appliance.loading.complaints import Complaint, Complaints, refuse
from appliance.settings.load import load

if TYPE_CHECKING:
    from pathlib import Path


@attrs.frozen(kw_only=True)
class Fees:
    most: int = 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "appliance.toml"
    file.write_text("[channels.fees]\nmost = 'much'\n", encoding="utf-8")
    return file


def gathering(file: Path, *, complete: bool = True) -> Complaints:
    return Complaints(load(file=file, environment={}), complete=complete, warn=None)


def told(complaints: Complaints, file: Path) -> list[str]:
    return [str(each).removeprefix(f"{file}:") for each in complaints]


def test_a_mistake_carries_its_line(file: Path) -> None:
    found = gathering(file)
    found.mistake("channels.fees", "channels.fees.most", "is too much")
    assert told(found, file) == ["2: channels.fees.most: is too much"]
    assert [each.about for each in found] == ["channels.fees"]


def test_settings_are_filled_or_complained_of(file: Path) -> None:
    found = gathering(file)
    assert found.fill(Fees, {"most": 5}, "channels.fees") == Fees(most=5)
    assert list(found) == []
    assert found.fill(Fees, {"most": "much"}, "channels.fees") is None
    assert told(found, file) == [
        '2: channels.fees.most: expected a whole number, found text ("much")',
    ]
    assert (
        found.fill(attrs.make_class("Odd", {"x": attrs.field(type=object)}), {"x": 1}, "sources.odd") is None
    )
    [odd] = found.about("sources.odd")
    assert isinstance(odd.what, PluginError)


@pytest.mark.parametrize(
    ("known", "or_else", "hint"),
    [
        (["fees", "tides"], "", "did you mean `fees`?"),
        (["tides", "foam"], "", "there are foam, tides"),
        ([], "", "there are none"),
        (["fees"], "or make it", "did you mean `fees`? (or make it)"),
    ],
)
def test_an_unknown_name_is_told_what_is_right(file: Path, known: list[str], or_else: str, hint: str) -> None:
    found = gathering(file)
    found.unknown("channels.fees", "channels.fees", "channel", "fee", known=known, or_else=or_else)
    assert told(found, file) == [f"1: channels.fees: there is no channel `fee`; {hint}"]


def test_nothing_is_said_of_names_while_plugins_are_missing(file: Path) -> None:
    found = gathering(file, complete=False)
    found.unknown("channels.fee", "channels.fee", "channel", "fee", known=["fees"])
    assert list(found) == []


def test_what_is_said_of_a_source_can_be_said_of_its_channel(file: Path) -> None:
    found, fault = gathering(file), PluginError("sea.py: is broken")
    found.add("sources.sea", fault)
    found.pass_on("sources.sea", "channels.tides")
    found.pass_on("sources.lake", "channels.foam")
    assert list(found) == [Complaint("sources.sea", fault), Complaint("channels.tides", fault)]
    assert found.about("channels.tides", "channels.foam") == [Complaint("channels.tides", fault)]


def test_what_the_configuration_has_part_in_is_told_with_what_it_has_not() -> None:
    late, early = (Mistake(f"p{line}", "is wrong", "a.toml", line) for line in (5, 2))
    broken = PluginError("sea.py: is broken")
    complaints = [Complaint("channels.tides", broken), Complaint("channels.fees", late)]
    with pytest.raises(SettingsError) as caught:
        refuse([early], complaints, [PluginError("lake.py: is broken")])
    assert str(caught.value).splitlines() == [
        "a.toml:2: p2: is wrong",
        "a.toml:5: p5: is wrong",
        "lake.py: is broken",
        "sea.py: is broken",
    ]
    with pytest.raises(PluginError) as alone:
        refuse([], [Complaint("channels.tides", broken), Complaint("sources.sea", broken)])
    assert str(alone.value) == "sea.py: is broken"


def test_nothing_wrong_raises_nothing() -> None:
    refuse([], [])
