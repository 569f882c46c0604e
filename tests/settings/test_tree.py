"""The tree itself: every key told, every default a right one."""

from __future__ import annotations

import datetime as dt

import attrs
import pytest

from appliance.settings import schema
from appliance.settings.access import CertificateSettings, KeySettings, TokenSettings
from appliance.settings.fields import mark
from appliance.settings.tree import ListenSettings, Settings


def classes(cls: type[attrs.AttrsInstance]) -> set[type[attrs.AttrsInstance]]:
    found = {cls}
    for attribute in schema.fields(cls):
        shape = schema.shape(attribute.type)
        inner = shape if shape.form == "table" else schema.shape(shape.inner)
        if inner.form == "table":
            found |= classes(inner.inner)
    return found


def test_each_attribute_says_what_it_is() -> None:
    silent = [
        f"{c.__name__}.{a.name}" for c in classes(Settings) for a in schema.fields(c) if not mark(a).doc
    ]
    assert silent == []


def test_only_names_algorithms_and_urls_have_to_be_given() -> None:
    required = {
        (c, a.name) for c in classes(Settings) for a in schema.fields(c) if a.default is attrs.NOTHING
    }
    assert required == {
        (KeySettings, "name"),
        (TokenSettings, "name"),
        (TokenSettings, "algorithms"),
        (CertificateSettings, "name"),
        (ListenSettings, "url"),
    }


def test_a_listener_has_an_address() -> None:
    with pytest.raises(ValueError, match="expected tls://HOST:PORT"):
        ListenSettings(url="https://localhost")


def test_a_key_ends_at_a_moment_and_not_at_a_wall_clock() -> None:
    with pytest.raises(ValueError, match="needs its offset from UTC"):
        KeySettings(name="alice", expires=dt.datetime(2030, 1, 31))  # noqa: DTZ001 - it is the mistake
