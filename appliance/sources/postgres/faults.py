"""What can be wrong with a database, in words that name the remedy.

Must not know connections: it is given what one failed with.
"""

from __future__ import annotations

import re
import socket
import ssl
from typing import TYPE_CHECKING

from appliance.core.errors import SourceError
from appliance.settings.quantities import time_text
from appliance.sources.postgres.access import place, sslmode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.sources.postgres.settings import PostgresSettings

_DENIED = re.compile(r"permission denied for (?P<kind>(?:materialized |foreign )?[a-z]+) (?P<name>.+)")
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_WRONG_NAME = (62, 64)
"""OpenSSL's numbers for a certificate of another host, and of another address."""
_UNKNOWN_SIGNER = (2, 18, 19, 20, 21)
_TOO_OLD = 10


def unreachable(error: OSError, settings: PostgresSettings) -> SourceError:
    """Why no connection came about."""
    where = place(settings)
    named = "`socket`" if settings.socket is not None else "`host` and `port`"
    match error:
        case socket.gaierror():
            return SourceError(
                f"the host {settings.host} is not known ({error.strerror}); correct `host`, or the name service"
            )
        case ssl.SSLError():
            return SourceError(_untrusted(error, settings))
        case TimeoutError():
            return SourceError(
                f"{where} gave no answer within {time_text(settings.connect_timeout)}; see whether the host runs"
                f" and no firewall is between, or correct {named}"
            )
        case ConnectionRefusedError() | FileNotFoundError():
            return SourceError(f"no PostgreSQL listens at {where}; start it there, or correct {named}")
        case ConnectionError():
            return SourceError(
                f"{where} ended the connection while it was being made; see the log of the database"
            )
        case _:
            return SourceError(
                f"{where} cannot be reached ({error.strerror or error}); see to the network, or correct {named}"
            )


def without_tls(settings: PostgresSettings) -> SourceError:
    return SourceError(
        f'{place(settings)} speaks no TLS, which sslmode = "{sslmode(settings)}" asks for; switch it on there'
        ' (`ssl = on`), or say sslmode = "disable" where nobody else can read the network'
    )


def without_password(unknown: str, settings: PostgresSettings) -> SourceError:
    because = f" ({unknown})" if unknown else ""
    return SourceError(
        f"{place(settings)} asks for the password of {settings.user}, and none is known{because}; give `password`,"
        " `password_file` or `passfile`"
    )


def lost(error: OSError, settings: PostgresSettings) -> SourceError:
    """Why a connection that there was is no more."""
    if isinstance(error, TimeoutError):
        return SourceError(
            f"{place(settings)} gave no answer to a statement, not even that `statement_timeout`"
            f" ({time_text(settings.statement_timeout)}) has passed; see whether the host and the network live"
        )
    return SourceError(
        f"the connection to {place(settings)} is lost; see whether the database was restarted or the network failed"
    )


def unintelligible(error: Exception, settings: PostgresSettings) -> SourceError:
    """What was said makes no sense as PostgreSQL's protocol, or asks for what is not spoken here."""
    said = f"{type(error).__name__}: {error}"
    if settings.password:
        said = said.replace(settings.password, "…")
    return SourceError(
        f"what answers at {place(settings)} does not speak as we do ({said}); correct `host` and `port`, and have"
        " the user sign in with a password (scram-sha-256) where pg_hba.conf says something else"
    )


def told(fields: Mapping[str, str], settings: PostgresSettings) -> SourceError:
    """What the server said, with what it means for the reader: `fields` are those of its message."""
    code, message = fields.get("C", ""), fields.get("M", "no message")
    detail = f" ({fields['D']})" if fields.get("D") else ""
    return SourceError(
        f"{_meant(code, message, settings)}: {message}{detail}{_remedy(code, message, settings)}"
    )


