"""DKIM signatures (RFC 6376, RFC 8463) over messages that we wrote ourselves.

``c=relaxed/simple``: our bodies are CRLF-clean quoted-printable with one line end at the end, so ``simple`` has
nothing to do, where ``relaxed`` would cost as much as everything else but RSA. Headers are oversigned: each name is
listed once more than it occurs, so that a header added on the way breaks the signature (section 8.15).
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b, sha256
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from esp.model.content import SigningKey

OVERSIGNED: Final = (
    b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"reply-to", b"sender", b"mime-version", b"content-type",
    b"content-transfer-encoding", b"list-unsubscribe", b"list-unsubscribe-post", b"list-id", b"feedback-id",
)  # fmt: skip

RSA: Final = "rsa-sha256"
ED25519: Final = "ed25519-sha256"

Headers = Sequence[tuple[bytes, bytes]]


def relaxed_header(name: bytes, value: bytes) -> bytes:
    """One header in relaxed form (section 3.4.2), CRLF included. Values hold no octets only Python calls blanks."""
    return name.lower() + b":" + b" ".join(value.split()) + b"\r\n"


def body_hash(body: bytes) -> bytes:
    """base64 of the SHA-256 of ``body`` in simple form (section 3.4.3): exactly one line end at the end."""
    if not body.endswith(b"\r\n") or body.endswith(b"\r\n\r\n") or body == b"\r\n":
        while body.endswith(b"\r\n"):
            body = body[:-2]
        body += b"\r\n"
    return base64.b64encode(sha256(body).digest())


def _load(algorithm: str, pem: bytes) -> Callable[[bytes], bytes]:
    # Validating an RSA key costs 40 ms, and it was validated when it was made or imported.
    key = load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
    if algorithm == RSA and isinstance(key, rsa.RSAPrivateKey):
        rsa_key, pkcs1, digest = key, padding.PKCS1v15(), hashes.SHA256()
        return lambda data: rsa_key.sign(data, pkcs1, digest)
    if algorithm == ED25519 and isinstance(key, ed25519.Ed25519PrivateKey):
        ed_key = key
        # RFC 8463 section 3: what is signed is the SHA-256 of the data.
        return lambda data: ed_key.sign(sha256(data).digest())
    raise ValueError(f"the key is not one for {algorithm}")


@lru_cache(maxsize=256)
def _signing_function(
    domain: str, selector: str, algorithm: str, fingerprint: bytes, pem: bytes
) -> Callable[[bytes], bytes]:
    return _load(algorithm, pem)


@dataclass(frozen=True, slots=True)
class Signer:
    """One key, loaded once a process. Made by ``signer_for``."""

    domain: bytes
    selector: bytes
    algorithm: bytes
    function: Callable[[bytes], bytes]

    def sign(self, headers: Headers, digest: bytes, timestamp: int) -> bytes:
        """The ``DKIM-Signature`` header with its CRLF, over ``headers`` in the order of the message.

        ``digest`` is ``body_hash`` of the body, ``timestamp`` seconds since 1970. A header that occurs more than once
        is taken from the bottom up, as verifiers do (section 5.4.2).
        """
        present: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            present.setdefault(name.lower(), []).append(relaxed_header(name, value))
        return self.sign_relaxed(present, digest, timestamp)

    def sign_relaxed(self, present: dict[bytes, list[bytes]], digest: bytes, timestamp: int) -> bytes:
        """As ``sign``, for a caller that has the relaxed forms by lower-case name already."""
        names: list[bytes] = []
        data: list[bytes] = []
        for name in OVERSIGNED:
            found = present.get(name, ())
            names.extend([name] * (len(found) + 1))
            data.extend(reversed(found))
        return self.over(tuple(names)).sign(b"".join(data), digest, timestamp)

    def over(self, names: tuple[bytes, ...]) -> "Frame":
        """The header of every signature over ``names`` (the ``h=`` tag), ready but for what differs."""
        head = b"v=1; a=%b; c=relaxed/simple; d=%b;\r\n\ts=%b; t=" % (self.algorithm, self.domain, self.selector)
        middle = b";\r\n\th=%b;\r\n\tbh=" % _fold_names(names)
        # Relaxed by pieces: none of them begins or ends in the middle of white space, and neither do the number and the
        # digest that go between.
        return Frame(b"DKIM-Signature: " + head, middle, b"dkim-signature:" + b" ".join(head.split()),
                     b" ".join(middle.split()), self.function)


@dataclass(frozen=True, slots=True)
class Frame:
    """A signature over the same names again and again: only time, body hash and signed headers differ."""

    head: bytes
    middle: bytes
    relaxed_head: bytes
    relaxed_middle: bytes
    function: Callable[[bytes], bytes]

    def sign(self, relaxed: bytes, digest: bytes, timestamp: int) -> bytes:
        """The ``DKIM-Signature`` header with its CRLF. ``relaxed``: the signed headers in the order of the names."""
        at = b"%d" % timestamp
        data = b"".join((relaxed, self.relaxed_head, at, self.relaxed_middle, digest, b"; b="))
        signature = base64.b64encode(self.function(data))
        lines = b"\r\n\t".join([signature[start : start + 72] for start in range(0, len(signature), 72)])
        return b"".join((self.head, at, self.middle, digest, b";\r\n\tb=", lines, b"\r\n"))


@lru_cache(maxsize=64)
def _fold_names(names: tuple[bytes, ...]) -> bytes:
    lines: list[bytes] = [b""]
    for at, name in enumerate(names):
        word = name + (b":" if at < len(names) - 1 else b"")
        if len(lines[-1]) + len(word) > 70:
            lines.append(b"")
        lines[-1] += word
    return b"\r\n\t".join(lines)


def signer_for(key: SigningKey) -> Signer:
    """The loaded form of ``key``, cached by domain, selector and the key itself. Raises ValueError for a wrong key."""
    fingerprint = blake2b(key.private_pem, digest_size=16).digest()
    function = _signing_function(key.domain, key.selector, key.algorithm, fingerprint, key.private_pem)
    return Signer(key.domain.encode("ascii"), key.selector.encode("ascii"), key.algorithm.encode("ascii"), function)


def public_record(algorithm: str, private_pem: bytes) -> str:
    """The TXT record's text for a private key (RFC 6376 section 3.6.1, RFC 8463 section 4)."""
    key = load_pem_private_key(private_pem, password=None)
    if algorithm == RSA and isinstance(key, rsa.RSAPrivateKey):
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode()
    if algorithm == ED25519 and isinstance(key, ed25519.Ed25519PrivateKey):
        raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return "v=DKIM1; k=ed25519; p=" + base64.b64encode(raw).decode()
    raise ValueError(f"the key is not one for {algorithm}")


def generate_key(algorithm: str = RSA) -> tuple[bytes, str]:
    """A fresh key (``RSA``: 2048 bit, or ``ED25519``): its secret PKCS#8 PEM and the text of its TXT record."""
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    if algorithm == RSA:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    elif algorithm == ED25519:
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        raise ValueError(f"{algorithm!r} is not a DKIM algorithm we sign with")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, public_record(algorithm, pem)


def dns_record(key: SigningKey) -> tuple[str, str]:
    """Name and text of the TXT record to publish for ``key``."""
    return f"{key.selector}._domainkey.{key.domain}", public_record(key.algorithm, key.private_pem)
