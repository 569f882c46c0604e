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
from appliance.edge.hello import offers_alpn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from appliance.settings.tree import ClientCertificates

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only. Those of 1.3 are all of this kind."""

ALPN: Final = ("h2", "http/1.1")

ASKING: Final[Mapping[ClientCertificates, ssl.VerifyMode]] = {
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}

_MISMATCHES: Final = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
"""What OpenSSL says of a key that belongs to another certificate, of the same kind or of another."""

TICKETS: Final = 2
"""Of TLS 1.3, for each connection: a client uses each once."""


def server_context(certificate: Path, key: Path, *, tickets: int = 0) -> ssl.SSLContext:
    """Build a context that serves this pair, or raise StartError that names the file at fault.

    With TLS 1.2, sessions are resumed always. `tickets` are those of TLS 1.3.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(ALPN)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # A phone has no instructions for AES, and names ChaCha20 first then: what the client likes best is taken.
    context.options &= ~(ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE)
    context.num_tickets = tickets
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


def _read(path: Path, names: str = "tls.certificate and tls.key") -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartError(
            f"{path} cannot be read ({error.strerror}): correct {names}, or let user {os.geteuid()} read it"
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
class Choice:
    """The contexts for those who are asked for the same: how a client begins says which it gets.

    One that writes in one thread and reads in another may wait for ever when a ticket of TLS 1.3 arrives meanwhile:
    libraries of Python do, some times in a thousand. They do not name their protocols, which browsers do.
    """

    plain: ssl.SSLContext
    resuming: ssl.SSLContext


@attrs.frozen
class Served:
    """What is served, and the contexts for it: those that ask clients for no certificate, and those that do."""

    choices: Mapping[ClientCertificates, Choice]
    fingerprint: str
    not_after: float

    @property
    def context(self) -> ssl.SSLContext:
        return self.context_for("off")

    def context_for(self, asked: ClientCertificates, hello: bytes = b"") -> ssl.SSLContext:
        """Give that of a listener for a client that begins so; one that asks is there where there are authorities for
        client certificates.
        """
        choice = self.choices[asked]
        return choice.resuming if offers_alpn(hello) else choice.plain


class Contexts:
    """The current context of a pair of files. `refresh` looks at them; who calls it says when."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None = None) -> None:
        """`client_ca` are the authorities that may vouch for the certificates of clients."""
        self._paths = (certificate, key) if client_ca is None else (certificate, key, client_ca)
        self._seen = _signatures(self._paths)
        self._current = _load(*self._paths)

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


def _load(certificate: Path, key: Path, client_ca: Path | None = None) -> Served:
    choices: dict[ClientCertificates, Choice] = {"off": _choice(certificate, key)}
    if client_ca is not None:
        for asked, mode in ASKING.items():
            choices[asked] = _choice(certificate, key)
            for each in (choices[asked].plain, choices[asked].resuming):
                _ask(each, client_ca, mode)
    pem = _read(certificate)
    try:
        not_after = x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()
    except ValueError as error:
        raise StartError(
            f"{certificate} changed while it was read: replace it by renaming a whole file"
        ) from error
    return Served(choices, fingerprint(pem), not_after)


def _choice(certificate: Path, key: Path) -> Choice:
    return Choice(
        plain=server_context(certificate, key), resuming=server_context(certificate, key, tickets=TICKETS)
    )


def _ask(context: ssl.SSLContext, authorities: Path, mode: ssl.VerifyMode) -> None:
    _read(authorities, "tls.client_ca")
    try:
        context.load_verify_locations(cafile=authorities)
    except (OSError, ValueError) as error:
        raise StartError(f"{authorities} holds no certificates in PEM form: correct tls.client_ca") from error
    context.verify_mode = mode


def _signatures(paths: tuple[Path, ...]) -> tuple[tuple[int, ...] | None, ...]:
    return tuple(_signature(path) for path in paths)


def _signature(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    # The time of the last status change too: `chmod` may have made a file readable.
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
