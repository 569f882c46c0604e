"""How a database is reached: its address, who asks with which password, and what TLS must show.

Must not know connections. Files are read each time, so that a changed password or certificate is taken up.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from appliance.core.errors import SourceError
from appliance.settings.secrets import read_text
from appliance.sources.postgres import passfile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.settings.fields import Secret
    from appliance.sources.postgres.settings import PostgresSettings, SslMode

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@attrs.frozen(kw_only=True)
class Access:
    """Read for one connection. `unknown` says why there is no password, should the server ask for one."""

    socket: Path | None
    sslmode: SslMode
    context: ssl.SSLContext | None
    password: Secret | None = attrs.field(repr=False)
    unknown: str = ""


def place(settings: PostgresSettings) -> str:
    """Where the database is, for messages: `db.example.com:5432`, or a path."""
    path = socket_path(settings)
    if path is not None:
        return str(path)
    return (
        f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}"
    )


def socket_path(settings: PostgresSettings) -> Path | None:
    """The Unix socket, whether the setting names it or its folder."""
    if settings.socket is None:
        return None
    path = Path(settings.socket)
    is_socket = path.name.startswith(".s.") or path.is_socket()
    return path if is_socket else path / f".s.PGSQL.{settings.port}"


def sslmode(settings: PostgresSettings) -> SslMode:
    """The mode that holds: what crosses no network needs no proof of who is there, and a Unix socket no TLS."""
    if settings.socket is not None:
        return "disable"
    return settings.sslmode or ("prefer" if _is_loopback(settings.host) else "verify-full")


def read(settings: PostgresSettings, environment: Mapping[str, str] = os.environ) -> Access:
    """Read what a connection needs; SourceError names the file that does not serve."""
    mode = sslmode(settings)
    password, unknown = settings.password, ""
    if password is None:
        password, unknown = _kept(settings, environment)
    return Access(
        socket=socket_path(settings),
        sslmode=mode,
        context=None if mode == "disable" else _context(settings, mode),
        password=password,
        unknown=unknown,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _kept(settings: PostgresSettings, environment: Mapping[str, str]) -> tuple[Secret | None, str]:
    """The password in the file of passwords, or why there is none."""
    path = _passfile(settings, environment)
    if path is None or not path.exists():
        return None, f"{path} is not there" if path else "there is no home folder to find `.pgpass` in"
    try:
        text, _ = read_text(path)
        mode = stat.S_IMODE(path.stat().st_mode)
    except (OSError, ValueError) as error:
        return None, str(error)
    if mode & _OTHERS:
        return None, f"{path} is not used while others may read it: `chmod 600 {path}`"
    hosts = {settings.host} if settings.socket is None else {"localhost", settings.socket}
    found = passfile.find(
        text, hosts=hosts, port=settings.port, database=settings.database, user=settings.user
    )
    return found, "" if found else f"no line of {path} is for it"


def _passfile(settings: PostgresSettings, environment: Mapping[str, str]) -> Path | None:
    if settings.passfile:
        return Path(settings.passfile)
    if named := environment.get("PGPASSFILE"):
        return Path(named)
    home = environment.get("HOME")
    return Path(home) / ".pgpass" if home else None


def _context(settings: PostgresSettings, mode: SslMode) -> ssl.SSLContext:
    """As libpq has it: `require` looks at the certificate too where it was told who may vouch for it.

    Not what Python makes by default: that refuses certificates of many a database for the lack of an extension.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = mode == "verify-full"
    verifies = mode.startswith("verify") or (mode == "require" and settings.sslrootcert)
    context.verify_mode = ssl.CERT_REQUIRED if verifies else ssl.CERT_NONE
    if verifies and settings.sslrootcert:
        try:
            context.load_verify_locations(settings.sslrootcert)
        except OSError as error:
            raise _unfit("sslrootcert", settings.sslrootcert, error) from None
    elif verifies:
        context.load_default_certs()
    if settings.sslcert:
        try:
            # Without a password to give, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(settings.sslcert, settings.sslkey, password=str)
        except OSError as error:
            named = "sslcert" if settings.sslkey is None else "sslcert or sslkey"
            files = " or ".join(filter(None, (settings.sslcert, settings.sslkey)))
            raise _unfit(named, files, error) from None
    return context


def _unfit(setting: str, path: str, error: OSError) -> SourceError:
    if isinstance(error, ssl.SSLError):
        return SourceError(
            f"{path} does not serve for TLS ({error.reason or error}); give PEM files that belong together,"
            f" without a password, as `{setting}`"
        )
    return SourceError(f"{path} cannot be read ({error.strerror}); correct `{setting}` or who may read it")
