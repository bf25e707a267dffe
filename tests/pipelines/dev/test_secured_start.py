"""`wattlake dev kafka start --secured`: whom it lets in, what it leaves in its folder, and what it remembers."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from wattlake_pipelines.dev.authority import Authority
from wattlake_pipelines.dev.folder import ServerFolder
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.dev.ports import LOOPBACK
from wattlake_pipelines.dev.secured import BROKER, secure

WATTLAKE = Path(sys.executable).with_name("wattlake")
#: Which requests do you know? (ApiVersions 0, Kafka protocol guide.)
_ASKED = struct.pack(">ihhih", 10, 18, 0, 1, -1)


def wattlake(*arguments: object, cwd: Path | None = None, **environment: object) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WATTLAKE_")}
    home = {"XDG_DATA_HOME": str(cwd)} if cwd else {}
    return subprocess.run([str(WATTLAKE), *map(str, arguments)], capture_output=True, text=True, timeout=300, cwd=cwd,
                          env={**clean, **home, **{name: str(value) for name, value in environment.items()}})


@dataclass(frozen=True)
class Started:
    """A secured Kafka that runs, and what was said when it was started for the first time."""

    folder: Path
    stdout: str
    stderr: str

    @property
    def admin_toml(self) -> Path:
        return self.folder / "admin.toml"

    @property
    def kafka(self) -> Kafka:
        return Kafka(self.folder)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    folder = tmp_path_factory.mktemp("secured") / 'a "cluster"'
    done = wattlake("dev", "kafka", "start", "--secured", "--dir", folder, "--wait", 120)
    try:
        assert done.returncode == 0, done.stderr
        yield Started(folder, done.stdout, done.stderr)
    finally:
        for broker in Kafka(folder).brokers:
            broker.kill()


def comes_in(server: str, **client: Any) -> bool:
    """Whether a broker answers such a client."""
    try:
        admin = KafkaAdminClient(bootstrap_servers=server, bootstrap_timeout_ms=3_000, request_timeout_ms=3_000, **client)
    except KafkaError:
        return False
    admin.close()
    return True


def controller_answers(started: Started, own: Path | None) -> bool:
    """Whether the port on which the controllers speak with each other answers. own: the folder of the certificate to come with, or none."""
    context = ssl.create_default_context(cafile=str(started.folder / "ca.pem"))
    if own:
        context.load_cert_chain(own / f"{BROKER}.pem", own / f"{BROKER}.key")
    try:
        with (socket.create_connection((LOOPBACK, started.kafka.controller_ports[0]), timeout=10) as plain,
              context.wrap_socket(plain, server_hostname=LOOPBACK) as connection):
            connection.sendall(_ASKED)
            return bool(connection.recv(1))
    except (ssl.SSLError, ConnectionError):
        return False


@pytest.mark.slow
def test_it_says_its_address_alone_on_stdout_and_on_stderr_what_to_do_next(started: Started) -> None:
    assert re.fullmatch(r"kafka:127\.0\.0\.1:\d+\n", started.stdout)
    assert f"the administrator's configuration is {started.admin_toml}" in started.stderr
    assert "log init --config" in started.stderr


@pytest.mark.slow
def test_its_secrets_are_its_own_and_for_its_owner_alone(started: Started) -> None:
    private = ("admin.password", "admin.toml", "kafka.json", "tls", "tls/ca.key", "tls/broker.key", "tls/broker.password", "broker-1",
               "broker-1/server.properties")
    assert {name: (started.folder / name).stat().st_mode & 0o077 for name in private} == dict.fromkeys(private, 0)
    passwords = [(started.folder / name).read_text().strip() for name in ("admin.password", "tls/broker.password")]
    assert len(set(passwords)) == 2
    assert all(len(password) >= 32 for password in passwords)
    assert not list(started.folder.rglob("format.arguments"))
    told = Path(f"/proc/{started.kafka.brokers[0].process.pid()}/cmdline").read_bytes().decode() + started.stderr
    assert not [password for password in passwords if password in told]


@pytest.mark.slow
def test_it_lets_in_the_administrator_and_nobody_without_a_name_or_with_a_wrong_password(started: Started) -> None:
    [server] = started.kafka.servers
    tls = {"ssl_cafile": str(started.folder / "ca.pem")}
    by_name = {**tls, "security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "admin"}
    assert comes_in(server, **by_name, sasl_plain_password=(started.folder / "admin.password").read_text().strip())
    assert not comes_in(server)
    assert not comes_in(server, **tls, security_protocol="SSL")
    assert not comes_in(server, **by_name, sasl_plain_password="admin-secret")


@pytest.mark.slow
def test_where_the_controllers_speak_with_each_other_nobody_else_is_let_in(started: Started, tmp_path: Path) -> None:
    Authority(tmp_path).issue(BROKER)
    assert controller_answers(started, started.folder / "tls")
    assert not controller_answers(started, None)
    assert not controller_answers(started, tmp_path)


@pytest.mark.slow
def test_the_administrators_configuration_is_good_from_anywhere(started: Started, tmp_path: Path) -> None:
    made = wattlake("log", "init", "--config", started.admin_toml, "--partitions", 1, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    found = wattlake("doctor", "--config", started.admin_toml, "--role", "pipelines", "--format", "json", cwd=tmp_path)
    assert found.returncode == 0, found.stdout
    assert {row["probe"]: row["state"] for row in json.loads(found.stdout)}["sasl"] == "ok"


@pytest.mark.slow
def test_after_a_restart_it_is_secured_with_its_users_and_a_certificate_that_is_valid(started: Started, tmp_path: Path) -> None:
    kept = {name: (started.folder / name).read_bytes() for name in ("ca.pem", "admin.password", "admin.toml")}
    password_file, config = tmp_path / "reader.password", ("--config", started.admin_toml)
    password_file.touch(mode=0o600)
    password_file.write_text("its own secret\n")
    own_topics = {"cwd": tmp_path, "WATTLAKE_KAFKA_PREFIX": "restarted."}
    reader = {**own_topics, "WATTLAKE_KAFKA_USERNAME": "reader", "WATTLAKE_KAFKA_PASSWORD_FILE": password_file}
    made = wattlake("log", "init", "--partitions", 1, *config, **own_topics)
    assert made.returncode == 0, made.stderr
    granted = wattlake("log", "grant", "reader", "--may", "read", "--password-file", password_file, *config, **own_topics)
    assert granted.returncode == 0, granted.stderr

    assert wattlake("dev", "kafka", "status", "--dir", started.folder).returncode == 0
    assert wattlake("dev", "kafka", "stop", "--dir", started.folder).returncode == 0
    assert wattlake("dev", "kafka", "status", "--dir", started.folder).returncode == 1
    Authority(started.folder / "tls").issue(BROKER, timedelta(hours=-12))
    again = wattlake("dev", "kafka", "start", "--dir", started.folder, "--wait", 120)
    assert (again.returncode, again.stdout) == (0, started.stdout), again.stderr
    assert {name: (started.folder / name).read_bytes() for name in kept} == kept
    tail = wattlake("log", "tail", *config, **reader)
    assert tail.returncode == 0, tail.stderr
    denied = wattlake("log", "grant", "reader", "--may", "write", *config, **reader)
    assert denied.returncode == 1, "it has no more rights than it was granted"


@pytest.mark.slow
def test_a_broker_that_was_killed_and_is_started_alone_is_secured_as_before(started: Started) -> None:
    [broker] = started.kafka.brokers
    broker.kill()
    broker.restart(120)
    assert comes_in(*started.kafka.servers, **secure(started.folder, started.kafka.address, new=False).client)
    assert not comes_in(*started.kafka.servers)


@pytest.mark.slow
def test_it_cannot_be_made_an_open_one(started: Started) -> None:
    done = wattlake("dev", "kafka", "start", "--unsecured", "--dir", started.folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "was made with --secured, and cannot change" in done.stderr
    assert "next: leave --unsecured out" in done.stderr
    assert f"wattlake dev kafka stop --delete --dir {shlex.quote(str(started.folder))}" in done.stderr


@pytest.mark.slow
def test_a_password_that_is_gone_is_named(started: Started) -> None:
    file = started.folder / "admin.password"
    text = file.read_text()
    file.unlink()
    try:
        done = wattlake("dev", "kafka", "start", "--dir", started.folder)
    finally:
        file.touch(mode=0o600)
        file.write_text(text)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{file}: is gone" in done.stderr
    assert "put it back" in done.stderr


@pytest.mark.parametrize("more", [{}, {"secured": False}])
def test_an_open_one_cannot_be_made_secured(tmp_path: Path, more: dict[str, bool]) -> None:
    # the first is as folders were before there were secured ones
    ServerFolder(tmp_path, "kafka").write({"cluster_id": "c", "ports": [1], "controller_ports": [2], **more})
    done = wattlake("dev", "kafka", "start", "--secured", "--dir", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "was made without --secured, and cannot change" in done.stderr
    assert "next: leave --secured out" in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["kafka.json"]
