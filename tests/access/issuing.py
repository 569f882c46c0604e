"""Issuers of tokens for the tests: a key of each kind, and tokens as they make them, good ones and odd ones."""

from __future__ import annotations

import base64
import functools
import json
from typing import TYPE_CHECKING, Any

import attrs
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.access.signatures import PrivateKey, PublicKey

SECRET = "a shared secret of these tests that is long enough for HS512, too"
NOW = 1_900_000_000.0
"""The time in tests that say what time it is."""

FITTING = {
    "RS256": "rsa",
    "RS384": "rsa",
    "RS512": "rsa",
    "PS256": "rsa",
    "PS384": "rsa",
    "PS512": "rsa",
    "ES256": "p256",
    "ES384": "p384",
    "ES512": "p521",
    "EdDSA": "ed25519",
}


_MAKERS: dict[str, Callable[[], PrivateKey]] = {
    "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "other rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "weak rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=1024),  # noqa: S505 - it is to be refused
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
}


@functools.cache
def private(kind: str) -> PrivateKey:
    """Make a key, once."""
    return _MAKERS[kind]()


def public(kind: str) -> PublicKey:
    return private(kind).public_key()


def public_pem(kind: str) -> bytes:
    return public(kind).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def private_pem(kind: str) -> bytes:
    return private(kind).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def written(folder: Path, kind: str) -> str:
    """Write the public key into a file and give its path."""
    file = folder / f"{kind}.pem"
    file.write_bytes(public_pem(kind))
    return str(file)


def published(kind: str, **more: Any) -> dict[str, Any]:
    """Give the public key as it stands in a set."""
    readers: dict[str, Any] = {
        "rsa": jwt.algorithms.RSAAlgorithm,
        "p": jwt.algorithms.ECAlgorithm,
        "ed": jwt.algorithms.OKPAlgorithm,
    }
    reader = next(reader for name, reader in readers.items() if kind.removeprefix("other ").startswith(name))
    return {**reader.to_jwk(public(kind), as_dict=True), **more}


def encoded(part: Any) -> str:
    """Give a part of a token; what is bytes or text already is taken as it is."""
    raw = (
        part
        if isinstance(part, bytes)
        else part.encode()
        if isinstance(part, str)
        else json.dumps(part).encode()
    )
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: Any, claims: Any, key: str | PrivateKey | bytes = SECRET, algorithm: str = "HS256") -> str:
    """Sign whatever the parts are, with whatever key."""
    if isinstance(key, str):
        key = key.encode() if algorithm.startswith("HS") else private(key)
    text = f"{encoded(header)}.{encoded(claims)}"
    signer: Any = jwt.algorithms.get_default_algorithms()[algorithm]
    return f"{text}.{encoded(signer.sign(text.encode(), key))}"


@attrs.frozen
class Issuer:
    """Signs what it is told, by default what is good for an hour."""

    algorithm: str = "HS256"
    key: str = SECRET
    key_id: str | None = None

    def token(self, header: dict[str, Any] | None = None, *, now: float = NOW, **claims: Any) -> str:
        head = {"alg": self.algorithm, "typ": "JWT", **({"kid": self.key_id} if self.key_id else {})}
        usual = {"sub": "ann", "exp": now + 3600}
        wanted = {name: value for name, value in {**usual, **claims}.items() if value is not ...}
        return signed({**head, **(header or {})}, wanted, self.key, self.algorithm)
