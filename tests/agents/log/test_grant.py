"""`wattlake log grant`, and what the principals may do then."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
from kafka import KafkaProducer
from kafka.errors import TopicAuthorizationFailedError

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.kafkalog.security import connection
from wattlake_contracts.kinds import TOPICS
from wattlake_contracts.log_address import KafkaLog

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def log(guarded: Any, call: Call) -> str:
    """The address of a guarded log with its topics."""
    address = f"kafka:{guarded.server}"
    made = call("log", "init", "--log", address, "--partitions", "1", **guarded.user())
    assert made.returncode == 0, made.stderr
    return address


@pytest.fixture
def user(guarded: Any) -> dict[str, str]:
    """A user that nobody knows yet."""
    return dict(guarded.user(f"u{uuid4().hex[:8]}", "its own secret"))


def test_who_may_write_may_not_read_and_the_other_way_round(call: Call, guarded: Any, log: str, user: dict[str, str], topic_prefix: str) -> None:
    name, password_file = user["WATTLAKE_KAFKA_USERNAME"], user["WATTLAKE_KAFKA_PASSWORD_FILE"]
    dry = call("log", "grant", name, "--may", "write", "--password-file", password_file, "--log", log, "--dry-run", **guarded.user())
    assert dry.returncode == 0, dry.stderr
    assert "would be granted" in dry.stdout
    done = call("log", "grant", name, "--may", "write", "--password-file", password_file, "--log", log, "--format", "json", **guarded.user())
    assert done.returncode == 0, done.stderr
    assert {(r["principal"], r["topic"], r["right"], r["state"]) for r in json.loads(done.stdout)} == {
        (f"User:{name}", f"{topic_prefix}{t}", right, "granted") for t in TOPICS for right in ("WRITE", "DESCRIBE")}
    assert "its own secret" not in done.stdout + done.stderr
    status = call("log", "status", "--log", log, "--format", "json", **user)
    assert status.returncode == 0, status.stderr
    assert {row["retention_days"] for row in json.loads(status.stdout)} == {None}, "it may not read settings"
    assert f"how long {len(TOPICS)} topics keep records is not known" in status.stderr
    assert call("log", "status", "--log", log, **user).stdout.count("not known") == len(TOPICS)
    assert "not known" not in call("log", "status", "--log", log, **guarded.user()).stderr
    tail = call("log", "tail", "--log", log, **user)
    assert tail.returncode == 1
    assert "may not read" in tail.stderr
    assert call("log", "grant", name, "--may", "read", "--log", log, **guarded.user()).returncode == 0
    assert call("log", "tail", "--log", log, **user).returncode == 0


def test_what_was_granted_is_taken_back_one_right_or_all(call: Call, guarded: Any, log: str, user: dict[str, str]) -> None:
    name, password_file = user["WATTLAKE_KAFKA_USERNAME"], user["WATTLAKE_KAFKA_PASSWORD_FILE"]
    for may in ("write", "read"):
        assert call("log", "grant", name, "--may", may, "--password-file", password_file, "--log", log, **guarded.user()).returncode == 0
    denied = call("log", "revoke", name, "--log", log, **user)
    assert denied.returncode == 1
    assert "it needs a principal that may alter ACLs" in denied.stderr
    dry = call("log", "revoke", name, "--log", log, "--dry-run", "--format", "json", **guarded.user())
    assert {r["state"] for r in json.loads(dry.stdout)} == {"would be revoked"}
    assert call("log", "tail", "--log", log, **user).returncode == 0, "nothing has been taken from it"

    done = call("log", "revoke", name, "--may", "read", "--log", log, "--format", "json", **guarded.user())
    assert done.returncode == 0, done.stderr
    assert {(r["right"], r["state"]) for r in json.loads(done.stdout)} == {("READ", "revoked")}
    assert len(json.loads(done.stdout)) == len(TOPICS)
    tail = call("log", "tail", "--log", log, **user)
    assert tail.returncode == 1
    assert "may not read" in tail.stderr, "it still sees the topics, and may write"

    done = call("log", "revoke", name, "--log", log, "--format", "json", **guarded.user())
    assert {(r["right"], r["state"]) for r in json.loads(done.stdout)} == {("READ", "was not granted"), ("WRITE", "revoked"), ("DESCRIBE", "revoked")}
    assert call("log", "status", "--log", log, **user).returncode == 1
    again = call("log", "revoke", name, "--log", log, **guarded.user())
    assert again.returncode == 0
    assert "nothing was granted" in again.stderr


def test_one_topic_is_granted_and_taken_back_alone(call: Call, guarded: Any, log: str, user: dict[str, str], topic_prefix: str) -> None:
    name, password_file = user["WATTLAKE_KAFKA_USERNAME"], user["WATTLAKE_KAFKA_PASSWORD_FILE"]

    def doctor() -> dict[str, dict[str, str]]:
        done = call("doctor", "--log", log, "--format", "json", **user)
        return {row["probe"]: row for row in json.loads(done.stdout)}

    # with the prefix and without, and one of them twice
    named = [word for topic in ("jobs", f"{topic_prefix}serving", "jobs") for word in ("--topic", topic)]
    done = call("log", "grant", name, "--may", "write", *named, "--password-file", password_file, "--log", log, "--format", "json", **guarded.user())
    assert done.returncode == 0, done.stderr
    assert [(r["topic"], r["right"]) for r in json.loads(done.stdout)] == [
        (f"{topic_prefix}{topic}", right) for topic in ("jobs", "serving") for right in ("WRITE", "DESCRIBE")]
    found = doctor()
    assert found["topics"]["detail"].partition(": ")[2] == ", ".join(f"{topic_prefix}{t}" for t in TOPICS if t not in ("jobs", "serving"))
    assert found["rights"]["detail"] == "WRITE and DESCRIBE on 2 topics"

    done = call("log", "revoke", name, "--may", "write", "--topic", "serving", "--log", log, "--format", "json", **guarded.user())
    assert done.returncode == 0, done.stderr
    assert [(r["topic"], r["right"], r["state"]) for r in json.loads(done.stdout)] == [(f"{topic_prefix}serving", "WRITE", "revoked")]
    assert doctor()["rights"]["detail"] == f"this principal may not write (it lacks WRITE): {topic_prefix}serving"

    config = KafkaConfig(security_protocol="SASL_SSL", username=name, password_file=password_file, ca_file=str(guarded.ca_file))
    with closing(KafkaProducer(**connection(KafkaLog((guarded.server,)), config))) as producer:
        producer.send(f"{topic_prefix}jobs", value=b"[]").get(timeout=30)
        for topic in ("serving", "readings"):
            with pytest.raises(TopicAuthorizationFailedError):
                producer.send(f"{topic_prefix}{topic}", value=b"[]").get(timeout=30)


@pytest.mark.parametrize("everybody", ["*", "User:*"])
def test_everybody_is_let_in_with_a_warning_only(call: Call, guarded: Any, log: str, user: dict[str, str], everybody: str) -> None:
    name, password_file = user["WATTLAKE_KAFKA_USERNAME"], user["WATTLAKE_KAFKA_PASSWORD_FILE"]
    one = call("log", "grant", name, "--may", "write", "--topic", "jobs", "--password-file", password_file, "--log", log, **guarded.user())
    assert (one.returncode, "everybody" in one.stderr) == (0, False)
    assert call("log", "tail", "--log", log, **user).returncode == 1
    done = call("log", "grant", everybody, "--may", "read", "--log", log, **guarded.user())
    assert done.returncode == 0, done.stderr
    assert "User:* is not one user but everybody: whoever the brokers let in may then read" in done.stderr
    assert "wattlake log revoke '*'" in done.stderr
    assert call("log", "tail", "--log", log, **user).returncode == 0
    assert call("log", "revoke", "*", "--log", log, **guarded.user()).returncode == 0
    assert call("log", "tail", "--log", log, **user).returncode == 1


def test_settings_that_may_not_be_read_leave_the_check_incomplete(call: Call, guarded: Any, log: str, user: dict[str, str]) -> None:
    name, password_file = user["WATTLAKE_KAFKA_USERNAME"], user["WATTLAKE_KAFKA_PASSWORD_FILE"]
    assert call("log", "grant", name, "--may", "read", "--password-file", password_file, "--log", log, **guarded.user()).returncode == 0
    done = call("log", "init", "--log", log, "--partitions", "1", **user)
    assert done.returncode == 4
    assert "configuration is not known, wanted to be checked (this principal may not read it: it needs DESCRIBE_CONFIGS)" in done.stderr
    assert done.stdout.count("not known") == len(TOPICS)
    assert "differs" not in done.stdout


def test_who_may_not_alter_rights_is_told_so(call: Call, guarded: Any, log: str, user: dict[str, str]) -> None:
    name, password_file = user["WATTLAKE_KAFKA_USERNAME"], user["WATTLAKE_KAFKA_PASSWORD_FILE"]
    assert call("log", "grant", name, "--may", "write", "--password-file", password_file, "--log", log, **guarded.user()).returncode == 0
    done = call("log", "grant", "somebody", "--may", "read", "--log", log, **user)
    assert done.returncode == 1
    assert done.stderr.count("(Kafka's error 31)") == 1, "the reason is told once, and not for each right"
    assert "nobody can log in" not in done.stderr, "it may not even ask"
    assert "it needs a principal that may alter ACLs" in done.stderr
    made = call("log", "init", "--log", log, **{**user, "WATTLAKE_KAFKA_PREFIX": "other."})
    assert made.returncode == 1
    assert "other.readings: this principal may not see it (it needs DESCRIBE)" in made.stderr


def test_a_user_without_a_password_is_told_of(call: Call, guarded: Any, log: str, user: dict[str, str]) -> None:
    name, password_file = user["WATTLAKE_KAFKA_USERNAME"], user["WATTLAKE_KAFKA_PASSWORD_FILE"]
    for principal in (name, f"User:{name}"):
        done = call("log", "grant", principal, "--may", "write", "--topic", "jobs", "--log", log, **guarded.user())
        assert done.returncode == 0, done.stderr
        assert f"nobody can log in as {name} yet" in done.stderr
    for more in (("--password-file", password_file), ()):
        done = call("log", "grant", name, "--may", "write", "--topic", "jobs", *more, "--log", log, **guarded.user())
        assert (done.returncode, "nobody can log in" in done.stderr) == (0, False)


def test_a_certificates_principal_is_written_as_kafka_does(call: Call, guarded: Any, log: str) -> None:
    mutual = f"kafka:{guarded.mutual}"
    before = call("log", "status", "--log", mutual, **guarded.client("known"))
    assert before.returncode == 1
    done = call("log", "grant", "User:CN=known", "--may", "read", "--log", log, **guarded.user())
    assert done.returncode == 0, done.stderr
    assert "nobody can log in" not in done.stderr
    assert call("log", "tail", "--log", mutual, **guarded.client("known")).returncode == 0


@pytest.mark.parametrize(("arguments", "more", "says"), [
    (("x", "--may", "do"), {}, "'do' is not one of write, read"),
    (("", "--may", "write"), {}, "whom is it for?"),
    (("User:x", "--may", "read", "--password-file", "p"), {}, "only a bare name can have a password"),
    (("*", "--may", "read", "--password-file", "p"), {}, "stands for everybody, who can have no password"),
    (("x", "--may", "read", "--topic", "jobs", "--topic", "job"), {}, "'job' is no topic\n  next: one of readings, usage, jobs"),
    (("x", "--may", "read", "--password-file", "p"), {"WATTLAKE_KAFKA_SASL_MECHANISM": "PLAIN"}, "the brokers keep no passwords for PLAIN"),
    (("x", "--may", "read", "--password-file", "p"), {}, "--password-file cannot be read"),
    (("x", "--may", "read", "--log", "file:log"), {}, "a matter of the folder's owner and mode"),
])
def test_a_wrong_call_is_refused_before_any_broker_is_asked(call: Call, arguments: tuple[str, ...], more: dict[str, str], says: str) -> None:
    done = call("log", "grant", *(arguments if "--log" in arguments else (*arguments, "--log", "kafka:127.0.0.1:1")), **more)
    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.parametrize("arguments", [("x", "--may", "do"), ("x", "--log", "file:log"), ("x", "--topic", "job")])
def test_a_wrong_call_of_revoke_is_refused_before_any_broker_is_asked(call: Call, arguments: tuple[str, ...]) -> None:
    assert call("log", "revoke", *(arguments if "--log" in arguments else (*arguments, "--log", "kafka:127.0.0.1:1"))).returncode == 2


def test_brokers_without_an_authoriser_grant_and_revoke_nothing(call: Call, kafka: Any) -> None:
    revoked = call("log", "revoke", "x", "--log", kafka.address)
    assert revoked.returncode == 1
    assert revoked.stderr.count("Security features are disabled (Kafka's error 54)") == 1
    assert revoked.stdout.count("refused") == 3 * len(TOPICS)
    done = call("log", "grant", "x", "--may", "read", "--log", kafka.address)
    assert done.returncode == 1
    assert done.stderr.count("Security features are disabled (Kafka's error 54)") == 1
    assert done.stdout.count("refused") == 2 * len(TOPICS)
