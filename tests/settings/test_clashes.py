"""Values that are wrong together."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.settings.clashes import clashes, configured_names


@pytest.mark.parametrize(
    ("table", "places"),
    [
        ({}, []),
        ({"listen": [{"url": "tcp://a:1"}, {"url": "tls://a:1"}, {"url": "tcp://a:2"}]}, []),
        ({"listen": [{"url": "tcp://a:1"}, {}, {"url": "tcp://a:1"}]}, [("listen", 2, "url")]),
        ({"listen": [{"url": "unix:a"}, {"url": "unix:a"}]}, [("listen", 1, "url")]),
        ({"listen": [{"url": "tcp://a:0"}, {"url": "tcp://a:0"}]}, []),
        ({"listen": [{"url": "nonsense"}, {"url": "nonsense"}, 5]}, []),
        ({"listen": 5, "auth": 5, "tls": 5}, []),
        ({"tls": {"certificate": "c", "key": "k"}}, []),
        ({"tls": {"certificate": "c"}}, [("tls", "certificate")]),
        ({"tls": {"key": "k"}}, [("tls", "key")]),
        ({"auth": {"keys": [{"name": "a", "key": "k"}, {"name": "b", "key_file": "f"}]}}, []),
        ({"auth": {"keys": [{"name": "a"}]}}, [("auth", "keys", 0)]),
        (
            {"auth": {"keys": [{"name": "a", "key": "k"}, {"name": "a", "key": "l"}]}},
            [("auth", "keys", 1, "name")],
        ),
    ],
)
def test_clashes(table: dict[str, Any], places: list[tuple[str | int, ...]]) -> None:
    assert [place for place, _ in clashes(table)] == places


def test_names_of_keys() -> None:
    assert configured_names({"auth": {"keys": [{"name": "a"}, {}, {"name": "b"}]}}) == {"a", "b"}
