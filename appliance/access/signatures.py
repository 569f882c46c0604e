"""Keys and algorithms of signed tokens: which fit one another, and whether a signature is good.

An algorithm is only ever used with a key of its own kind, so that a public key is never taken for a shared secret.
The one module that knows PyJWT. Must not know issuers or claims.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PublicKey: TypeAlias = (
    rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
)
PrivateKey: TypeAlias = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
)
_PUBLIC: Final = (
    rsa.RSAPublicKey,
    ec.EllipticCurvePublicKey,
    ed25519.Ed25519PublicKey,
    ed448.Ed448PublicKey,
)
_PRIVATE: Final = (
    rsa.RSAPrivateKey,
    ec.EllipticCurvePrivateKey,
    ed25519.Ed25519PrivateKey,
    ed448.Ed448PrivateKey,
)
_LEAST_RSA: Final = 2048
_SECRET_BYTES: Final = MappingProxyType({"HS256": 32, "HS384": 48, "HS512": 64})
"""Least bytes of a secret (RFC 7518, 3.2)."""
_FOR_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Final = MappingProxyType({"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"})
_MOST_KEYS: Final = 100
_UNKNOWN_KEYS_TRIED: Final = 8


@attrs.frozen
class SharedSecret:
    """What both sides of HS256, HS384 and HS512 know."""

    content: bytes = attrs.field(repr=False)


Key: TypeAlias = SharedSecret | PublicKey


def fingerprint(key: Key) -> bytes:
    """Give what is the same for equal keys alone, and tells nothing of a secret."""
    if isinstance(key, SharedSecret):
        return hashlib.sha256(b"secret " + key.content).digest()
    public = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(b"public " + public).digest()


def fits(key: Key, algorithm: str) -> bool:
    """Whether a key is of the kind that an algorithm takes, and strong enough for it."""
    if isinstance(key, SharedSecret):
        least = _SECRET_BYTES.get(algorithm)
        return least is not None and len(key.content) >= least
    match key:
        case rsa.RSAPublicKey():
            return algorithm in _FOR_RSA and key.key_size >= _LEAST_RSA
        case ec.EllipticCurvePublicKey():
            return key.curve.name == _CURVES.get(algorithm)
        case _:
            return algorithm == "EdDSA"


def is_shared(algorithm: str) -> bool:
    """Whether who can verify can also sign."""
    return algorithm in _SECRET_BYTES


def verify(text: str, algorithm: str, key: Key) -> bool:
    """Whether the token that is this text was signed with this algorithm and key; never, where they do not fit."""
    import jwt  # noqa: PLC0415 - a start is quicker without, and many have no tokens

    if not fits(key, algorithm):
        return False
    try:
        jwt.PyJWS().decode_complete(text, _bare(key), algorithms=[algorithm])
    except jwt.PyJWTError:
        return False
    return True


def sign(
    claims: Mapping[str, Any], algorithm: str, key: SharedSecret | PrivateKey, key_id: str | None
) -> str:
    """Make a token; ValueError where key and algorithm do not fit."""
    known = key if isinstance(key, SharedSecret) else key.public_key()
    if not fits(known, algorithm):
        raise ValueError(f"the key does not fit {algorithm}: {_remedy(known)}")
    from jwt import PyJWS  # noqa: PLC0415 - as above

    headers = {} if key_id is None else {"kid": key_id}
    signing = key.content if isinstance(key, SharedSecret) else key
    return PyJWS().encode(msgspec.json.encode(claims), signing, algorithm, {"typ": "JWT", **headers})


def usual(key: SharedSecret | PrivateKey | PublicKey) -> str:
    """The algorithm that is chosen for a key where none is named."""
    match key:
        case SharedSecret():
            return "HS256"
        case rsa.RSAPublicKey() | rsa.RSAPrivateKey():
            return "PS256"
        case ec.EllipticCurvePublicKey() | ec.EllipticCurvePrivateKey():
            return next((name for name, curve in _CURVES.items() if key.curve.name == curve), "ES256")
        case _:
            return "EdDSA"


def misfit(key: Key, algorithm: str) -> str | None:
    """Say what is wrong where they do not fit."""
    return None if fits(key, algorithm) else f"does not fit {algorithm}: {_remedy(key)}"


def public_key(path: Path) -> PublicKey:
    """Read a PEM file with a public key, or a certificate of one; ValueError says what is wrong."""
    pem = _content(path)
    if b"PRIVATE KEY" in pem:
        raise ValueError(f"{path} holds a private key: name the public one (openssl pkey -pubout)")
    try:
        found: object = (
            x509.load_pem_x509_certificate(pem).public_key()
            if b"BEGIN CERTIFICATE" in pem
            else serialization.load_pem_public_key(pem)
        )
    except Exception:  # noqa: BLE001 - cryptography raises many kinds of error for what is no key
        raise ValueError(f"{path} is no public key and no certificate in PEM form") from None
    if not isinstance(found, _PUBLIC):
        raise ValueError(f"{path} is a key of another kind than RSA, EC, Ed25519 or Ed448")  # noqa: TRY004 - the file is wrong
    return found


def private_key(path: Path) -> PrivateKey:
    """Read a PEM file with a private key; ValueError says what is wrong."""
    pem = _content(path)
    try:
        found = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise ValueError(f"{path} is encrypted: decrypt it with `openssl pkey`, mode 0600") from None
    except Exception:  # noqa: BLE001 - as above
        raise ValueError(f"{path} is no private key in PEM form") from None
    if not isinstance(found, _PRIVATE):
        raise ValueError(f"{path} is a key of another kind than RSA, EC, Ed25519 or Ed448")  # noqa: TRY004 - the file is wrong
    return found


@attrs.frozen
class PublishedKey:
    """One of an issuer's public keys, and what it says that it is for."""

    key: PublicKey
    id: str | None
    algorithm: str | None


