"""How long a certificate is valid. Python's ssl tells it only of a certificate that it trusts."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime
from pathlib import Path

from wattlake_contracts.amount import amount

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_DAY_S = 86_400.0
#: A certificate that ends within this is told of before it ends.
SOON_DAYS = 30


def not_after_of_file(path: Path) -> float:
    """When the first certificate of a PEM file ends, in epoch seconds. OSError, or ValueError if it holds none."""
    text = path.read_text(encoding="ascii", errors="replace")
    begin = text.find(_BEGIN)
    end = text.find(_END, begin)
    if begin < 0 or end < 0:
        raise ValueError("holds no certificate in PEM")
    return not_after(ssl.PEM_cert_to_DER_cert(text[begin : end + len(_END)] + "\n"))


def not_after(der: bytes) -> float:
    """When a certificate ends, in epoch seconds (RFC 5280, 4.1: TBSCertificate.validity.notAfter). ValueError if the bytes are none."""
    try:
        tbs = _parts(_parts(der)[0][1])[0][1]
        # version is there only from v2 on, tagged [0]; then serial number, signature, issuer, validity
        fields = [part for part in _parts(tbs) if part[0] != 0xA0]
        tag, value = _parts(fields[3][1])[1]
        text = value.decode("ascii")
        if tag == 0x17:
            # UTCTime has two digits of the year: 50 and above are of the last century (RFC 5280, 4.1.2.5.1)
            text = ("19" if text[:2] >= "50" else "20") + text
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except (IndexError, UnicodeDecodeError) as error:
        raise ValueError("is no certificate") from error


def _parts(raw: bytes) -> list[tuple[int, bytes]]:
    """(tag, content) of each element of DER, one after the other (X.690, 8.1)."""
    found, at = [], 0
    while at < len(raw):
        tag, length, at = raw[at], raw[at + 1], at + 2
        if length & 0x80:
            width = length & 0x7F
            length, at = int.from_bytes(raw[at : at + width], "big"), at + width
        found.append((tag, raw[at : at + length]))
        at += length
    return found


def days_left(not_after_s: float) -> float:
    """How many days until then; negative if it is past."""
    return (not_after_s - time.time()) / _DAY_S


def validity(not_after_s: float) -> str:
    """Until when, in words."""
    days = days_left(not_after_s)
    when = datetime.fromtimestamp(not_after_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    span = amount(round(abs(days)), "day") if abs(days) >= 2 else amount(round(abs(days) * 24), "hour")
    return f"expired {span} ago, on {when}" if days < 0 else f"valid for {span}, until {when}"
