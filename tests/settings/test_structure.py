"""Tables to attrs classes: strict, with all mistakes, and in the same words for a plugin's own class."""

from __future__ import annotations

import datetime as dt
import enum
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from attrs.validators import ge, le, matches_re, min_len
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.errors import PluginError, SettingsError
from appliance.settings.fields import Bytes, Seconds, Secret
from appliance.settings.literals import Bare
from appliance.settings.scalars import Wrong
from appliance.settings.structure import fill, read
from appliance.settings.tree import ChannelSettings, Settings


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen(kw_only=True)
class Pool:
    size: int = attrs.field(default=4, validator=ge(1))
    wait: Seconds = attrs.field(default=Seconds(5.0))


@attrs.frozen(kw_only=True)
class Plugin:
    """Settings as the author of a plugin writes them, with nothing of ours but two types."""

    host: str
    port: int = attrs.field(default=5432, validator=[ge(1), le(65_535)])
    password: Secret | None = attrs.field(default=None, validator=attrs.validators.optional(min_len(3)))
    pool: Pool = attrs.field(factory=Pool)
    replicas: tuple[Pool, ...] = ()
    tables: list[str] = attrs.field(factory=list)
    span: tuple[float, float] = (0.0, 1.0)
    tags: frozenset[str] = frozenset()
    names: dict[str, int] = attrs.field(factory=dict)
    by_name: dict[str, Pool] = attrs.field(factory=dict)
    mode: Literal["fast", "safe"] = "safe"
    colour: Colour = Colour.RED
    since: dt.datetime | None = None
    folder: Path = Path()
    cache: Bytes = attrs.field(default=Bytes(0))
    either: int | list[int] | str = 0
    anything: Any = None
    least: int = 0
    most: int = attrs.field(default=10)
    _hidden: int = 0

    @most.validator
    def _above_least(self, _: object, most: int) -> None:
        if most < self.least:
            raise ValueError(f"must not be below `least`, which is {self.least}")


