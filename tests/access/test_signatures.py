"""Keys and algorithms: what fits verifies, and nothing else does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from appliance.access import signatures
from appliance.access.signatures import PublishedKey, SharedSecret
from tests.access.issuing import FITTING, SECRET, private, private_pem, public, public_pem, published, signed

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.access.signatures import Key

SHARED = SharedSecret(SECRET.encode())
KINDS = ("rsa", "p256", "p384", "p521", "ed25519")
ALGORITHMS = (*FITTING, "HS256", "HS384", "HS512")


def key_of(algorithm: str) -> Key:
    return SHARED if algorithm.startswith("HS") else public(FITTING[algorithm])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signature_is_good_with_its_own_key_alone(algorithm: str) -> None:
    key = SECRET if algorithm.startswith("HS") else FITTING[algorithm]
    token = signed({"alg": algorithm}, {"sub": "ann"}, key, algorithm)
    assert signatures.verify(token, algorithm, key_of(algorithm))
    for kind in (*KINDS, "other rsa"):
        assert signatures.verify(token, algorithm, public(kind)) is (kind == key)
    assert signatures.verify(token, algorithm, SHARED) is (key == SECRET)
    assert not signatures.verify(token, algorithm, SharedSecret(SECRET[::-1].encode()))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_changed_token_is_not_good(algorithm: str) -> None:
    key = SECRET if algorithm.startswith("HS") else FITTING[algorithm]
    header, _, signature = signed({"alg": algorithm}, {"sub": "ann"}, key, algorithm).split(".")
    _, other, _ = signed({"alg": algorithm}, {"sub": "root"}, key, algorithm).split(".")
    assert not signatures.verify(f"{header}.{other}.{signature}", algorithm, key_of(algorithm))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_shared_secret(kind: str, algorithm: str) -> None:
    """The classic confusion: a token signed by HMAC with the text of the public key."""
    for secret in (public_pem(kind), public_pem(kind).strip(), json.dumps(published(kind)).encode()):
        signer: Any = jwt.algorithms.HMACAlgorithm(
            getattr(jwt.algorithms.HMACAlgorithm, f"SHA{algorithm[2:]}")
        )
        text = signed({"alg": algorithm}, {"sub": "ann"}).rpartition(".")[0]
        forged = f"{text}.{jwt.utils.base64url_encode(signer.sign(text.encode(), secret)).decode()}"
        assert not signatures.verify(forged, algorithm, public(kind))


@pytest.mark.parametrize("algorithm", ["none", "None", "", "HS1", "ES256K", "RSA-OAEP", "dir", "RS999"])
def test_other_algorithms_fit_no_key(algorithm: str) -> None:
    token = signed({"alg": algorithm}, {"sub": "ann"})
    for key in (SHARED, *map(public, (*KINDS, "ed448"))):
        assert not signatures.fits(key, algorithm)
        assert not signatures.verify(token, algorithm, key)


def test_the_header_of_a_token_does_not_choose_its_algorithm() -> None:
    token = signed({"alg": "HS384"}, {"sub": "ann"}, SECRET, "HS384")
    assert not signatures.verify(token, "HS256", SHARED)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (SharedSecret(b"x" * 31), "HS256"),
        (SharedSecret(b"x" * 47), "HS384"),
        (SharedSecret(b"x" * 63), "HS512"),
        (public("weak rsa"), "RS256"),
        (public("weak rsa"), "PS256"),
        (public("p256"), "ES384"),
        (public("p521"), "ES256"),
        (public("ed25519"), "ES256"),
        (public("rsa"), "EdDSA"),
    ],
)
def test_what_does_not_fit_says_what_would(key: Key, algorithm: str) -> None:
    assert not signatures.fits(key, algorithm)
    assert algorithm in (signatures.misfit(key, algorithm) or "")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_fits_has_nothing_wrong(algorithm: str) -> None:
    assert signatures.misfit(key_of(algorithm), algorithm) is None


def test_ed448_is_for_eddsa_too() -> None:
    token = signed({"alg": "EdDSA"}, {}, "ed448", "EdDSA")
    assert signatures.verify(token, "EdDSA", public("ed448"))


@pytest.mark.parametrize("kind", ["rsa", "p256", "p384", "p521", "ed25519", "ed448"])
def test_what_is_signed_here_is_good(kind: str) -> None:
    algorithm = signatures.usual(private(kind))
    token = signatures.sign({"sub": "ann"}, algorithm, private(kind), "k1")
    assert jwt.get_unverified_header(token) == {"alg": algorithm, "typ": "JWT", "kid": "k1"}
    assert jwt.decode(token, public(kind), algorithms=[algorithm], options={"verify_sub": False}) == {
        "sub": "ann"
    }
    assert signatures.usual(public(kind)) == algorithm


def test_what_is_signed_with_a_secret_is_good() -> None:
    token = signatures.sign({"sub": "ann"}, signatures.usual(SHARED), SHARED, None)
    assert jwt.decode(token, SECRET, algorithms=["HS256"]) == {"sub": "ann"}


def test_nothing_is_signed_with_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="at least 32"):
        signatures.sign({}, "HS256", SharedSecret(b"short"), None)
    with pytest.raises(ValueError, match="does not fit HS256"):
        signatures.sign({}, "HS256", private("rsa"), None)


def test_a_secret_stays_out_of_a_repr() -> None:
    assert SECRET not in repr(SHARED)


@pytest.mark.parametrize("kind", ["rsa", "p256", "ed25519", "ed448"])
def test_keys_are_read_from_files(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(public_pem(kind))
    assert signatures.public_key(file) == public(kind)
    file.write_bytes(private_pem(kind))
    assert signatures.private_key(file).public_key() == public(kind)
    with pytest.raises(ValueError, match="holds a private key"):
        signatures.public_key(file)


def test_a_certificate_is_as_good_as_its_key(tmp_path: Path, made_certificate: bytes) -> None:
    file = tmp_path / "certificate.pem"
    file.write_bytes(made_certificate)
    assert signatures.fits(signatures.public_key(file), "ES256")


def test_files_without_a_key_say_so(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    for read in (signatures.public_key, signatures.private_key):
        with pytest.raises(ValueError, match="cannot be read"):
            read(file)
    file.write_text("no key")
    with pytest.raises(ValueError, match="is no public key"):
        signatures.public_key(file)
    with pytest.raises(ValueError, match="is no private key"):
        signatures.private_key(file)
    file.write_bytes(
        private("p256").private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"word"),
        )
    )
    with pytest.raises(ValueError, match="is encrypted"):
        signatures.private_key(file)


def read_set(*entries: Any) -> tuple[PublishedKey, ...]:
    return signatures.published_keys(json.dumps({"keys": entries}).encode())


def test_a_set_has_the_keys_that_are_for_tokens() -> None:
    found = read_set(
        published("rsa", kid="r", use="sig", alg="RS256"),
        published("p256", kid="p", key_ops=["verify"]),
        published("ed25519"),
        published("p384", kid="for encryption", use="enc"),
        published("p521", kid="to sign", key_ops=["sign"]),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret", "alg": "HS256"},
        {"kty": "new", "kid": "unknown"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {**published("p256", kid="private"), "d": "AAAA"},
        published("rsa", kid=5),
        "text",
    )
    assert [(each.id, each.algorithm) for each in found] == [("r", "RS256"), ("p", None), (None, None)]
    assert [each.key for each in found] == [public("rsa"), public("p256"), public("ed25519")]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": 5}', b"\xff", b"[" * 9999]
)
def test_what_is_no_set_says_so(content: bytes) -> None:
    with pytest.raises(ValueError, match="no set of keys"):
        signatures.published_keys(content)


def test_a_set_has_a_bound() -> None:
    assert len(read_set(*[published("p256", kid=f"{number}") for number in range(120)])) == 100


def test_a_token_gets_the_key_that_it_names() -> None:
    keys = read_set(
        published("rsa", kid="a", alg="RS256"), published("other rsa", kid="b"), published("p256", kid="c")
    )
    assert signatures.choose(keys, "a", "RS256") == [public("rsa")]
    assert signatures.choose(keys, "a", "PS256") == []
    assert signatures.choose(keys, "b", "PS256") == [public("other rsa")]
    assert signatures.choose(keys, "c", "RS256") == []
    assert signatures.choose(keys, "x", "RS256") == []
    assert signatures.choose(keys, None, "RS256") == [public("rsa"), public("other rsa")]
    assert signatures.choose(keys, "a", "HS256") == []


def test_a_token_that_names_no_key_tries_a_few() -> None:
    keys = read_set(*[published("p256", kid=f"{number}") for number in range(50)])
    assert len(signatures.choose(keys, None, "ES256")) == 8


def test_a_fingerprint_is_that_of_the_key_and_tells_nothing_of_it() -> None:
    secret = SharedSecret(b"a secret that is long enough")
    assert signatures.fingerprint(secret) == signatures.fingerprint(SharedSecret(secret.content))
    keys = [secret, SharedSecret(b"another"), public("rsa"), public("other rsa"), public("p256")]
    assert len({signatures.fingerprint(key) for key in keys}) == len(keys)
    assert secret.content not in signatures.fingerprint(secret)
