"""Values put at their path in a table."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.settings.assignment import UnknownKeyError, assign
from appliance.settings.literals import Bare
from appliance.settings.tree import Settings


@pytest.mark.parametrize(
    ("parts", "fold", "path", "table"),
    [
        ("limits sessions", False, "limits.sessions", {"limits": {"sessions": "5"}}),
        ("LIMITS SESSIONS", True, "limits.sessions", {"limits": {"sessions": "5"}}),
        ("channels Price high", False, "channels.Price.high", {"channels": {"Price": {"high": "5"}}}),
        (
            "CHANNELS PRICE POOL SIZE",
            True,
            "channels.price.pool.size",
            {"channels": {"price": {"pool": {"size": "5"}}}},
        ),
        ("plugins_dir 0", False, "plugins_dir[0]", {"plugins_dir": ["5"]}),
        ("AUTH KEYS 0 KEY_FILE", True, "auth.keys[0].key_file", {"auth": {"keys": [{"key_file": "5"}]}}),
    ],
)
def test_a_path_is_made_where_there_is_none(parts: str, fold: bool, path: str, table: dict[str, Any]) -> None:  # noqa: FBT001 - a parameter of the test
    made: dict[str, Any] = {}
    assert assign(Settings, made, parts.split(), "5", fold=fold) == path
    assert made == table


def test_names_in_the_file_are_found_by_their_folded_form() -> None:
    table: dict[str, Any] = {"channels": {"my-Prices": {"someOption": 1}}}
    path = assign(Settings, table, ["CHANNELS", "MY_PRICES", "SOMEOPTION"], "2", fold=True)
    assert path == "channels.my-Prices.someOption"
    assert table == {"channels": {"my-Prices": {"someOption": "2"}}}


def test_lists_and_tables_are_read_so_that_parts_can_follow() -> None:
    table: dict[str, Any] = {}
    assign(Settings, table, ["listen"], '[{url = "tcp://a:1"}]', fold=False)
    assign(Settings, table, ["listen", "1", "url"], "tcp://a:2", fold=False)
    assign(Settings, table, ["sources", "pg", "pool"], "{size = 1}", fold=False)
    assign(Settings, table, ["sources", "pg", "pool", "size"], "2", fold=False)
    assert table == {
        "listen": [{"url": "tcp://a:1"}, {"url": "tcp://a:2"}],
        "sources": {"pg": {"pool": {"size": "2"}}},
    }


def test_part_of_a_default_leaves_the_rest_of_it() -> None:
    table: dict[str, Any] = {}
    assign(Settings, table, ["listen", "0", "auth"], "none", fold=False)
    assign(Settings, table, ["aliases", "price", "bitcoin"], "XBT", fold=False)
    assert table["listen"][0]["url"] == "tls://127.0.0.1:8443"
    assert table["listen"][0]["auth"] == "none"
    assert table["aliases"]["price"] == {
        "bitcoin": "XBT",
        "ethereum": "ETH",
        "solana": "SOL",
        "cardano": "ADA",
    }
    assert Settings().aliases["price"]["bitcoin"] == "BTC"


def test_the_type_of_a_single_value_is_left_open() -> None:
    table: dict[str, Any] = {}
    assign(Settings, table, ["limits", "sessions"], "5", fold=False)
    assert isinstance(table["limits"]["sessions"], Bare)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ("listen 2 url", "`2` is no place in this list; the next free one is 1"),
        ("listen x url", "`x` is no place in this list"),
        ("limits sessions most", "limits.sessions holds one value, and no keys"),
        ("tls names", "tls is not a table, so nothing can be set in it"),
        ("plugins_dir 0", "plugins_dir is not a list, so nothing can be set in it"),
    ],
)
def test_what_cannot_be_set_is_told(parts: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        assign(Settings, {"tls": 5, "plugins_dir": "x"}, parts.split(), "5", fold=False)


def test_an_unknown_key_knows_its_neighbours() -> None:
    with pytest.raises(UnknownKeyError) as caught:
        assign(Settings, {}, ["STOP", "DEADLIN"], "5", fold=True)
    assert caught.value.place == 1
    assert caught.value.known == ("deadline", "retry")
