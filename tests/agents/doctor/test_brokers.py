"""What the doctor says of brokers: each cause apart from the others."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from wattlake_pipelines.dev.authority import Authority
from wattlake_pipelines.dev.secured import BROKER

Call = Callable[..., subprocess.CompletedProcess[str]]
Doctor = Callable[..., Any]
STEPS = ("tcp", "tls", "kafka", "sasl", "topics")


def address(server: str) -> tuple[str, str]:
    return ("--log", f"kafka:{server}")


def only(found: Any, probe: str) -> str:
    """The detail of the only probe that failed; what stands on it was not tried."""
    assert found.code == 1
    [(name, detail)] = found.failed().items()
    assert name == probe
    later = STEPS[STEPS.index(probe) + 1 :] if probe in STEPS else ()
    assert {found.state(step) for step in later} <= {"not tried"}
    assert found.by_probe[probe]["next_step"]
    return str(detail)


def test_a_broker_without_security_is_well(doctor: Doctor, call: Call, kafka: Any) -> None:
    assert call("log", "init", "--log", kafka.address, "--partitions", "1").returncode == 0
    found = doctor("--log", kafka.address)
    assert found.code == 0, found.done.stderr
    states = [(r["probe"], r["state"]) for r in found.rows][3:]
    assert states == [("spool", "ok"), ("name", "ok"), ("tcp", "ok"), ("tls", "not tried"), ("kafka", "ok"), ("sasl", "not tried"), ("topics", "ok"),
                      ("rights", "ok"), ("record size", "ok")]


def test_topics_that_are_missing_are_named(doctor: Doctor, kafka: Any, topic_prefix: str) -> None:
    found = doctor("--log", kafka.address)
    assert f"not there: {topic_prefix}readings, " in only(found, "topics")
    assert found.by_probe["topics"]["next_step"] == "wattlake log init"


def test_topics_that_take_smaller_records_than_are_written_are_named(doctor: Doctor, call: Call, kafka: Any, topic_prefix: str) -> None:
    assert call("log", "init", "--log", kafka.address, "--partitions", "1").returncode == 0
    found = doctor("--log", kafka.address, WATTLAKE_KAFKA_MAX_RECORD_BYTES="2000000")
    assert found.failed().keys() == {"record size"}
    assert found.by_probe["record size"]["detail"] == "takes 1065536 bytes, and kafka.max_record_bytes is 2000000"
    assert found.by_probe["record size"]["next_step"] == "`wattlake log init --alter`, or set kafka.max_record_bytes to 1061440"


def test_a_name_without_address_and_a_port_where_nobody_listens(doctor: Doctor) -> None:
    assert "has no address" in only(doctor(*address("broker.invalid:9092")), "name")
    assert "127.0.0.1 refuses: nothing listens on port 1" in only(doctor(*address("127.0.0.1:1")), "tcp")


def test_one_broker_of_several_is_enough_for_the_topics_and_the_other_is_named(doctor: Doctor, call: Call, kafka: Any) -> None:
    assert call("log", "init", "--log", kafka.address, "--partitions", "1").returncode == 0
    found = doctor(*address(f"127.0.0.1:1,{kafka.servers[0]}"))
    assert found.code == 1
    assert found.failed().keys() == {"tcp"}
    assert found.state("topics") == "ok"


@contextlib.contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """A server that is no broker: it says something to whoever speaks, or nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    held.append(connection)
                    if answer is not None:
                        connection.recv(1000)
                        connection.sendall(answer)
                        connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        for connection in held:
            connection.close()


def test_what_is_no_broker_is_told(doctor: Doctor) -> None:
    with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        assert only(doctor(*address(server)), "kafka") == "it does not speak Kafka's protocol"
    with listening(b"") as server:
        assert only(doctor(*address(server)), "kafka") == "it hangs up at the first request"


def test_a_broker_that_is_silent_is_told_from_one_that_is_down(doctor: Doctor, guarded: Any) -> None:
    with listening(None) as server:
        assert only(doctor(*address(server), "--timeout", "0.5"), "kafka") == "connected, and no answer within 0.5 s"
        assert only(doctor(*address(server), "--timeout", "0.5", **guarded.user()), "tls") == "no answer to the handshake within 0.5 s"


