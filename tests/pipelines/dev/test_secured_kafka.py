"""The secured Kafka that tests use: it lets in whom it should, and nobody else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType, ScramMechanism, UserScramCredentialUpsertion
from kafka.errors import KafkaError, TopicAuthorizationFailedError

import secured
from wattlake_pipelines.dev.authority import Authority
from wattlake_pipelines.dev.kafka import Kafka


def send(kafka: Kafka, client: dict[str, Any]) -> None:
    """Send a record to the topic `readings`; the error, if there is one, within seconds."""
    producer = KafkaProducer(bootstrap_servers=kafka.servers, bootstrap_timeout_ms=5_000, max_block_ms=5_000, **client)
    try:
        producer.send("readings", value=b"one").get(timeout=20)
    finally:
        producer.close(timeout=0)


def may(kafka: Kafka, principal: str) -> None:
    """Let somebody write to the topic `readings`."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.servers, **kafka.client)
    topic = ResourcePattern(ResourceType.TOPIC, "readings")
    made = admin.create_acls([ACL(principal, "*", operation, ACLPermissionType.ALLOW, topic) for operation in (ACLOperation.WRITE, ACLOperation.DESCRIBE)])
    assert not made["failed"]
    admin.close()


def make_topic(kafka: Kafka) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka.servers, **kafka.client)
    admin.create_topics({"readings": {"num_partitions": 1, "replication_factor": 1}})
    admin.close()


@pytest.mark.slow
def test_a_password_lets_in_and_a_right_lets_write(own_kafka: Callable[..., Kafka], tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    kafka = own_kafka(**secured.secured(authority))
    make_topic(kafka)
    admin = KafkaAdminClient(bootstrap_servers=kafka.servers, **kafka.client)
    assert admin.alter_user_scram_credentials([UserScramCredentialUpsertion("agent", ScramMechanism.SCRAM_SHA_512, b"secret")]) == {"agent": None}
    admin.close()
    agent = secured.password_client(authority, "agent", "secret")
    with pytest.raises(TopicAuthorizationFailedError):
        send(kafka, agent)
    may(kafka, "User:agent")
    send(kafka, agent)
    with pytest.raises(KafkaError):
        send(kafka, secured.password_client(authority, "agent", "wrong"))
    with pytest.raises(KafkaError):
        send(kafka, secured.password_client(Authority(tmp_path / "other"), "agent", "secret"))
    with pytest.raises(KafkaError):
        send(kafka, {})
    # passwords are in files of the owner alone, and in nobody's list of processes
    for file in (kafka.brokers[0].folder / "server.properties",):
        assert file.stat().st_mode & 0o077 == 0
    assert not list(kafka.folder.rglob("format.arguments"))
    assert b"secret" not in Path(f"/proc/{kafka.brokers[0].process.pid()}/cmdline").read_bytes()


@pytest.mark.slow
def test_a_certificate_lets_in_and_a_right_lets_write(own_kafka: Callable[..., Kafka], tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    kafka = own_kafka(**secured.secured(authority, mutual=True))
    make_topic(kafka)
    own = authority.issue("agent")
    agent = {**kafka.client, "ssl_certfile": str(own.cert_file), "ssl_keyfile": str(own.key_file)}
    with pytest.raises(TopicAuthorizationFailedError):
        send(kafka, agent)
    may(kafka, "User:CN=agent")
    send(kafka, agent)
    forged = Authority(tmp_path / "other").issue("agent")
    with pytest.raises(KafkaError):
        send(kafka, {**kafka.client, "ssl_certfile": str(forged.cert_file), "ssl_keyfile": str(forged.key_file)})
