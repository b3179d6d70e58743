"""Reads key stores and trust stores as PEM texts. Detects the format from the content, not from the type setting."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

TYPES: Final = ("JKS", "PKCS12", "PEM")
_JKS: Final = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
_DER_SEQUENCE: Final = b"\x30"
_MOST_BYTES: Final = 4 * 1024 * 1024
_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_CERTIFICATE: Final = "CERTIFICATE"
_LINE: Final = 64
_CONVERT: Final = "keytool -importkeystore -srckeystore {0} -destkeystore {0}.p12 -deststoretype PKCS12"


@dataclass(frozen=True, slots=True)
class KeyStore:
    """A private key and its certificate chain, in PEM, the key's certificate first. The key may be encrypted."""

    key: str = field(repr=False)
    certificates: list[str]
    key_password: str | None = field(default=None, repr=False)


def read_key_store(location: str, password: str | None, key_password: str | None) -> KeyStore:
    """Read a key store file. Raises ValueError with the reason if it is invalid."""
    data = _read(location)
    if not data.startswith(_DER_SEQUENCE):
        if password is not None:
            raise ValueError("a PEM file has no key store password; use ssl.key.password for its key")
        return pem_key_store(_text(data, location), _text(data, location), key_password)
    if key_password is not None and key_password != password:
        raise ValueError(f"{location} is a PKCS12 key store: its key has the password of the store")
    from cryptography.hazmat.primitives import serialization

    store = _pkcs12(data, location, password)
    if store.key is None or store.cert is None:
        raise ValueError(f"{location} has no private key with a certificate")
    encoding = serialization.Encoding.PEM
    key = store.key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain = [store.cert, *store.additional_certs]
    return KeyStore(key.decode(), [entry.certificate.public_bytes(encoding).decode() for entry in chain])


def pem_key_store(key: str, chain: str, key_password: str | None) -> KeyStore:
    """Return the key store of a PEM text with the key and one with its certificates; both may be the same text."""
    keys = [block for kind, block in _blocks(key) if kind.endswith("PRIVATE KEY")]
    certificates = [block for kind, block in _blocks(chain) if kind == _CERTIFICATE]
    if len(keys) != 1 or not certificates:
        raise ValueError("expected one private key and its certificates in PEM")
    return KeyStore(keys[0], certificates, key_password)


def read_trust_store(location: str, password: str | None) -> str:
    """Read the certificates of a file as PEM. Raises ValueError with the reason if it is invalid."""
    data = _read(location)
    if not data.startswith(_DER_SEQUENCE):
        if password is not None:
            raise ValueError("a PEM file has no password")
        return pem_trust_store(_text(data, location))
    from cryptography.hazmat.primitives import serialization

    store = _pkcs12(data, location, password)
    trusted = [entry for entry in (store.cert, *store.additional_certs) if entry is not None]
    if not trusted:
        raise ValueError(f"{location} has no certificates")
    return "".join(entry.certificate.public_bytes(serialization.Encoding.PEM).decode() for entry in trusted)


def pem_trust_store(text: str) -> str:
    """Return the certificates of a PEM text, which may have lost its line breaks in a settings file."""
    certificates = [block for kind, block in _blocks(text) if kind == _CERTIFICATE]
    if not certificates:
        raise ValueError("expected certificates in PEM")
    return "".join(certificates)


def file_of(text: str) -> str:
    """Return a path at which a client can read the text until this process ends."""
    path, _ = _write(text)
    if not path.startswith("/proc/"):
        atexit.register(Path(path).unlink, missing_ok=True)
    return path


@contextlib.contextmanager
def as_file(text: str) -> Iterator[str]:
    """Provide the text at a path within the block; in memory only, if the system supports that."""
    path, handle = _write(text)
    try:
        yield path
    finally:
        os.close(handle)
        if not path.startswith("/proc/"):
            Path(path).unlink()


def _write(text: str) -> tuple[str, int]:
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("kafka-facade", os.MFD_CLOEXEC)
        path = f"/proc/self/fd/{handle}"
    else:
        handle, path = tempfile.mkstemp(prefix="kafka-facade-")
    with os.fdopen(handle, "w", closefd=False) as file:
        file.write(text)
    return path, handle


def _read(location: str) -> bytes:
    try:
        with Path(location).open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{location} can't be read: {error.strerror}") from None
    if len(data) > _MOST_BYTES:
        raise ValueError(f"{location} is larger than {_MOST_BYTES} bytes")
    if data.startswith(_JKS):
        raise ValueError(f"{location} is in JKS format, which isn't supported; convert it: {_convert(location)}")
    return data


def _convert(location: str) -> str:
    return _CONVERT.format(location)


def _text(data: bytes, location: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    if "-----BEGIN" not in text:
        raise ValueError(f"{location} is neither a PKCS12 key store nor PEM")
    return text


def _pkcs12(data: bytes, location: str, password: str | None) -> Any:
    from cryptography.hazmat.primitives.serialization import pkcs12

    try:
        return pkcs12.load_pkcs12(data, None if password is None else password.encode())
    except Exception:
        # The library's message may quote the content of the file.
        raise ValueError(f"{location} is not a valid PKCS12 key store, or its password is another one") from None


def _blocks(text: str) -> list[tuple[str, str]]:
    """Return the blocks of a PEM text as pairs of label and block, with the line breaks that clients require."""
    found = []
    for kind, body in _BLOCK.findall(text):
        if ":" in body:
            # Traditional PEM has headers on separate lines.
            lines = body.strip()
        else:
            packed = "".join(body.replace("\\n", "\n").split())
            lines = "\n".join(packed[start : start + _LINE] for start in range(0, len(packed), _LINE))
        found.append((kind, f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n"))
    return found