@pytest.mark.slow
def test_a_frozen_broker_is_told_from_one_that_is_down(doctor: Doctor, own_kafka: Callable[..., Any]) -> None:
    own = own_kafka()
    own.brokers[0].freeze()
    assert only(doctor("--log", own.address, "--timeout", "1"), "kafka") == "connected, and no answer within 1 s"
    own.brokers[0].thaw()
    own.brokers[0].kill()
    assert "nothing listens" in only(doctor("--log", own.address, "--timeout", "1"), "tcp")


def test_a_guarded_broker_is_well_with_a_password(doctor: Doctor, call: Call, guarded: Any) -> None:
    assert call("log", "init", *address(guarded.server), "--partitions", "1", **guarded.user()).returncode == 0
    found = doctor(*address(guarded.server), **guarded.user())
    assert found.code == 0, found.done.stderr
    assert {found.state(step) for step in (*STEPS, "authorities", "rights", "record size")} == {"ok"}
    assert found.by_probe["sasl"]["detail"] == "admin by SCRAM-SHA-512"
    assert found.by_probe["tls"]["detail"].startswith(("the certificate is valid for 397 days, until ", "the certificate is valid for 396 days, until "))
    assert guarded.kafka.users["admin"] not in found.done.stdout + found.done.stderr


@pytest.mark.parametrize(("listener", "says"), [("expired", r"the broker's certificate expired 1[2-9] hours ago, on "), ("misnamed", "wrong host name: ")])
def test_a_certificate_that_is_no_good_is_told_from_others(doctor: Doctor, guarded: Any, listener: str, says: str) -> None:
    # twelve hours when the brokers were started, which other tests may have had done long before
    assert re.match(says, only(doctor(*address(getattr(guarded, listener)), **guarded.user()), "tls"))


def test_an_authority_that_nobody_knows_is_told(doctor: Doctor, guarded: Any, tmp_path: Path) -> None:
    other = {**guarded.user(), "WATTLAKE_KAFKA_CA_FILE": str(Authority(tmp_path / "other").ca_file)}
    assert only(doctor(*address(guarded.server), **other), "tls").startswith("unknown authority: ")
    system = {**guarded.user(), "WATTLAKE_KAFKA_CA_FILE": ""}
    assert only(doctor(*address(guarded.server), **system), "tls").startswith("unknown authority: ")


def test_a_wrong_password_an_unknown_user_and_a_mechanism_that_is_not_offered_are_told_apart(doctor: Doctor, guarded: Any) -> None:
    secret = f"wrong-{uuid4().hex}"
    wrong = doctor(*address(guarded.server), **guarded.user("admin", secret))
    assert only(wrong, "sasl") == "wrong password for 'admin'"
    assert secret not in wrong.done.stdout + wrong.done.stderr
    assert only(doctor(*address(guarded.server), **guarded.user("nobody", secret)), "sasl") == "it knows no user 'nobody' with SCRAM-SHA-512"
    other = {**guarded.user(), "WATTLAKE_KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"}
    assert only(doctor(*address(guarded.server), **other), "sasl") == "it does not offer SCRAM-SHA-256, but SCRAM-SHA-512"


def test_a_protocol_that_is_not_the_ports_is_told(doctor: Doctor, guarded: Any, kafka: Any) -> None:
    plain = doctor(*address(guarded.server))
    assert only(plain, "kafka") == "it speaks TLS"
    assert plain.by_probe["kafka"]["next_step"] == "set kafka.security_protocol to SSL or SASL_SSL"
    assert only(doctor("--log", kafka.address, **guarded.user()), "tls") == "it hangs up during the handshake"
    nobody = {**guarded.user(), "WATTLAKE_KAFKA_SECURITY_PROTOCOL": "SSL"}
    assert "the broker wants to know who this is" in only(doctor(*address(guarded.server), **nobody), "sasl")
    both = {**guarded.client("known"), **guarded.user()}
    assert only(doctor(*address(guarded.mutual), **both), "sasl") == "it does no SASL on this port"