def _meant(code: str, message: str, settings: PostgresSettings) -> str:
    where = place(settings)
    match code:
        case "28P01" | "28000":
            return f"{where} does not let {settings.user} in"
        case "57014" if "user request" not in message:
            return (
                f"a statement took longer than `statement_timeout`, {time_text(settings.statement_timeout)}"
            )
        case "57P01" | "57P02" | "57P05":
            return f"{where} ended the connection"
        case "57P03":
            return f"{where} takes no connections yet, or no more"
        case _:
            return f"{where} says ({code or 'without a code'})"


def _remedy(code: str, message: str, settings: PostgresSettings) -> str:
    text = _granted(message, settings) if code == "42501" else _REMEDIES.get(code, "")
    if code == "57014" and "user request" in message:
        text = "somebody cancelled it there; it is tried again by itself"
    if code == "08P01" and "startup parameter" in message:
        text = (
            "name the database itself instead of a pooler, or let the pooler pass that (PgBouncer's"
            " `ignore_startup_parameters`) and set it for the role there: ALTER ROLE … SET"
        )
    return f"; {text}" if text else ""


_AGAIN = "it is tried again by itself"
_REMEDIES: Mapping[str, str] = {
    "28P01": "correct `user` and `password`",
    "28000": "correct `user`, or let it in with a line in pg_hba.conf",
    "3D000": "correct `database`",
    "22021": "the bytes of some row are in another encoding: correct these, or leave the column out",
    "53300": "lower `connections`, or raise max_connections there or the limit of the user",
    "57014": "see whether an index serves it, lower `batch`, or raise `statement_timeout`",
    "57P01": _AGAIN,
    "57P02": _AGAIN,
    "57P03": _AGAIN,
    "57P05": f"{_AGAIN}; idle_session_timeout there should be longer than `every`",
    "42P01": "correct `table` or `query`, or make the table again",
    "3F000": "correct `table` or `query`, or make the schema again",
    "42703": "correct the columns that the channel names, or add that one to the table",
    "42601": "correct `query`",
    "26000": "name the database itself, or let the pooler keep a connection for the whole session (PgBouncer's"
    " pool_mode = session)",
    "25006": "name the primary, or leave out what a replica does not do, such as `notify`",
    "40001": f"{_AGAIN}; on a replica, raise max_standby_streaming_delay or set hot_standby_feedback = on",
    "40P01": _AGAIN,
    "55P03": f"{_AGAIN}; see who locks the table in pg_locks",
}


def _granted(message: str, settings: PostgresSettings) -> str:
    """What to run there, so that the user may read."""
    user, found = _quoted(settings.user), _DENIED.search(message)
    if not found:
        return f"let {user} do that with GRANT"
    name = _quoted(found["name"].strip('"'))
    match found["kind"]:
        case "schema":
            grant = f"USAGE ON SCHEMA {name}"
        case "database":
            grant = f"CONNECT ON DATABASE {name}"
        case "function" | "procedure":
            grant = f"EXECUTE ON FUNCTION {name}"
        case _:
            grant = f"SELECT ON {name}"
    return f"run `GRANT {grant} TO {user};` there"


def _quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def _untrusted(error: ssl.SSLError, settings: PostgresSettings) -> str:
    where = place(settings)
    if not isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"TLS with {where} failed ({error.reason or error}); see the log of the database,"
            " and `sslcert` where it asks for a certificate"
        )
    if error.verify_code in _WRONG_NAME:
        return (
            f"the certificate of {where} is for another name ({error.verify_message}); name the host as its"
            ' certificate does, or say sslmode = "verify-ca"'
        )
    if error.verify_code in _UNKNOWN_SIGNER:
        return (
            f"the certificate of {where} is vouched for by nobody that is known here ({error.verify_message});"
            " give the certificate of its authority as `sslrootcert`"
        )
    if error.verify_code == _TOO_OLD:
        return f"the certificate of {where} has expired; renew it there"
    return f"the certificate of {where} does not hold ({error.verify_message}); renew it there"
