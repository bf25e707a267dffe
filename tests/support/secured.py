"""A secured Kafka for tests: SASL_SSL with SCRAM, mutual TLS on a port of its own, ACLs, and ports with certificates that are no good.

A plugin of pytest: tests ask for `secured`. Its certificates are for 127.0.0.1 and no other name, so `localhost` is a wrong one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from broker import READY_S, Shared, of_the_run
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.dev.ports import LOOPBACK, free_ports

#: Who may do everything, and the password of all users that the Kafka is made with.
ADMIN, PASSWORD = "admin", "correct horse battery staple"
MECHANISM = "SCRAM-SHA-512"


@dataclass
class Secured:
    """Where a secured Kafka can be reached, and the files to reach it with.

    server: SASL_SSL. mutual: SSL with client certificates. expired: SASL_SSL with a certificate that has expired. away: SASL_SSL, and sends its
    clients to a port where nobody listens. ca: the authority's PEM file.
    """

    kafka: Kafka
    folder: Path
    server: str
    mutual: str
    expired: str
    away: str

    @property
    def ca(self) -> Path:
        """Whom clients are to trust."""
        return self.folder / "ca.pem"

    def password_file(self, name: str, password: str = PASSWORD) -> Path:
        """A file with a password that only its owner may read."""
        path = self.folder / f"{name}.{uuid4().hex[:8]}.password"
        path.write_text(password + "\n")
        path.chmod(0o600)
        return path

    def environment(self, user: str = ADMIN, password: str = PASSWORD, **more: str) -> dict[str, str]:
        """The variables by which `wattlake` comes in as a user."""
        return {"WATTLAKE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "WATTLAKE_KAFKA_USERNAME": user, "WATTLAKE_KAFKA_CA_FILE": str(self.ca),
                "WATTLAKE_KAFKA_PASSWORD_FILE": str(self.password_file(user, password)), **more}

    def client_files(self, name: str, *, known: bool = True, expired: bool = False) -> tuple[Path, Path]:
        """(certificate, key) of a client. known: whether the brokers trust who signed it."""
        authority = self.authority if known else trustme.CA()
        # Java refuses a certificate that is for no name at all
        made = authority.issue_cert(name, common_name=name, **_dates(expired=expired))
        cert, key = self.folder / f"{name}.{uuid4().hex[:8]}.pem", self.folder / f"{name}.{uuid4().hex[:8]}.key"
        cert.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        key.write_bytes(made.private_key_pem.bytes())
        key.chmod(0o600)
        return cert, key

    @property
    def authority(self) -> trustme.CA:
        """Who signed the brokers' certificates, and whose clients they let in."""
        return trustme.CA.from_pem(self.ca.read_bytes(), (self.folder / "ca.key").read_bytes())


def _dates(*, expired: bool) -> dict[str, dt.datetime]:
    now = dt.datetime.now(dt.UTC)
    return {"not_before": now - dt.timedelta(days=30), "not_after": now - dt.timedelta(days=3)} if expired else {"not_after": now + dt.timedelta(days=400)}


def _keystore(path: Path, made: trustme.LeafCert) -> Path:
    """Key and certificate as Kafka takes them: the key in PKCS 8, which trustme does not write."""
    key = serialization.load_pem_private_key(made.private_key_pem.bytes(), None)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(pem + b"".join(blob.bytes() for blob in made.cert_chain_pems))
    return path


def make(folder: Path) -> Secured:
    """The secured Kafka of a folder, running or not; made at the first call."""
    folder.mkdir(parents=True, exist_ok=True)
    ports_file = folder / "ports"
    if not ports_file.is_file():
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        authority.private_key_pem.write_to_path(folder / "ca.key")
        _keystore(folder / "broker.pem", authority.issue_cert(LOOPBACK, **_dates(expired=False)))
        _keystore(folder / "expired.pem", authority.issue_cert(LOOPBACK, **_dates(expired=True)))
        ports_file.write_text(" ".join(map(str, free_ports(6))))
    client, mutual, expired, away, nowhere, controller = map(int, ports_file.read_text().split())
    scram = f'org.apache.kafka.common.security.scram.ScramLoginModule required username="{ADMIN}" password="{PASSWORD}";'
    listeners = {"CLIENT": client, "MUTUAL": mutual, "EXPIRED": expired, "AWAY": away}
    properties = {
        "listeners": ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in {**listeners, "CONTROLLER": controller}.items()),
        "advertised.listeners": ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in {**listeners, "AWAY": nowhere}.items()),
        "listener.security.protocol.map": "CLIENT:SASL_SSL,MUTUAL:SSL,EXPIRED:SASL_SSL,AWAY:SASL_SSL,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": MECHANISM,
        "sasl.mechanism.inter.broker.protocol": MECHANISM,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # the controller's port is PLAINTEXT, so whoever comes there is ANONYMOUS: nobody gets that far elsewhere
        "super.users": f"User:{ADMIN};User:ANONYMOUS",
        "ssl.keystore.type": "PEM", "ssl.truststore.type": "PEM",
        "ssl.keystore.location": str(folder / "broker.pem"), "ssl.truststore.location": str(folder / "ca.pem"),
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.expired.ssl.keystore.location": str(folder / "expired.pem"),
        **{f"listener.name.{name}.scram-sha-512.sasl.jaas.config": scram for name in ("client", "expired", "away")},
    }
    server = f"{LOOPBACK}:{client}"
    kafka = Kafka(folder / "kafka", users={ADMIN: PASSWORD}, properties=properties, client={
        "security_protocol": "SASL_SSL", "ssl_cafile": str(folder / "ca.pem"), "sasl_mechanism": MECHANISM, "sasl_plain_username": ADMIN,
        "sasl_plain_password": PASSWORD})
    kafka.ports, kafka.controller_ports = [client], [controller]
    return Secured(kafka, folder, server, f"{LOOPBACK}:{mutual}", f"{LOOPBACK}:{expired}", f"{LOOPBACK}:{away}")


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A secured Kafka of one broker, running, shared by all tests of the run."""
    folder = of_the_run(tmp_path_factory) / "secured-kafka"
    shared = Shared(folder)
    made: list[Secured] = []

    def start() -> None:
        made.append(make(folder / "made"))
        made[0].kafka.start(READY_S)

    shared.enter(start)
    yield made[0]
    shared.leave(made[0].kafka.stop)
