"""A certificate authority in a folder, for servers and clients of the loopback interface."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from wattlake_contracts.errors import WattlakeError
from wattlake_pipelines.dev.folder import write_private
from wattlake_pipelines.dev.ports import LOOPBACK

#: A server's, of which `wattlake doctor` tells from 30 days before its end on; the authority's own outlives whatever it has signed.
VALID, _OWN_VALID = timedelta(days=397), timedelta(days=3650)


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, in files of their own (PEM, the key as PKCS 8, which is what Kafka reads)."""

    cert_file: Path
    key_file: Path


class Authority:
    """A certificate authority in a folder: the one that is there, or a new one. ca_file: its own certificate, which is renewed in time.

    Its key does not change as long as the folder lives: whoever trusts one of its certificates trusts the next one. WattlakeError if
    what lies there is no key, or no certificate.
    """

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder, self._name = folder, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.ca_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
        if key_file.is_file():
            self._key = _read_key(key_file)
        else:
            self._key = ec.generate_private_key(ec.SECP256R1())
            write_private(key_file, _pem_of(self._key))
            self._certify()
        if not self.ca_file.is_file() or _ends(self.ca_file) < datetime.now(UTC) + VALID:
            self._certify()

    def issue(self, name: str, valid: timedelta = VALID) -> Certificate:
        """A certificate for a name and for the loopback interface. valid: from now on; a negative one has expired already.

        Issued again under the same name it replaces the files, as a renewal does.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK))])
        signed = self._builder(subject, key, valid).add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        made = Certificate(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        made.cert_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        write_private(made.key_file, _pem_of(key))
        return made

    def _certify(self) -> None:
        """Sign its own certificate."""
        # what a strict reader asks of a CA (RFC 5280), as Python's ssl is from 3.13 on
        signs = x509.KeyUsage(key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False, key_encipherment=False,
                              data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False)
        made = self._builder(self._name, self._key, _OWN_VALID).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        made = made.add_extension(signs, critical=True)
        self.ca_file.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, valid: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
        # a day before, for a certificate that has expired must have been valid at some time
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1)).not_valid_after(now + valid)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)


def _pem_of(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def _read_key(file: Path) -> ec.EllipticCurvePrivateKey:
    try:
        found = serialization.load_pem_private_key(file.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise WattlakeError(f"is no key: {error}", subject=str(file), next_step=_ANEW) from error
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise WattlakeError("is not the key that was made", subject=str(file), next_step=_ANEW)
    return found


def _ends(file: Path) -> datetime:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except ValueError as error:
        raise WattlakeError(f"is no certificate: {error}", subject=str(file), next_step="delete this file, and it is made anew") from error


_ANEW = "put the right one back, or delete the server and make it anew"
