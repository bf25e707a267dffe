"""A node's key: made once, for its owner alone, and what signs records with it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.errors import UsageError, WattlakeError
from wattlake_contracts.kafkalog.message import Place, from_message, to_message
from wattlake_contracts.kafkalog.security import fingerprint
from wattlake_contracts.kafkalog.signature import HEADER, signature_of, signed_bytes
from wattlake_contracts.kafkalog.signing import Signer, make_key, public_key, public_text, read_key, signer_of
from wattlake_contracts.record import JSON, Meta, Record


def pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password) if password else NoEncryption())


def test_a_key_is_made_for_its_owner_alone_and_never_over_another(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    before = os.umask(0)
    try:
        public = make_key(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    made = path.read_bytes()
    assert public_text(Signer(read_key(path, "the key")).public) == public
    assert public_text(public_key(public)) == public
    with pytest.raises(WattlakeError, match="is there already"):
        make_key(path)
    assert path.read_bytes() == made


@pytest.mark.parametrize(("content", "why"), [
    (b"", "no key that can be read"), (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no key that can be read"),
    (pem(Ed25519PrivateKey.generate(), b"secret"), "not encrypted"), (pem(ec.generate_private_key(ec.SECP256R1())), "another kind: not Ed25519"),
    (b"x" * 100_000, "is no file of a key"),
], ids=["empty", "broken", "encrypted", "elliptic curve", "large"])
def test_what_is_no_key_is_told_with_what_to_do(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "signing.pem"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(UsageError, match=why) as told:
        signer_of(KafkaConfig(signing_key_file=str(path)))
    assert "kafka.signing_key_file" in str(told.value)
    assert "wattlake log key" in str(told.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "signing.pem"
    make_key(path)
    path.chmod(mode)
    with pytest.raises(UsageError, match="by others than its owner") as told:
        read_key(path, "the key")
    assert f"chmod 600 {path}" in str(told.value)


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, os.mkfifo], ids=["nothing", "a folder", "a pipe"])
def test_what_is_no_file_is_told_and_not_waited_for(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "signing.pem")
    with pytest.raises(UsageError, match=r"cannot be read|no file of a key"):
        read_key(tmp_path / "signing.pem", "the key")


@pytest.mark.parametrize("text", ["", "A", "é", "A" * 43, "A" * 44, "A" * 43 + "=\n", "A" * 42 + "B=", "-" * 43 + "="])
def test_what_is_no_public_key_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="no public key"):
        public_key(text)


@pytest.mark.parametrize("appended_ms", [1_750_000_000_123, -5, 2**62, 253_402_300_799_999 + 1])
def test_what_a_reader_has_bears_the_writers_signature_whatever_its_clock_said(tmp_path: Path, appended_ms: int) -> None:
    make_key(tmp_path / "signing.pem")
    signer = signer_of(KafkaConfig(signing_key_file=str(tmp_path / "signing.pem")))
    assert signer is not None
    record = Record(Meta("jobs", "n1", "b1", content_type=JSON), 7, appended_ms, b'{"job":"j"}')
    key, value, headers = to_message(record)
    headers.append(signer.header(record))
    found = signature_of(headers)
    assert found is not None
    Ed25519PublicKey.from_public_bytes(found[0]).verify(found[1], signed_bytes(from_message(Place("jobs", "g", 0, 1, 5), key, value, headers)))


@pytest.mark.parametrize("raw", [None, b"", b"x" * 95, b"x" * 97])
def test_a_header_of_another_length_is_no_signature(raw: bytes | None) -> None:
    assert signature_of([("a", b"b"), (HEADER, raw)]) is None


def test_another_key_in_its_file_is_noticed(tmp_path: Path) -> None:
    config = KafkaConfig(signing_key_file=str(tmp_path / "signing.pem"))
    found = [fingerprint(config)]
    for name in ("signing.pem", "next.pem"):
        make_key(tmp_path / name)
        (tmp_path / name).rename(tmp_path / "signing.pem")
        found.append(fingerprint(config))
    assert len(set(found)) == 3


def test_without_a_key_nothing_of_it_is_loaded_and_without_the_package_it_is_named(tmp_path: Path) -> None:
    code = ("import sys\n"
            "import wattlake_contracts.kafkalog.shipping\n"
            "from wattlake_contracts.config import KafkaConfig\n"
            "from wattlake_contracts.kafkalog.signing import signer_of\n"
            "assert signer_of(KafkaConfig()) is None\n"
            "assert 'cryptography' not in sys.modules\n"
            "sys.modules['cryptography'] = None\n"
            "try:\n    signer_of(KafkaConfig(signing_key_file='signing.pem'))\n"
            "except Exception as error:\n    print(type(error).__name__, error)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.stdout.startswith("WattlakeError signing records"), done.stderr
    assert "pip install '.[signed]'" in done.stdout
