"""What lets in is taken away while records flow, and given again: the agent says which, and goes on by itself."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from at_work import WATTLAKE, Follower, until
from broker import READY_S
from guarded import Guarded
from guarded import make as make_guarded
from topics import Topics
from wattlake_pipelines.dev.authority import Authority

#: Of the certificates that expire. Who came in did so by earlier ones: a machine that runs other tests too takes long to start what shows them.
VALID_S = 5


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs for agents."""
    return Authority(tmp_path_factory.mktemp("agents-ca"), "agents")


@pytest.fixture(scope="module")
def own_guarded(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Guarded]:
    """A guarded Kafka of this file's own, which may be killed, and trusts that authority too."""
    made = make_guarded(tmp_path_factory.mktemp("own-guarded"))
    made.kafka.properties["ssl.truststore.certificates"] += authority.ca_file.read_text()
    made.kafka.start(READY_S)
    yield made
    made.kafka.brokers[0].kill()


def rights(topics: Topics, principal: str, operation: ACLOperation = ACLOperation.WRITE) -> list[Any]:
    """What an agent needs, or who reads."""
    pattern = ResourcePattern(ResourceType.TOPIC, topics.prefix, ACLResourcePatternType.PREFIXED)
    return [ACL(f"User:{principal}", "*", one, ACLPermissionType.ALLOW, pattern) for one in (operation, ACLOperation.DESCRIBE)]


def grant(topics: Topics, principal: str, operation: ACLOperation = ACLOperation.WRITE) -> None:
    with topics.admin() as admin:
        assert not admin.create_acls(rights(topics, principal, operation))["failed"]


def revoke(topics: Topics, principal: str) -> None:
    with topics.admin() as admin:
        admin.delete_acls(rights(topics, principal))


def set_password(topics: Topics, user: str, password: str) -> None:
    with topics.admin() as admin:
        assert admin.alter_user_scram_credentials([UserScramCredentialUpsertion(user, ScramMechanism.SCRAM_SHA_512, password.encode())]) == {user: None}


@pytest.mark.slow
def test_rights_are_revoked_and_granted_again(own_guarded: Guarded, topic_prefix: str, world: Callable[..., Any], tmp_path: Path) -> None:
    topics = own_guarded.topics(topic_prefix)
    user = topic_prefix + "agent"
    set_password(topics, user, "first")
    grant(topics, user)
    here = world(topics, own_guarded.user())
    mine = own_guarded.user(user, "first")
    agent = here.agent(environment=mine)
    here.follow()

    revoke(topics, user)
    until(lambda: agent.status()[0]["shipping_error"], "the agent says that it is denied")
    shown, _ = agent.status()
    assert "uthoriz" in shown["shipping_error"]
    assert topic_prefix in shown["shipping_error"], "by the topic's name"
    until(lambda: agent.status()[0]["state"] == "unhealthy", "and that it is not healthy")
    assert "uthoriz" in agent.status()[1]
    grant(topics, user)
    here.alive()
    until(lambda: agent.status()[0]["state"] == "healthy", "and is healthy again")

    # an agent's principal writes, and reads nothing; it is told so, and does not wait for what never comes
    asked = subprocess.run([WATTLAKE, "run", "--log", topics.log.address, "--lake", str(tmp_path / "not-mine")], cwd=tmp_path, capture_output=True, text=True,
                           env={**os.environ, "HOME": str(tmp_path), "WATTLAKE_KAFKA_PREFIX": topic_prefix, **mine}, timeout=120)
    assert asked.returncode == 1, asked.stderr
    assert "may not be read" in asked.stderr
    assert "READ" in asked.stderr
    assert topic_prefix in asked.stderr
    here.settle()


@pytest.mark.slow
def test_passwords_are_rotated_and_certificates_expire_and_are_renewed(own_guarded: Guarded, authority: Authority, topic_prefix: str,
                                                                       world: Callable[..., Any]) -> None:
    """Of agents, and of followers, of which each has a lake of its own."""
    topics = own_guarded.topics(topic_prefix)
    writer, reader = topic_prefix + "agent", topic_prefix + "pipelines"
    password_files, certified = {}, {}
    for user, operation in ((writer, ACLOperation.WRITE), (reader, ACLOperation.READ)):
        set_password(topics, user, "first")
        password_files[user] = own_guarded.password_file("first")
        for principal in (user, f"CN={user}"):
            grant(topics, principal, operation)
        shown = authority.issue(user)
        certified[user] = {"WATTLAKE_KAFKA_SECURITY_PROTOCOL": "SSL", "WATTLAKE_KAFKA_CERT_FILE": str(shown.cert_file),
                           "WATTLAKE_KAFKA_KEY_FILE": str(shown.key_file)}

    def known(user: str) -> dict[str, str]:
        return own_guarded.user(user, "first") | {"WATTLAKE_KAFKA_PASSWORD_FILE": str(password_files[user])}

    here = world(topics, known(reader))
    other = here.beside("by-certificate", f"kafka:{own_guarded.mutual}", certified[reader])
    by_password = here.agent("n1", environment=known(writer))
    by_certificate = here.agent("n2", log=f"kafka:{own_guarded.mutual}", environment=certified[writer])
    here.follow()
    for agent in (by_password, by_certificate):
        until(lambda: agent.status()[0].get("records_acknowledged"), "it sends")  # noqa: B023

    for user in (writer, reader):
        set_password(topics, user, "second")
        authority.issue(user, timedelta(seconds=VALID_S))
    time.sleep(VALID_S)
    # who is in stays in until the connection ends
    own_guarded.kafka.brokers[0].kill()
    own_guarded.kafka.brokers[0].restart(120)
    until(lambda: "wrong password" in (by_password.status()[0]["shipping_error"] or ""), "the old password is not taken, and that is told")
    until(lambda: "certificate" in (by_certificate.status()[0]["shipping_error"] or ""), "an expired certificate is told of")
    assert "expired" in by_certificate.status()[0]["shipping_error"]
    shut_out = {follower: rounds(follower) for follower in here.followers}
    for follower in here.followers:
        told = refusals(follower)
        until(lambda: refusals(follower) > told, "a follower that is not let in says so, and tries again")  # noqa: B023
        assert "`wattlake doctor --role pipelines` tells which it is" in follower.said.read_text()
    assert shut_out == {follower: rounds(follower) for follower in here.followers}, "nothing lands for who is not let in"

    for user, file in password_files.items():
        file.write_text("second\n")
        authority.issue(user)
    here.alive()
    for agent in (by_password, by_certificate):
        until(lambda: agent.status()[0]["state"] == "healthy", "and is healthy again")  # noqa: B023
    assert other.runs()
    here.settle()


def rounds(follower: Follower) -> int:
    """How often it has told what has landed."""
    return follower.said.read_text().count(" rejected")


def refusals(follower: Follower) -> int:
    """How often it has told that it is not let in."""
    return follower.said.read_text().count("no broker answers")