def published_keys(content: bytes) -> tuple[PublishedKey, ...]:
    """Read a set of keys (JWKS), passing over those that are for something else; ValueError where it is none."""
    try:
        entries = msgspec.json.decode(content)["keys"]
        found = [_published(entry) for entry in entries[:_MOST_KEYS] if isinstance(entry, dict)]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError('no set of keys: expected {"keys": [ … ]}') from None
    return tuple(each for each in found if each is not None)


def choose(keys: tuple[PublishedKey, ...], key_id: str | None, algorithm: str) -> list[Key]:
    """Give the keys that a token may be signed with: the one that it names, or where it names none, those that fit."""
    found: list[Key] = [
        each.key
        for each in keys
        if (key_id is None or each.id == key_id)
        and each.algorithm in (None, algorithm)
        and fits(each.key, algorithm)
    ]
    return found[:_UNKNOWN_KEYS_TRIED]


def _published(entry: Mapping[str, Any]) -> PublishedKey | None:
    read = _reader(str(entry.get("kty")))
    key_id, algorithm = entry.get("kid"), entry.get("alg")
    operations = entry.get("key_ops", ["verify"])
    for_tokens = entry.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    named = isinstance(key_id, str | None) and isinstance(algorithm, str | None)
    if read is None or not for_tokens or not named or "d" in entry:
        return None
    try:
        key = read(dict(entry))
    except Exception:  # noqa: BLE001 - one odd key does not make the others useless
        return None
    return PublishedKey(key, key_id, algorithm) if isinstance(key, _PUBLIC) else None


def _reader(kind: str) -> Callable[[dict[str, Any]], object] | None:
    """Keys that are not public, as those of kind `oct`, are none that a set could tell."""
    from jwt import algorithms  # noqa: PLC0415 - as above

    match kind:
        case "RSA":
            return algorithms.RSAAlgorithm.from_jwk
        case "EC":
            return algorithms.ECAlgorithm.from_jwk
        case "OKP":
            return algorithms.OKPAlgorithm.from_jwk
        case _:
            return None


def _bare(key: Key) -> bytes | PublicKey:
    return key.content if isinstance(key, SharedSecret) else key


def _content(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _remedy(key: Key) -> str:
    match key:
        case SharedSecret():
            return "a secret is for HS256, HS384 and HS512, and has at least 32, 48 or 64 bytes"
        case rsa.RSAPublicKey():
            return f"an RSA key is for RS… and PS…, and has at least {_LEAST_RSA} bits"
        case ec.EllipticCurvePublicKey():
            return "a key on P-256 is for ES256, on P-384 for ES384, on P-521 for ES512"
        case _:
            return "an Ed25519 or Ed448 key is for EdDSA"