def test_client_certificates_are_told_apart(doctor: Doctor, guarded: Any) -> None:
    none = {**guarded.client("known"), "WATTLAKE_KAFKA_CERT_FILE": "", "WATTLAKE_KAFKA_KEY_FILE": ""}
    assert only(doctor(*address(guarded.mutual), **none), "tls").startswith("the broker wants a client certificate (")
    assert only(doctor(*address(guarded.mutual), **guarded.client("stranger")), "tls").startswith("the broker refuses the client certificate (")
    old = doctor(*address(guarded.mutual), **guarded.client("expired"))
    assert old.failed().keys() == {"client certificate", "tls"}
    assert re.match(r"the certificate expired 1[2-9] hours ago, on ", old.failed()["client certificate"])
    known = doctor(*address(guarded.mutual), **guarded.client("known"))
    assert known.by_probe["client certificate"]["detail"].startswith("the certificate is valid for 400 days, until ")
    assert known.failed().keys() == {"topics"}, "who it is is known, and may see nothing"


def test_a_key_of_another_certificate_is_told_before_any_broker_is_asked(doctor: Doctor, guarded: Any) -> None:
    mixed = {**guarded.client("known"), "WATTLAKE_KAFKA_KEY_FILE": guarded.client("stranger")["WATTLAKE_KAFKA_KEY_FILE"]}
    found = doctor(*address(guarded.mutual), **mixed)
    assert only(found, "client certificate") == "cannot be used with its key: the key is another certificate's"
    assert found.state("tls") == "not tried"


@pytest.mark.parametrize(("variable", "value", "says"), [
    ("WATTLAKE_KAFKA_CA_FILE", "nowhere.pem", "kafka.ca_file cannot be read"),
    ("WATTLAKE_KAFKA_PASSWORD_FILE", "", "there is no password for Kafka"),
    ("WATTLAKE_KAFKA_USERNAME", "", "kafka.username is missing"),
])
def test_what_is_missing_here_is_told_before_any_broker_is_asked(doctor: Doctor, guarded: Any, variable: str, value: str, says: str) -> None:
    found = doctor(*address(guarded.server), **{**guarded.user(), variable: value})
    assert says in only(found, "connection")
    assert "tcp" not in found.by_probe


def test_brokers_that_send_their_clients_elsewhere_are_told(doctor: Doctor, guarded: Any) -> None:
    found = doctor(*address(guarded.away), **guarded.user())
    assert found.failed().keys() == {"tcp", "cluster"}
    assert found.by_probe["cluster"]["detail"] == "the brokers send clients to addresses that cannot be used from here"
    assert found.state("topics") == "not tried"


def test_rights_are_told_by_what_this_machine_does(doctor: Doctor, call: Call, guarded: Any) -> None:
    user = guarded.user(f"u{uuid4().hex[:8]}", "pw")
    name = user["WATTLAKE_KAFKA_USERNAME"]
    log = address(guarded.server)
    assert call("log", "init", *log, "--partitions", "1", **guarded.user()).returncode == 0
    grant = call("log", "grant", name, "--may", "write", "--password-file", user["WATTLAKE_KAFKA_PASSWORD_FILE"], *log, **guarded.user())
    assert grant.returncode == 0, grant.stderr
    agent = doctor(*log, **user)
    assert agent.code == 0, agent.done.stderr
    assert agent.by_probe["rights"]["detail"] == "WRITE and DESCRIBE on 7 topics"
    assert agent.state("record size") == "not tried", "it need not read the topics' settings"
    reads = doctor(*log, "--role", "pipelines", **user)
    assert "this principal may not read (it lacks READ): " in only(reads, "rights")
    assert reads.by_probe["rights"]["next_step"] == f"as an administrator: wattlake log grant {name} --may read"


def test_people_read_it_line_by_line(call: Call, guarded: Any) -> None:
    done = call("doctor", "--log", f"kafka:{guarded.server}", **guarded.user(BROKER, "wrong"))
    assert done.returncode == 1
    line = next(line for line in done.stdout.splitlines() if line.startswith("sasl "))
    assert "failed" in line
    assert f"sasl {guarded.server}: wrong password for 'broker'\n  next: see kafka.password_file" in done.stderr
