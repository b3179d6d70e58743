"""The certificate with which the workers of one gateway authenticate each other."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Final

NAME: Final = "kafka-facade-worker"
"""The name in the certificate."""

# The date for certificates without an end (RFC 5280, 4.1.2.5): one is used for as long as its gateway runs.
_NEVER: Final = datetime.datetime(9999, 12, 31, 23, 59, 59)
_ALWAYS: Final = datetime.datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, in PEM. All workers of a gateway have the same, and trust no other."""

    key: bytes = field(repr=False)
    certificate: bytes


def new_certificate() -> Certificate:
    """Return a new self-signed certificate. Takes a few milliseconds."""
    # Import lazily: only workers that connect over TCP need it.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_ALWAYS)
        .not_valid_after(_NEVER)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        # It signs no other certificates.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    pkcs8 = serialization.PrivateFormat.PKCS8
    return Certificate(
        key.private_bytes(pem, pkcs8, serialization.NoEncryption()),
        certificate.public_bytes(pem),
    )
