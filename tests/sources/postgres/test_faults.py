"""What is wrong with a database, in words that name the remedy."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest

from appliance.settings.fields import Secret
from appliance.sources.postgres import faults
from appliance.sources.postgres.settings import PostgresSettings

SETTINGS = PostgresSettings(host="db", user="reader", password=Secret("hunter2"), sslmode="require")


def told(code: str, message: str = "the message", **fields: str) -> str:
    return str(faults.told({"C": code, "M": message, **fields}, SETTINGS))


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("28P01", "correct `user` and `password`"),
        ("28000", "pg_hba.conf"),
        ("3D000", "correct `database`"),
        ("22021", "another encoding"),
        ("53300", "lower `connections`"),
        ("57014", "raise `statement_timeout`"),
        ("57P01", "by itself"),
        ("57P02", "by itself"),
        ("57P03", "by itself"),
        ("57P05", "idle_session_timeout"),
        ("42P01", "correct `table` or `query`"),
        ("3F000", "correct `table` or `query`"),
        ("42703", "correct the columns"),
        ("42601", "correct `query`"),
        ("42501", "GRANT"),
        ("25006", "name the primary"),
        ("40001", "hot_standby_feedback"),
        ("40P01", "by itself"),
        ("55P03", "pg_locks"),
    ],
)
def test_what_the_server_says_is_told_with_its_remedy(code: str, remedy: str) -> None:
    text = told(code)
    assert "the message" in text
    assert remedy in text.split("; ", 1)[1]


def test_what_nobody_has_thought_of_is_told_as_it_came() -> None:
    assert told("XX000", "out of luck", D="and of time") == "db:5432 says (XX000): out of luck (and of time)"
    assert "no message" in str(faults.told({}, SETTINGS))


def test_a_statement_that_took_too_long_names_the_setting_and_one_that_somebody_cancelled_does_not() -> None:
    assert told("57014", "canceling statement due to statement timeout").startswith(
        "a statement took longer than `statement_timeout`, 30s: "
    )
    cancelled = told("57014", "canceling statement due to user request")
    assert "somebody cancelled it" in cancelled
    assert "statement_timeout" not in cancelled


@pytest.mark.parametrize(
    ("message", "statement"),
    [
        ("permission denied for table prices", "GRANT SELECT ON prices TO reader;"),
        ("permission denied for view prices", "GRANT SELECT ON prices TO reader;"),
        ("permission denied for materialized view prices", "GRANT SELECT ON prices TO reader;"),
        ('permission denied for table Or"der s', 'GRANT SELECT ON "Or""der s" TO reader;'),
        ("permission denied for schema market", "GRANT USAGE ON SCHEMA market TO reader;"),
        ('permission denied for database "market"', "GRANT CONNECT ON DATABASE market TO reader;"),
        ("permission denied for function now", "GRANT EXECUTE ON FUNCTION now TO reader;"),
    ],
)
def test_who_may_not_read_is_told_what_to_run(message: str, statement: str) -> None:
    assert f"run `{statement}` there" in told("42501", message)


def test_a_pooler_that_takes_no_settings_is_told_of() -> None:
    text = told("08P01", "unsupported startup parameter: statement_timeout")
    assert "PgBouncer's `ignore_startup_parameters`" in text
    assert "PgBouncer" not in told("08P01", "another matter")
    assert "pool_mode = session" in told("26000", "unnamed prepared statement does not exist")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "the host db is not known (Name or service"),
        (TimeoutError(), "db:5432 gave no answer within 10s; "),
        (ConnectionRefusedError(), "no PostgreSQL listens at db:5432; "),
        (FileNotFoundError(), "no PostgreSQL listens at db:5432; "),
        (ConnectionResetError(), "ended the connection while it was being made"),
        (OSError(113, "No route to host"), "cannot be reached (No route to host)"),
        (OSError("AF_UNIX path too long"), "cannot be reached (AF_UNIX path too long)"),
    ],
)
def test_why_no_connection_came_about(error: OSError, words: str) -> None:
    assert words in str(faults.unreachable(error, SETTINGS))


def test_the_setting_that_says_where_is_named() -> None:
    by_socket = PostgresSettings(socket="/run/postgresql")
    assert "correct `host` and `port`" in str(faults.unreachable(ConnectionRefusedError(), SETTINGS))
    assert "correct `socket`" in str(faults.unreachable(ConnectionRefusedError(), by_socket))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (62, 'sslmode = "verify-ca"'),
        (64, 'sslmode = "verify-ca"'),
        (18, "`sslrootcert`"),
        (19, "`sslrootcert`"),
        (20, "`sslrootcert`"),
        (10, "has expired"),
        (23, "does not hold (the reason)"),
    ],
)
def test_a_certificate_that_does_not_hold(code: int, words: str) -> None:
    error = ssl.SSLCertVerificationError(1, "no")
    error.verify_code, error.verify_message = code, "the reason"
    assert words in str(faults.unreachable(error, SETTINGS))


def test_a_connection_that_is_lost() -> None:
    assert "is lost" in str(faults.lost(ConnectionResetError(), SETTINGS))
    assert "`statement_timeout` (30s)" in str(faults.lost(TimeoutError(), SETTINGS))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (faults.without_tls(SETTINGS), 'speaks no TLS, which sslmode = "require" asks for'),
        (faults.without_password("", SETTINGS), "asks for the password of reader, and none is known; give"),
        (faults.without_password("no file", SETTINGS), "none is known (no file); give `password`"),
        (faults.unintelligible(KeyError("x"), SETTINGS), "does not speak as we do (KeyError: 'x')"),
    ],
)
def test_what_else_can_be(text: Any, words: str) -> None:
    assert words in str(text)


def test_no_password_is_told() -> None:
    assert "hunter2" not in str(faults.unintelligible(ValueError("got hunter2"), SETTINGS))
