from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from appliance.api import NoSettings
from appliance.core.errors import PluginError
from appliance.loading.options import keys, shared_out
from appliance.settings import schema
from appliance.settings.fields import Secret, setting
from appliance.settings.tree import ChannelSettings, SourceSettings

if TYPE_CHECKING:
    Elsewhere = int


@attrs.frozen(kw_only=True)
class Own:
    high: float = 0.8
    every: float = 1.0


@attrs.frozen(kw_only=True)
class Theirs:
    table: str = ""
    every: float = 5.0
    token: Secret | None = None


def test_each_gets_its_own_and_what_is_nobodys_is_known_as_such() -> None:
    shares = shared_out({"high": 1, "table": "t", "token_file": "f", "tabel": "t"}, Own, Theirs)
    assert (shares.own, shares.theirs) == ({"high": 1}, {"table": "t", "token_file": "f"})
    assert (shares.both, shares.unknown) == ((), ("tabel",))


def test_what_both_would_take_is_named() -> None:
    shares = shared_out({"every": 1}, Own, Theirs)
    assert (shares.both, shares.unknown) == (("every",), ())


def test_all_keys_that_the_table_takes_are_known_once() -> None:
    general = list(schema.attributes(ChannelSettings))
    own = ["high", "every", "table", "token", "token_file"]
    assert list(shared_out({}, Own, Theirs).known) == [*own, *general]
    assert list(shared_out({}, NoSettings, None).known) == general


def test_settings_that_take_the_rest_are_left_the_rest() -> None:
    shares = shared_out({"table": "t", "other": 1}, SourceSettings, Theirs)
    assert (shares.own, shares.theirs, shares.unknown) == ({"other": 1}, {"table": "t"}, ())


def test_a_key_for_a_file_of_a_secret_is_one_key_where_the_class_has_it_too() -> None:
    @attrs.frozen
    class Safe:
        key: Secret | None = setting(None, "The key")
        key_file: str | None = setting(None, "Its file")

    assert set(keys(Safe)) == {"key", "key_file"}
    assert shared_out({"key_file": "f"}, NoSettings, Safe).theirs == {"key_file": "f"}


def test_a_class_that_cannot_be_read_is_its_plugins_fault() -> None:
    @attrs.frozen
    class Lost:
        depth: Elsewhere = 1

    with pytest.raises(PluginError, match="the annotation of a setting cannot be resolved"):
        shared_out({}, NoSettings, Lost)
