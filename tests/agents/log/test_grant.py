"""`wattlake log grant`, and what the principals may do then."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from wattlake_contracts.kinds import TOPICS

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


def test_settings_that_may_not_be_read_leave_the_check_incomplete(call: Call, guarded: Any, log: str, user: dict[str, str]) -> None:
    name, password_file = user["WATTLAKE_KAFKA_USERNAME"], user["WATTLAKE_KAFKA_PASSWORD_FILE"]
    assert call("log", "grant", name, "--may", "read", "--password-file", password_file, "--log", log, **guarded.user()).returncode == 0
    done = call("log", "init", "--log", log, "--partitions", "1", **user)
    assert done.returncode == 4
    assert "configuration is not known, wanted to be checked (this principal may not read it)" in done.stderr


def test_who_may_not_alter_rights_is_told_so(call: Call, guarded: Any, log: str, user: dict[str, str]) -> None:
    name, password_file = user["WATTLAKE_KAFKA_USERNAME"], user["WATTLAKE_KAFKA_PASSWORD_FILE"]
    assert call("log", "grant", name, "--may", "write", "--password-file", password_file, "--log", log, **guarded.user()).returncode == 0
    done = call("log", "grant", "somebody", "--may", "read", "--log", log, **user)
    assert done.returncode == 1
    assert "it needs a principal that may alter ACLs" in done.stderr
    made = call("log", "init", "--log", log, **{**user, "WATTLAKE_KAFKA_PREFIX": "other."})
    assert made.returncode == 1
    assert "other.readings: this principal may not see it (it needs DESCRIBE)" in made.stderr


def test_a_certificates_principal_is_written_as_kafka_does(call: Call, guarded: Any, log: str) -> None:
    mutual = f"kafka:{guarded.mutual}"
    before = call("log", "status", "--log", mutual, **guarded.client("known"))
    assert before.returncode == 1
    done = call("log", "grant", "User:CN=known", "--may", "read", "--log", log, **guarded.user())
    assert done.returncode == 0, done.stderr
    assert call("log", "tail", "--log", mutual, **guarded.client("known")).returncode == 0


@pytest.mark.parametrize(("arguments", "more", "says"), [
    (("x", "--may", "do"), {}, "'do' is not one of write, read"),
    (("", "--may", "write"), {}, "whom is it for?"),
    (("User:x", "--may", "read", "--password-file", "p"), {}, "only a bare name can have a password"),
    (("x", "--may", "read", "--password-file", "p"), {"WATTLAKE_KAFKA_SASL_MECHANISM": "PLAIN"}, "the brokers keep no passwords for PLAIN"),
    (("x", "--may", "read", "--password-file", "p"), {}, "--password-file cannot be read"),
    (("x", "--may", "read", "--log", "file:log"), {}, "a matter of the folder's owner and mode"),
])
def test_a_wrong_call_is_refused_before_any_broker_is_asked(call: Call, arguments: tuple[str, ...], more: dict[str, str], says: str) -> None:
    done = call("log", "grant", *(arguments if "--log" in arguments else (*arguments, "--log", "kafka:127.0.0.1:1")), **more)
    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.parametrize("arguments", [("x", "--may", "do"), ("x", "--log", "file:log")])
def test_a_wrong_call_of_revoke_is_refused_before_any_broker_is_asked(call: Call, arguments: tuple[str, ...]) -> None:
    assert call("log", "revoke", *(arguments if "--log" in arguments else (*arguments, "--log", "kafka:127.0.0.1:1"))).returncode == 2


def test_brokers_without_an_authoriser_grant_and_revoke_nothing(call: Call, kafka: Any) -> None:
    revoked = call("log", "revoke", "x", "--log", kafka.address)
    assert revoked.returncode == 1
    assert "SecurityDisabledError" in revoked.stdout
    done = call("log", "grant", "x", "--may", "read", "--log", kafka.address)
    assert done.returncode == 1
    assert "SecurityDisabledError" in done.stdout
