"""The certificate of the doors for apps: the operator's, or one made here for trying things."""

import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from esp.errors import SettingsError
from esp.settings import Settings

_VALID: Final = timedelta(days=825)
_MADE: Final = "submission.pem"


def server_context(settings: Settings, name: str) -> ssl.SSLContext:
    """The TLS of ``settings.submission``, for clients that call us ``name``.

    Raises SettingsError with the operator's sentence where the files cannot be used.
    """
    it = settings.submission
    file = Path(it.certificate) if it.certificate else _own(settings.server.data_dir / _MADE, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8314 section 4.1, RFC 8996
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(file, it.certificate_key or None)
    except (OSError, ssl.SSLError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise SettingsError(
            f"The certificate {file} cannot be used: {reason}. submission.certificate names a PEM file with the chain, "
            "submission.certificate_key one with its key.") from None
    return context


def _own(path: Path, name: str) -> Path:
    """A self-signed certificate, made on the first start and kept, so that clients may pin it."""
    if path.exists():
        return path
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name), x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    octets = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    new = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
    new.replace(path)
    return path
