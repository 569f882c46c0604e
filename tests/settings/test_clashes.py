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
        ({"listen": [{"proxy_protocol": "on", "proxies": ["10.0.0.0/8"]}, {"proxy_protocol": "off"}]}, []),
        ({"listen": [{"proxy_protocol": "v2"}]}, [("listen", 0, "proxy_protocol")]),
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
        ({"auth": {"tokens": [{"name": "a", "secret": "s"}, {"name": "b", "secret_file": "f"}]}}, []),
        ({"auth": {"tokens": [{"name": "a", "public_key_file": "f"}]}}, []),
        ({"auth": {"tokens": [{"jwks_url": "u", "issuer": "i", "audience": ["a"]}]}}, []),
        ({"auth": {"tokens": [{"name": "a"}]}}, [("auth", "tokens", 0)]),
        ({"auth": {"tokens": [{"secret": "s", "public_key_file": "f"}]}}, [("auth", "tokens", 0)]),
        ({"auth": {"tokens": [{"jwks_url": "u"}]}}, [("auth", "tokens", 0), ("auth", "tokens", 0)]),
        (
            {"auth": {"tokens": [{"jwks_url": "u", "issuer": "i", "audience": []}]}},
            [("auth", "tokens", 0)],
        ),
        (
            {"auth": {"tokens": [{"name": "a", "secret": "s"}, {"name": "a", "secret": "t"}]}},
            [("auth", "tokens", 1, "name")],
        ),
        (
            {
                "tls": {"client_ca": "f"},
                "listen": [{"url": "tls://a:1", "client_certificates": "optional"}],
                "auth": {"certificates": [{"name": "a", "subject": {"CN": "a"}}, {"names": ["dns:a"]}]},
            },
            [],
        ),
        (
            {"auth": {"certificates": [{"name": "a", "subject": {"CN": "a"}}]}},
            [("auth", "certificates")],
        ),
        (
            {
                "tls": {"client_ca": "f"},
                "listen": [{"url": "tls://a:1", "client_certificates": "required"}],
                "auth": {"certificates": [{"name": "a"}, {"name": "b", "subject": {}, "names": []}]},
            },
            [("auth", "certificates", 0), ("auth", "certificates", 1)],
        ),
        (
            {"listen": [{"url": "tls://a:1", "client_certificates": "required"}]},
            [("listen", 0, "client_certificates")],
        ),
        (
            {
                "tls": {"client_ca": "f"},
                "listen": [{"url": "tcp://a:1", "client_certificates": "optional"}, {"url": "tls://a:2"}],
            },
            [("listen", 0, "client_certificates")],
        ),
        ({"listen": [{"url": "tcp://a:1", "client_certificates": "off"}]}, []),
    ],
)
def test_clashes(table: dict[str, Any], places: list[tuple[str | int, ...]]) -> None:
    assert [place for place, _ in clashes(table)] == places


def test_names_of_keys() -> None:
    assert configured_names({"auth": {"keys": [{"name": "a"}, {}, {"name": "b"}]}}) == {"a", "b"}
