"""What the configuration says of what is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance.core.errors import SettingsError
from appliance.settings.load import load
from appliance.settings.structure import fill
from appliance.settings.views import ViewSettings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"topics": ["no topic"]}, "topics: 'no topic' is no topic: write `channel:key`"),
        ({"topics": []}, "topics: names no topic: leave it out for all"),
        ({"hide": ["position.account"]}, "hide: 'position.account' is no field of the data"),
        ({"fields": [""]}, "fields: '' is no field of the data"),
        ({"only": "account"}, "only: expected a field and =, !="),
        ({"only": "account = A1"}, "only: expected a value of JSON behind account ="),
        ({"rate": 0}, "rate: "),
        ({"mask": ["a"]}, "mask: is not a known key"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_the_remedy(table: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        fill(ViewSettings, table)
    (mistake,) = caught.value.mistakes
    assert str(mistake).startswith(says)


def test_a_mistake_in_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text(
        '[[auth.keys]]\nname = "ann"\nkey = "sk_ann"\n[[auth.keys.views]]\nhide = ["a"]\nonly = "a >"\n'
        '[[auth.anonymous.views]]\nrate = "fast"\n'
    )
    with pytest.raises(SettingsError) as caught:
        _ = load(file=file, environment={}).settings
    only, rate = sorted(caught.value.mistakes, key=lambda mistake: mistake.line or 0)
    assert (only.path, only.line, only.origin) == ("auth.keys[0].views[0].only", 6, str(file))
    assert (rate.path, rate.line) == ("auth.anonymous.views[0].rate", 8)


def test_what_can_be_said() -> None:
    entry = fill(
        ViewSettings,
        {"topics": ["price:*"], "fields": [], "hide": ["a"], "only": 'a.b = "x"', "rate": 0.5},
    )
    assert (entry.topics, entry.fields, entry.hide, entry.only, entry.rate) == (
        ("price:*",),
        (),
        ("a",),
        'a.b = "x"',
        0.5,
    )
    assert fill(ViewSettings, {}) == ViewSettings()
