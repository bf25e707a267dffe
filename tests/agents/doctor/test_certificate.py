"""Until when a certificate is valid, read from its bytes."""

from __future__ import annotations

import ssl
import time
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from wattlake_agents.doctor.certificate import days_left, not_after, not_after_of_file, validity
from wattlake_pipelines.dev.authority import Authority


@pytest.mark.parametrize("valid", [timedelta(hours=-12), timedelta(days=30), timedelta(days=365 * 40)])
def test_the_end_is_read_as_others_read_it(tmp_path: Path, valid: timedelta) -> None:
    # beyond 2049 the date is written in another way
    made = Authority(tmp_path).issue("n", valid)
    end_s = not_after_of_file(made.cert_file)
    assert end_s == x509.load_pem_x509_certificate(made.cert_file.read_bytes()).not_valid_after_utc.timestamp()
    assert days_left(end_s) == pytest.approx(valid / timedelta(days=1), abs=0.01)


def test_the_authoritys_own_certificate_is_read_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    assert not_after_of_file(authority.ca_file) > time.time()


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.pem").write_text(text)
    with pytest.raises(ValueError, match="certificate"):
        not_after_of_file(tmp_path / "c.pem")


def test_no_bytes_make_it_do_anything_but_give_a_date_or_a_value_error(tmp_path: Path) -> None:
    der = ssl.PEM_cert_to_DER_cert(Authority(tmp_path).issue("n").cert_file.read_text())
    for at in range(len(der)):
        for changed in (der[:at], der[:at] + bytes([der[at] ^ 0xFF]) + der[at + 1 :]):
            try:
                assert isinstance(not_after(changed), float)
            except ValueError:
                continue


def test_it_is_said_in_hours_where_days_are_too_coarse() -> None:
    now = time.time()
    assert validity(now + 3600 * 5.2).startswith("valid for 5 hours, until 2")
    assert validity(now - 3600 * 12.1).startswith("expired 12 hours ago, on 2")
    assert validity(now + 86_400 * 30.2).startswith("valid for 30 days, until 2")
