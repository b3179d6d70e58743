"""Certificates for tests: an authority, an intermediate one, a server's and a client's, as PEM and as PKCS12."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

_PEM = serialization.Encoding.PEM
_PKCS8 = serialization.PrivateFormat.PKCS8


class TlsFiles:
    """The files, in a folder. Stores and the client's PEM file have the ``password``."""

    password = "st0re-canary-c2d4"

    def __init__(self, folder: Path) -> None:
        root_key, root = _certificate("root", None, None, authority=True)
        middle_key, middle = _certificate("intermediate", root_key, root, authority=True)
        server_key, server = _certificate("server", middle_key, middle)
        client_key, client = _certificate("client", middle_key, middle)
        secret = serialization.BestAvailableEncryption(self.password.encode())
        self.authority = _pem(root)
        self.client_key = _key(client_key, serialization.NoEncryption())
        self.client_chain = _pem(client) + _pem(middle)
        self.client_certificate = client.public_bytes(serialization.Encoding.DER)
        self.server_pem = folder / "server.pem"
        self.server_pem.write_text(_key(server_key, serialization.NoEncryption()) + _pem(server) + _pem(middle))
        self.authority_pem = folder / "authority.pem"
        self.authority_pem.write_text(self.authority)
        self.client_pem = folder / "client.pem"
        self.client_pem.write_text(_key(client_key, secret) + self.client_chain)
        key_store, trust_store = folder / "client.p12", folder / "trusted.p12"
        key_store.write_bytes(pkcs12.serialize_key_and_certificates(b"client", client_key, client, [middle], secret))
        trust_store.write_bytes(pkcs12.serialize_key_and_certificates(None, None, None, [root], secret))
        self.pkcs12_properties = {
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": str(key_store),
            "ssl.keystore.password": self.password,
            # Java reads PKCS12 under this type too.
            "ssl.truststore.type": "JKS",
            "ssl.truststore.location": str(trust_store),
            "ssl.truststore.password": self.password,
        }
        self.broker_properties = {
            "ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.key": _one_line(_key(server_key, serialization.NoEncryption())),
            "ssl.keystore.certificate.chain": _one_line(_pem(server) + _pem(middle)),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.certificates": _one_line(self.authority),
        }


def _certificate(
    name: str, signer_key: ec.EllipticCurvePrivateKey | None, signer: x509.Certificate | None, authority: bool = False
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if signer is None else signer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    return key, builder.sign(signer_key or key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(_PEM).decode()


def _key(key: ec.EllipticCurvePrivateKey, encryption: serialization.KeySerializationEncryption) -> str:
    return key.private_bytes(_PEM, _PKCS8, encryption).decode()


def _one_line(pem: str) -> str:
    """As a properties file has it."""
    return pem.replace("\n", "\\n")
