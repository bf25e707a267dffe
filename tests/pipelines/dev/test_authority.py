"""The authority of a secured server: found again, and renewed without anybody having to trust another one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from wattlake_contracts.errors import WattlakeError
from wattlake_pipelines.dev import authority
from wattlake_pipelines.dev.authority import Authority


def read(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def test_it_is_the_same_one_when_it_is_found_again(tmp_path: Path) -> None:
    first = Authority(tmp_path / "tls")
    before = first.ca_file.read_bytes()
    again = Authority(tmp_path / "tls")
    assert again.ca_file.read_bytes() == before
    read(again.issue("broker").cert_file).verify_directly_issued_by(read(first.ca_file))
    assert {file.name: file.stat().st_mode & 0o077 for file in (tmp_path / "tls").glob("*.key")} == {"ca.key": 0, "broker.key": 0}
    assert (tmp_path / "tls").stat().st_mode & 0o077 == 0


def test_its_own_certificate_is_renewed_in_time_and_what_it_has_signed_stays_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority, "_OWN_VALID", authority.VALID - timedelta(hours=1))
    old = Authority(tmp_path)
    signed, before = old.issue("agent"), read(old.ca_file)
    monkeypatch.undo()
    now = read(Authority(tmp_path).ca_file)
    assert now.not_valid_after_utc > datetime.now(UTC) + authority.VALID > before.not_valid_after_utc
    for trusted in (before, now):
        read(signed.cert_file).verify_directly_issued_by(trusted)


def test_one_whose_key_is_gone_is_another_one(tmp_path: Path) -> None:
    before = read(Authority(tmp_path).ca_file)
    (tmp_path / "ca.key").unlink()
    made = Authority(tmp_path)
    read(made.issue("broker").cert_file).verify_directly_issued_by(read(made.ca_file))
    assert read(made.ca_file).public_key() != before.public_key()


@pytest.mark.parametrize("name", ["ca.key", "ca.pem"])
def test_what_is_no_key_or_certificate_is_named(tmp_path: Path, name: str) -> None:
    Authority(tmp_path)
    (tmp_path / name).write_text("spoilt\n")
    with pytest.raises(WattlakeError, match=rf"{name}: is no (key|certificate)"):
        Authority(tmp_path)
