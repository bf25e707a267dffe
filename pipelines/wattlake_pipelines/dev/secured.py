"""A Kafka that lets in whom it knows: TLS with an authority of its own, passwords (SCRAM), and rights that are asked for.

In its folder lie what an administrator is given of a real one, `ca.pem` and `admin.password`, and the `admin.toml` that names them;
what only the Kafka itself needs is in `tls`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.kafkalog.security import secret
from wattlake_pipelines.dev.authority import Authority, Certificate
from wattlake_pipelines.dev.folder import how_to_delete, write_private
from wattlake_pipelines.dev.kafka_settings import CLIENT, CONTROLLER

#: The brokers' own user, and the administrator. Neither needs a right to be granted.
BROKER, ADMIN = "broker", "admin"
#: The administrator's configuration, in the folder of the Kafka.
ADMIN_TOML = "admin.toml"
_TLS = "tls"


@dataclass(frozen=True)
class Security:
    """What makes a Kafka a secured one.

    properties: go before those of kafka_settings. users: password by name, for SCRAM-SHA-512, made with the Kafka. client: what
    kafka-python needs to be let in, beside the servers.
    """

    properties: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    client: dict[str, Any] = field(default_factory=dict)


def secure(folder: Path, address: str, *, new: bool) -> Security:
    """The security of the Kafka in a folder: its passwords, made if it is new, a new certificate for its brokers, and the administrator's files.

    address: of the log. WattlakeError if a password is gone: the brokers keep only what it is checked with.
    """
    authority = Authority(folder / _TLS)
    files = {BROKER: folder / _TLS / "broker.password", ADMIN: folder / "admin.password"}
    for name, file in files.items():
        if file.is_file():
            continue
        if not new:
            raise WattlakeError(f"is gone, and the brokers cannot tell the password of {name}", subject=str(file),
                                next_step=f"put it back, or make all of it anew after {how_to_delete(folder)}")
        write_private(file, secrets.token_urlsafe(24) + "\n")
    ca_file, trusted = folder / "ca.pem", authority.ca_file.read_text()
    # clients come in anew where it changes
    if not ca_file.is_file() or ca_file.read_text() != trusted:
        write_private(ca_file, trusted)
    write_private(folder / ADMIN_TOML, _admin_toml(address, files[ADMIN], ca_file))
    return by_password(authority, authority.issue(BROKER), {name: secret(file, f"the password of {name}") for name, file in files.items()})


def by_password(authority: Authority, own: Certificate, passwords: Mapping[str, str]) -> Security:
    """Clients come in with a password (SASL_SSL, SCRAM-SHA-512). own: the brokers' certificate, for BROKER. passwords: of BROKER and ADMIN."""
    login = f'org.apache.kafka.common.security.scram.ScramLoginModule required username="{BROKER}" password="{passwords[BROKER]}";'
    return Security({
        **with_tls(authority, own, "SASL_SSL", [BROKER, ADMIN]),
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        f"listener.name.{CLIENT.lower()}.scram-sha-512.sasl.jaas.config": login,
    }, dict(passwords), password_client(authority.ca_file, BROKER, passwords[BROKER]))


def with_tls(authority: Authority, own: Certificate, protocol: str, principals: Sequence[str]) -> dict[str, str]:
    """The part of a server.properties that has nobody come in without TLS, and nobody do anything without a right.

    own: the brokers' certificate, for BROKER. protocol: SASL_SSL, or SSL for clients with certificates. principals: need no right.
    """
    return {
        # the controllers know each other by the brokers' certificate: whoever else comes there is not let in, or has no rights
        "listener.security.protocol.map": f"{CLIENT}:{protocol},{CONTROLLER}:SSL",
        f"listener.name.{CONTROLLER.lower()}.ssl.client.auth": "required",
        "ssl.client.auth": "required" if protocol == "SSL" else "none",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": own.cert_file.read_text(),
        "ssl.keystore.key": own.key_file.read_text(),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": authority.ca_file.read_text(),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": ";".join(f"User:{name}" for name in dict.fromkeys([f"CN={BROKER}", *principals])),
    }


def password_client(ca_file: Path, user: str, password: str) -> dict[str, Any]:
    """What kafka-python needs to come in with a password, beside the servers."""
    return {"security_protocol": "SASL_SSL", "ssl_cafile": str(ca_file), "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": user, "sasl_plain_password": password}


def _admin_toml(address: str, password_file: Path, ca_file: Path) -> str:
    """As docs/operating-kafka.md has it, with paths that hold wherever it is used from."""
    return (f'log = {_quoted(address)}\n\n[kafka]\nsecurity_protocol = "SASL_SSL"\nusername = "{ADMIN}"\n'
            f"password_file = {_quoted(str(password_file))}\nca_file = {_quoted(str(ca_file))}\n")


def _quoted(text: str) -> str:
    """As a basic string of TOML, which is one of JSON but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
