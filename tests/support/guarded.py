"""A guarded Kafka that all tests of a run share: SCRAM over TLS, client certificates on a port of their own, ACLs, and ports that are no good.

A plugin of pytest: tests ask for `guarded`, use `topic_prefix`, and make users of their own. A Kafka that a test may break is made with `secured`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from broker import READY_S, Shared, of_the_run
from secured import secured
from topics import Topics
from wattlake_pipelines.dev.authority import Authority
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.dev.ports import LOOPBACK, free_ports
from wattlake_pipelines.dev.secured import ADMIN

#: Of the loopback interface too, and in nobody's certificate.
OTHER_NAME = "127.0.0.2"
_PORTS = ("server", "mutual", "expired", "misnamed", "away", "nowhere", "controller")


@dataclass(frozen=True)
class Guarded:
    """HOST:PORT of one broker's listeners, each as `log` wants it, and the files to come in with.

    server: SASL_SSL. mutual: SSL, for clients with a certificate. expired, misnamed: SASL_SSL with a certificate that has expired, or for another
    name. away: SASL_SSL, and sends its clients on to a port where nobody listens.
    """

    kafka: Kafka
    folder: Path
    server: str
    mutual: str
    expired: str
    misnamed: str
    away: str

    @property
    def ca_file(self) -> Path:
        """Whom clients are to trust."""
        return self.folder / "authority" / "ca.pem"

    def client(self, name: str) -> dict[str, str]:
        """The variables by which `wattlake` comes in with a certificate. name: known, expired (12 hours ago), or stranger, whom the brokers do not trust."""
        files = self.folder / ("strangers" if name == "stranger" else "authority")
        return {"WATTLAKE_KAFKA_SECURITY_PROTOCOL": "SSL", "WATTLAKE_KAFKA_CA_FILE": str(self.ca_file),
                "WATTLAKE_KAFKA_CERT_FILE": str(files / f"{name}.pem"), "WATTLAKE_KAFKA_KEY_FILE": str(files / f"{name}.key")}

    def user(self, name: str = ADMIN, password: str | None = None) -> dict[str, str]:
        """The variables by which `wattlake` comes in with a password; that of the administrator is known."""
        return {"WATTLAKE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "WATTLAKE_KAFKA_CA_FILE": str(self.ca_file), "WATTLAKE_KAFKA_USERNAME": name,
                "WATTLAKE_KAFKA_PASSWORD_FILE": str(self.password_file(password or self.kafka.users[name]))}

    def topics(self, prefix: str) -> Topics:
        """The topics of a prefix, as the administrator reaches them."""
        return Topics(f"kafka:{self.server}", prefix, security_protocol="SASL_SSL", username=ADMIN, ca_file=str(self.ca_file),
                      password_file=str(self.password_file(self.kafka.users[ADMIN])))

    def password_file(self, password: str) -> Path:
        """A file with a password that only its owner reads."""
        path = self.folder / f"{uuid4().hex[:12]}.password"
        path.touch(mode=0o600)
        path.write_text(password + "\n", encoding="utf-8")
        return path


def make(folder: Path) -> Guarded:
    """The Kafka of a folder, running or not, made at the first call: another process finds the same one."""
    kept = folder / "made.json"
    if not kept.is_file():
        authority, strangers = Authority(folder / "authority"), Authority(folder / "strangers")
        options = secured(authority)
        authority.issue("known", timedelta(days=400))
        authority.issue("expired", timedelta(hours=-12))
        strangers.issue("stranger")
        ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        options["properties"] |= _listeners(authority, options["properties"], ports)
        kept.write_text(json.dumps({"options": options, "ports": ports}), encoding="utf-8")
    found = json.loads(kept.read_text(encoding="utf-8"))
    ports = found["ports"]
    kafka = Kafka(folder / "kafka", **found["options"])
    # its listeners name them all, so it may not look for others
    kafka.ports, kafka.controller_ports = [ports["server"]], [ports["controller"]]
    hosts = {"misnamed": OTHER_NAME}
    return Guarded(kafka, folder, **{name: f"{hosts.get(name, LOOPBACK)}:{ports[name]}" for name in ("server", "mutual", "expired", "misnamed", "away")})


def _listeners(authority: Authority, given: dict[str, str], ports: dict[str, int]) -> dict[str, str]:
    """What makes one broker listen on all these ports."""
    names = {"CLIENT": "server", "MUTUAL": "mutual", "EXPIRED": "expired", "MISNAMED": "misnamed", "AWAY": "away"}
    at = {name: f"{name}://{OTHER_NAME if name == 'MISNAMED' else LOOPBACK}:{ports[port]}" for name, port in names.items()}
    protocols = {name: "SSL" if name == "MUTUAL" else "SASL_SSL" for name in names}
    bad = authority.issue("expired-broker", timedelta(hours=-12))
    login = given["listener.name.client.scram-sha-512.sasl.jaas.config"]
    return {
        "listeners": ",".join([*at.values(), f"CONTROLLER://{LOOPBACK}:{ports['controller']}"]),
        "advertised.listeners": ",".join({**at, "AWAY": f"AWAY://{LOOPBACK}:{ports['nowhere']}"}.values()),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in {**protocols, "CONTROLLER": "SSL"}.items()),
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.expired.ssl.keystore.certificate.chain": bad.cert_file.read_text(),
        "listener.name.expired.ssl.keystore.key": bad.key_file.read_text(),
        **{f"listener.name.{name.lower()}.scram-sha-512.sasl.jaas.config": login for name, protocol in protocols.items() if protocol == "SASL_SSL"},
    }


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A guarded Kafka of one broker, running."""
    folder = of_the_run(tmp_path_factory) / "guarded-kafka"
    shared, made = Shared(folder), list[Guarded]()

    def start() -> None:
        made.append(make(folder / "made"))
        made[0].kafka.start(READY_S)

    shared.enter(start)
    yield made[0]
    shared.leave(made[0].kafka.stop)