def mistakes(cls: type, table: dict[str, Any], **place: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        fill(cls, table, **place)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_defaults_hold_where_nothing_is_said() -> None:
    assert fill(Plugin, {"host": "db"}) == Plugin(host="db")


def test_every_type_is_filled() -> None:
    table = {
        "host": "db",
        "port": 1,
        "password": "hunter2",
        "pool": {"size": 2, "wait": "1m"},
        "replicas": [{}, {"size": 3}],
        "tables": ["a", "b"],
        "span": [1, 2.5],
        "tags": ["x"],
        "names": {"a": 1},
        "by_name": {"main": {"size": 9}},
        "mode": "fast",
        "colour": "blue",
        "since": dt.datetime(2030, 1, 1, tzinfo=dt.UTC),
        "folder": "/srv",
        "cache": "4MiB",
        "either": [1],
        "anything": {"a": [1, "b"]},
        "least": 1,
        "most": 2,
        "hidden": 7,
    }
    assert fill(Plugin, table) == Plugin(
        host="db",
        port=1,
        password=Secret("hunter2"),
        pool=Pool(size=2, wait=Seconds(60.0)),
        replicas=(Pool(), Pool(size=3)),
        tables=["a", "b"],
        span=(1.0, 2.5),
        tags=frozenset({"x"}),
        names={"a": 1},
        by_name={"main": Pool(size=9)},
        mode="fast",
        colour=Colour.BLUE,
        since=dt.datetime(2030, 1, 1, tzinfo=dt.UTC),
        folder=Path("/srv"),
        cache=Bytes(4 << 20),
        either=[1],
        anything={"a": [1, "b"]},
        least=1,
        most=2,
        hidden=7,
    )


EITHER = (
    "a.toml:1: pg.either: expected a whole number or a list, each item a whole number or text, found a number"
)
MODE = (
    'APPLIANCE_PG__MODE: pg.mode: expected one of "fast", "safe", found text ("fats"); did you mean "fast"?'
)


def test_all_mistakes_of_all_levels_are_told_with_their_places() -> None:
    table = {
        "prot": 1,
        "port": 0,
        "pool": {"size": 0, "wait": "soon", "sizes": 1},
        "replicas": [{}, {"size": "3"}, 5],
        "tables": "a",
        "span": [1],
        "names": {"a": 1, "b c": "2"},
        "mode": "fats",
        "either": 1.5,
    }
    lines = {"pg": 1, "pg.port": 9, "pg.pool.size": 4, "pg.replicas": 7}
    origins = {"pg.mode": "APPLIANCE_PG__MODE"}
    assert mistakes(Plugin, table, path="pg", origin="a.toml", lines=lines, origins=origins) == [
        EITHER,
        "a.toml:1: pg.host: is required: text",
        'a.toml:1: pg.names."b c": expected a whole number, found text ("2")',
        "a.toml:1: pg.pool.sizes: is not a known key; did you mean `size`? (known here: size, wait)",
        'a.toml:1: pg.pool.wait: expected a time such as "30s", found text ("soon")',
        "a.toml:1: pg.prot: is not a known key; did you mean `port`?",
        "a.toml:1: pg.span: expected a list of 2 items, found 1",
        "a.toml:1: pg.tables: expected a list, each item text, found text",
        "a.toml:4: pg.pool.size: must be at least 1, not 0",
        'a.toml:7: pg.replicas[1].size: expected a whole number, found text ("3")',
        "a.toml:7: pg.replicas[2]: expected a table, found a number",
        "a.toml:9: pg.port: must be at least 1, not 0",
        MODE,
    ]


def test_what_is_right_is_there_beside_what_is_wrong() -> None:
    table = {
        "host": "db",
        "port": 0,
        "pool": {"size": 0, "wait": "1m"},
        "replicas": [{"size": 3}, 5],
        "names": {"a": 1, "b": "2"},
        "by_name": {"main": {"size": 9, "sizes": 1}, "other": 5},
        "mode": "fast",
    }
    with pytest.raises(Wrong) as caught:
        read(Plugin, table)
    assert caught.value.right == Plugin(
        host="db",
        pool=Pool(wait=Seconds(60.0)),
        names={"a": 1},
        by_name={"main": Pool(size=9)},
        mode="fast",
    )


def test_nothing_is_right_of_a_class_that_needs_what_is_wrong() -> None:
    for table in ({"host": 5}, {}):
        with pytest.raises(Wrong) as caught:
            read(Plugin, table)
        assert caught.value.right is None


def test_a_validator_that_looks_at_other_settings_sees_them() -> None:
    assert mistakes(Plugin, {"host": "db", "least": 5, "most": 4}) == [
        "most: must not be below `least`, which is 5"
    ]
    assert mistakes(Plugin, {"host": 5, "least": 50}) == ["host: expected text, found a number (5)"]
    assert mistakes(Plugin, {"host": "db", "least": "x", "most": -1}) == [
        'least: expected a whole number, found text ("x")'
    ]
    assert mistakes(Plugin, {"host": "db", "least": 50}) == ["must not be below `least`, which is 50"]


def test_the_file_wins_over_nothing_but_bare_text_is_read_by_its_type() -> None:
    table = {"host": Bare("5"), "port": Bare("5"), "tables": Bare('["a"]'), "pool": Bare("{size = 2}")}
    table |= {"either": Bare("7"), "mode": Bare("fast"), "anything": Bare("true")}
    filled = fill(Plugin, table)
    assert (filled.host, filled.port, filled.tables, filled.pool.size) == ("5", 5, ["a"], 2)
    assert (filled.either, filled.mode, filled.anything) == (7, "fast", True)


def test_a_secret_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("hunter2\n", encoding="utf-8")
    path.chmod(0o644)
    warnings: list[str] = []
    filled = fill(Plugin, {"host": "db", "password_file": str(path)}, warn=warnings.append)
    assert filled.password == "hunter2"
    assert "hunter2" not in repr(filled)
    assert warnings == [f"{path} can be read by everyone; take that away with `chmod o-r {path}`"]


def test_a_secret_file_that_does_not_serve_is_a_mistake(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert mistakes(Plugin, {"host": "db", "password_file": str(missing)}) == [
        f"password_file: {missing} cannot be read: No such file or directory"
    ]
    assert mistakes(Plugin, {"host": "db", "password_file": 5}) == [
        "password_file: expected text, found a number (5)"
    ]
    assert mistakes(Plugin, {"host": "db", "password": "hunter2", "password_file": "x"}) == [
        "password_file: stands beside `password`; give only one of the two"
    ]
    assert "password_file" in mistakes(Plugin, {"host": "db", "pasword_file": "x"})[0]
    assert mistakes(Plugin, {"host": "db", "password_file": "/a\0b"}) == [
        "password_file: expected text without control characters, found U+0000 as character 3 of it"
    ]
    binary = tmp_path / "binary"
    binary.write_text("hunter\0", encoding="utf-8")
    (told,) = mistakes(Plugin, {"host": "db", "password_file": str(binary)})
    assert told.startswith(
        f"password_file: what {binary} holds does not serve: expected text without control"
    )


def test_a_secret_from_the_environment_takes_the_place_of_either(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("from the file", encoding="utf-8")
    path.chmod(0o600)
    table = {"host": "db", "password": "old", "password_file": Bare(str(path))}
    assert fill(Plugin, table).password == "from the file"
    table = {"host": "db", "password": Bare("new"), "password_file": "missing"}
    assert fill(Plugin, table).password == "new"


def quote(_: object, __: attrs.Attribute[Any], value: str) -> None:
    raise ValueError(f"{value} is no good")


@attrs.frozen
class Guarded:
    key: Secret = attrs.field(validator=matches_re("[a-z]+"))  # type: ignore[assignment]
    other: Secret = attrs.field(default=Secret(""), validator=quote)


def test_no_mistake_quotes_a_secret() -> None:
    found = mistakes(Guarded, {"key": "HUNTER2", "other": "swordfish"})
    assert found == ["key: must match the pattern '[a-z]+', not what is there", "other: … is no good"]


@attrs.frozen
class Refusing:
    key: Secret

    def __attrs_post_init__(self) -> None:
        raise ValueError(f"{self.key} is no good")


def test_a_class_that_refuses_as_a_whole_is_a_mistake_of_its_table() -> None:
    assert mistakes(Refusing, {"key": "hunter2"}, path="sources.pg") == ["sources.pg: … is no good"]


def test_other_keys_are_kept_for_the_plugin_as_they_are() -> None:
    filled = fill(ChannelSettings, {"enabled": False, "options": 5, "high": Bare("0.5")})
    assert filled.options == {"options": 5, "high": Bare("0.5")}
    assert isinstance(filled.options["high"], Bare)


@attrs.frozen
class Impossible:
    thing: complex = 0j


def test_a_class_that_cannot_be_filled_is_the_plugins_fault() -> None:
    with pytest.raises(PluginError, match=r"Impossible: a setting cannot be .*complex"):
        fill(Impossible, {"thing": 5})


KEYS = st.sampled_from(
    [*(a.name for a in attrs.fields(Settings)), "url", "name", "key", "sessions", "x y", ""]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.integers()
    | st.floats()
    | st.booleans()
    | st.text(max_size=5)
    | st.sampled_from(["tls://a:1", "30s", "64KiB", Bare("[{}]"), Bare("5"), Bare("{a = 1}")])
    | st.datetimes()
    | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.parametrize("cls", [Settings, Plugin])
@given(
    table=st.dictionaries(KEYS | st.sampled_from([a.name for a in attrs.fields(Plugin)]), VALUES, max_size=6)
)
def test_any_table_fills_or_is_told_its_mistakes(cls: type, table: dict[str, Any]) -> None:
    try:
        filled: Any = fill(cls, table)
    except SettingsError as error:
        told = [mistake.problem for mistake in error.mistakes]
    else:
        told = ["nothing is wrong"] if isinstance(filled, cls) else []
    assert told
    assert all(told)
