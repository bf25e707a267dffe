"""A node's own key (Ed25519): made, read from its file, and what signs records with it. Nothing here is loaded where no key is configured."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.errors import UsageError, WattlakeError
from wattlake_contracts.kafkalog.message import told_ms
from wattlake_contracts.kafkalog.signature import HEADER, KEY_BYTES, signed_bytes
from wattlake_contracts.record import Record

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: A key takes 119 bytes; what is far larger is no key, and is not read.
_MAX_BYTES = 64 * 1024


class Signer:
    """Signs records with a node's key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key, self.public = key, key.public_key().public_bytes_raw()

    def header(self, record: Record) -> tuple[str, bytes]:
        """The header of the record's message that says who has signed it. ValueError if the record can be told by no message (see signed_bytes)."""
        return HEADER, self.public + self._key.sign(signed_bytes(replace(record, appended_ms=told_ms(record.appended_ms))))


def signer_of(config: KafkaConfig) -> Signer | None:
    """What signs by the configuration; None if nothing does. UsageError if its file is no key, or not its owner's alone."""
    return Signer(read_key(Path(config.signing_key_file), "kafka.signing_key_file")) if config.signing_key_file else None


def read_key(path: Path, what: str) -> Ed25519PrivateKey:
    """The key in a PEM file. what: what names the file to its user. UsageError if it is none, or others than its owner may touch it."""
    need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            raise _no_key(path, what, "is no file of a key")
        if status.st_mode & 0o077:
            raise UsageError(f"{what} can be read or written by others than its owner", subject=str(path),
                             next_step=f"chmod 600 {path}; if others could read it, make another with `wattlake log key`")
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{what} cannot be read: {error.strerror}", subject=str(path),
                         next_step="check the path, and that this user may read it") from error
    try:
        key = load_pem_private_key(raw, password=None)
    except (ValueError, TypeError) as error:  # a TypeError where it is encrypted
        raise _no_key(path, what, "holds no key that can be read: PEM and not encrypted") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path, what, "holds a key of another kind: not Ed25519")
    return key


def _no_key(path: Path, what: str, why: str) -> UsageError:
    return UsageError(f"{what} {why}", subject=str(path), next_step="make one with `wattlake log key`")


def make_key(path: Path) -> str:
    """Make a key in a new file that only its owner may read; give the public key as text. WattlakeError if the file is there or cannot be written."""
    need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise WattlakeError("is there already", subject=str(path),
                            next_step="--public prints its public key; for another key give another file, and move it over this one") from error
    except OSError as error:
        raise WattlakeError(f"the key cannot be written: {error.strerror}", subject=str(path),
                            next_step="check the folder, and that this user may write there") from error
    return public_text(key.public_key().public_bytes_raw())


def public_text(public: bytes) -> str:
    """A public key as it is printed, kept in a lake and given to commands: base64."""
    return base64.b64encode(public).decode()


def public_key(text: str) -> bytes:
    """The inverse of public_text. UsageError if the text is no public key."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY_BYTES or public_text(raw) != text:
        raise UsageError(f"{text[:100]!r} is no public key", next_step="give the line that `wattlake log key` prints: 44 characters of base64")
    return raw


def need_cryptography() -> None:
    """WattlakeError if what signs and checks is not installed: an agent that signs nothing does without."""
    try:
        import cryptography  # noqa: F401 - whether it is there
    except ImportError as error:
        raise WattlakeError("signing records, and checking that, needs the package cryptography, which is not installed",
                            next_step="in the folder of Wattlake's copy: pip install '.[signed]'") from error
