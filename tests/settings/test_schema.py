"""What types hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs
import pytest

from appliance.core.errors import PluginError
from appliance.settings import schema
from appliance.settings.access import KeySettings
from appliance.settings.fields import Secret
from appliance.settings.schema import Shape
from appliance.settings.tree import ChannelSettings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (int, Shape("scalar", int)),
        (int | None, Shape("scalar", int)),
        (Literal["a"], Shape("scalar", Literal["a"])),
        (tuple[int, ...], Shape("list", int)),
        (list[str] | None, Shape("list", str)),
        (list, Shape("list", Any)),
        (dict[str, int], Shape("names", int)),
        (Any, Shape("any")),
        (KeySettings, Shape("table", KeySettings)),
    ],
)
def test_shapes(kind: Any, shape: Shape) -> None:
    assert schema.shape(kind) == shape


def test_the_rest_of_a_table_is_no_key() -> None:
    keys = ["enabled", "plugin", "source", "mode", "message", "publish", "stale_after", "required", "history"]
    assert list(schema.attributes(ChannelSettings)) == keys
    rest = schema.rest(ChannelSettings)
    assert rest is not None
    assert rest.name == "options"
    assert schema.rest(KeySettings) is None


def test_a_secret_may_stand_in_a_file() -> None:
    assert schema.secret_files(KeySettings) == {"key_file": "key"}
    assert schema.is_secret(Secret | None)
    assert not schema.is_secret(str)


@attrs.frozen
class Unresolved:
    folder: Path


def test_an_annotation_that_only_type_checkers_see_is_the_plugins_fault() -> None:
    with pytest.raises(PluginError, match=r"Unresolved.*import the name outside of TYPE_CHECKING"):
        schema.attributes(Unresolved)
