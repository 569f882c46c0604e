from __future__ import annotations

import pytest

from appliance.core.errors import SourceError
from appliance.sources.postgres import names


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("trades", ("trades",)),
        ("Trades", ("trades",)),
        ("public.trades", ("public", "trades")),
        ('"My Table"', ("My Table",)),
        ('Market."a""b.c"', ("market", 'a"b.c')),
        ("größe", ("größe",)),
        ("ÄRA", ("Ära",)),  # it folds no other letters than those of ASCII
        (" public . trades ", ("public", "trades")),
        ("a$1", ("a$1",)),
    ],
)
def test_names_are_read_as_sql_reads_them(name: str, parts: tuple[str, ...]) -> None:
    assert names.parts(name) == parts


@pytest.mark.parametrize(
    "name", ["", "my table", "a.b.c", "a.", ".a", '"', '""', "1a", "a;b", "a-b", "a\nb c"]
)
def test_what_is_no_name_is_told(name: str) -> None:
    with pytest.raises(SourceError, match="in double quotes"):
        names.parts(name)


@pytest.mark.parametrize(
    "parts", [("trades",), ("Public", "trades"), ('a"b', "größe"), ("with space", "a.b")]
)
def test_a_written_name_is_read_again(parts: tuple[str, ...]) -> None:
    assert names.parts(names.written(parts)) == parts


def test_only_what_needs_quotes_is_written_in_quotes() -> None:
    assert names.written(("public", "Trades")) == 'public."Trades"'


@pytest.mark.parametrize(
    ("text", "written"), [("BTC", "'BTC'"), ("it's", "'it''s'"), ("a\\b'", "E'a\\\\b'''"), ("", "''")]
)
def test_texts(text: str, written: str) -> None:
    assert names.literal(text) == written


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1",
        "select 1",
        "  -- what it is\n /* and /* why */ ; */ SELECT ';', \";\", $$;$$, $a$;$a$ FROM t -- ;",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "VALUES (1)",
        "TABLE trades",
        "(SELECT 1) UNION (SELECT 2)",
        "SELECT E'\\';' AS a, e'it''s;'",
        "SELECT 'a\\' || ';'",
        "SELECT '$1', price$1 FROM a",
        "SELECT ')('",
    ],
)
def test_a_query_can_be_selected_from(query: str) -> None:
    assert names.subquery(query) == f"(\n{query}\n)"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT 1;", "has a `;`"),
        ("SELECT 1; DROP TABLE a", "has a `;`"),
        ("SELECT 'a\\'; DROP TABLE a", "has a `;`"),
        ("DELETE FROM a", "must begin with SELECT, WITH, VALUES or TABLE, not with DELETE"),
        ("", "must begin with"),
        ("-- SELECT", "must begin with"),
        ("SELECT $1", "a parameter"),
        ("SELECT 1) UNION (SELECT 2", "parentheses"),
        ("SELECT (1", "parentheses"),
        ("SELECT 1 /* a /* b */", "comment"),
    ],
)
def test_what_is_no_query_is_told(query: str, words: str) -> None:
    with pytest.raises(SourceError, match=words.replace("(", "\\(")):
        names.subquery(query)
