"""A secured Kafka for tests: TLS with certificates of a CA of the test's own, SCRAM passwords or client certificates, and ACLs."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from wattlake_pipelines.dev.ports import LOOPBACK

#: The brokers' own user, and who makes topics and gives rights in tests.
BROKER, ADMIN = "broker", "admin"
_PASSWORDS = {BROKER: "broker-secret", ADMIN: "admin-secret"}


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, in files of their own (PEM, the key as PKCS 8, which is what Kafka reads)."""

    cert_file: Path
    key_file: Path


class Authority:
    """A certificate authority in a folder. ca_file: its own certificate."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        # what a strict reader asks of a CA (RFC 5280), as Python's ssl is from 3.13 on
        signs = x509.KeyUsage(key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False, key_encipherment=False,
                              data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False)
        made = self._builder(self._name, self._key, timedelta(days=30)).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        made = made.add_extension(signs, critical=True)
        self.ca_file = folder / f"{name}.pem"
        self.ca_file.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, valid: timedelta = timedelta(days=30)) -> Certificate:
        """A certificate for a name and for the loopback interface. valid: from now on; a negative one has expired already.

        Issued again under the same name it replaces the files, as a renewal does.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK))])
        signed = self._builder(subject, key, valid).add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        made = Certificate(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        made.cert_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        made.key_file.touch(mode=0o600)
        made.key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return made

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, valid: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
        # a day before, for a certificate that has expired must have been valid at some time
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1)).not_valid_after(now + valid)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)


def secured(authority: Authority, *, mutual: bool = False) -> dict[str, Any]:
    """What to give own_kafka for a Kafka that lets in who has a password (SASL_SSL, SCRAM-SHA-512) or, if mutual, a certificate (SSL).

    Nobody but BROKER and ADMIN may do anything until an ACL says so; a user's principal is `User:NAME`, and with certificates
    `User:CN=NAME`. The other users are made with ADMIN's help.
    """
    own = authority.issue(BROKER)
    protocol = "SSL" if mutual else "SASL_SSL"
    principals = [f"CN={name}" for name in (BROKER, ADMIN)] if mutual else [BROKER, ADMIN]
    properties = {
        "listener.security.protocol.map": f"CLIENT:{protocol},CONTROLLER:PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": own.cert_file.read_text(),
        "ssl.keystore.key": own.key_file.read_text(),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": authority.ca_file.read_text(),
        "ssl.client.auth": "required" if mutual else "none",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # the controllers speak with each other on a port of the loopback interface that asks for no name
        "super.users": ";".join(f"User:{name}" for name in [*principals, "ANONYMOUS"]),
    }
    if mutual:
        admin = authority.issue(ADMIN)
        return {"properties": properties, "client": {"security_protocol": "SSL", "ssl_cafile": str(authority.ca_file),
                                                     "ssl_certfile": str(admin.cert_file), "ssl_keyfile": str(admin.key_file)}}
    login = f'org.apache.kafka.common.security.scram.ScramLoginModule required username="{BROKER}" password="{_PASSWORDS[BROKER]}";'
    properties |= {
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "listener.name.client.scram-sha-512.sasl.jaas.config": login,
    }
    return {"properties": properties, "users": _PASSWORDS, "client": password_client(authority, ADMIN, _PASSWORDS[ADMIN])}


def password_client(authority: Authority, user: str, password: str) -> dict[str, Any]:
    """What kafka-python needs to come in with a password, beside the servers."""
    return {"security_protocol": "SASL_SSL", "ssl_cafile": str(authority.ca_file), "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": user, "sasl_plain_password": password}
