"""TLS contexts of the server, and the current one as certificate files change.

Must not know where the files come from, nor when it is time to look at them.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Final

import attrs
from cryptography import x509

from appliance.core.errors import StartError
from appliance.edge.certificates import fingerprint

if TYPE_CHECKING:
    from pathlib import Path

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only. Those of 1.3 are all of this kind."""

ALPN: Final = ("h2", "http/1.1")

_MISMATCHES: Final = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
"""What OpenSSL says of a key that belongs to another certificate, of the same kind or of another."""


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Build a context that serves this pair, or raise StartError that names the file at fault."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(ALPN)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options &= ~ssl.OP_NO_TICKET
    # A client that writes while a ticket of TLS 1.3 arrives may wait for ever: Python's do, one time in a hundred.
    context.num_tickets = 0
    pem = _read(certificate)
    _read(key)  # OpenSSL's own errors would not say which of the two files it is

    def encrypted() -> str:
        raise StartError(f"{key} is encrypted: decrypt it with `openssl pkey -in {key} -out NEW`, mode 0600")

    try:
        # Without a function for the password, OpenSSL would ask for it at the terminal.
        context.load_cert_chain(certificate, key, password=encrypted)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise StartError(_explained(error, certificate, key, pem)) from error
    return context


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartError(
            f"{path} cannot be read ({error.strerror}): correct tls.certificate and tls.key, "
            f"or let user {os.geteuid()} read it"
        ) from error


def _explained(error: Exception, certificate: Path, key: Path, pem: bytes) -> str:
    reason = getattr(error, "reason", None)
    if reason in _MISMATCHES:
        return f"{key} is not the key of {certificate}: name the pair that belongs together"
    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError:
        return f"{certificate} is not a certificate in PEM form: name the file with the certificate chain"
    if reason in (None, "PEM_LIB"):
        return f"{key} is not a private key in PEM form: name the key of {certificate}"
    return f"{certificate} with {key} is refused by OpenSSL ({reason}): use a stronger or newer pair"


@attrs.frozen
class Unchanged:
    """The files are as they were when last looked at."""


@attrs.frozen
class Swapped:
    """New connections get another certificate; `not_after` is in seconds since 1970."""

    fingerprint: str
    not_after: float


@attrs.frozen
class Refused:
    """The files changed and do not load; the certificate before stays."""

    reason: str


@attrs.frozen
class Served:
    """A context and what it serves."""

    context: ssl.SSLContext
    fingerprint: str
    not_after: float


class Contexts:
    """The current context of a pair of files. `refresh` looks at them; who calls it says when."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._paths = (certificate, key)
        self._seen = _signatures(self._paths)
        self._current = _load(certificate, key)

    @property
    def current(self) -> Served:
        return self._current

    def refresh(self) -> Unchanged | Swapped | Refused:
        """Swap to the files when they changed and load. A bad pair is told once, until they change again."""
        seen = _signatures(self._paths)  # before loading: a change meanwhile is seen the next time
        if seen == self._seen:
            return Unchanged()
        self._seen = seen
        try:
            self._current = _load(*self._paths)
        except StartError as error:
            return Refused(str(error))
        return Swapped(self._current.fingerprint, self._current.not_after)


def _load(certificate: Path, key: Path) -> Served:
    context = server_context(certificate, key)
    pem = _read(certificate)
    try:
        not_after = x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()
    except ValueError as error:
        raise StartError(
            f"{certificate} changed while it was read: replace it by renaming a whole file"
        ) from error
    return Served(context, fingerprint(pem), not_after)


def _signatures(paths: tuple[Path, ...]) -> tuple[tuple[int, ...] | None, ...]:
    return tuple(_signature(path) for path in paths)


def _signature(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    # The time of the last status change too: `chmod` may have made a file readable.
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
