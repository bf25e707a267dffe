"""What the doctor says of this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from logs import Log
from wattlake_contracts.filelog import cursor
from wattlake_contracts.kafkalog.signing import make_key

Doctor = Callable[..., Any]


def test_a_machine_that_is_well_is_said_to_be(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "wattlake.toml").write_text('log = "file:log"\n')
    found = doctor()
    assert found.code == 0, found.done.stderr
    assert [(row["probe"], row["state"]) for row in found.rows] == [("config", "ok"), ("state folder", "ok"), ("sensors", "ok"), ("log", "ok")]
    assert found.by_probe["config"]["subject"] == "wattlake.toml"
    assert found.by_probe["sensors"]["detail"] == "cpu-package-0"
    assert not (tmp_path / "log").exists(), "it changes nothing"
    assert not (tmp_path / "state").exists()


def test_a_configuration_that_cannot_be_read_is_the_only_thing_said(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "wattlake.toml").write_text("[kafka]\npassword = 'x'\n")
    found = doctor()
    assert found.code == 1
    assert [(row["probe"], row["state"]) for row in found.rows] == [("config", "failed"), ("all else", "not tried")]
    assert "password" in found.by_probe["config"]["detail"]


def test_an_address_that_is_none_is_the_configurations_fault(doctor: Doctor) -> None:
    assert "is no broker's address" in doctor("--log", "kafka:nohost").failed()["config"]


def test_sensors_that_are_there_and_cannot_be_read_are_told(doctor: Doctor, machine: Any) -> None:
    file = machine.sys / "class/powercap/intel-rapl:0/energy_uj"
    file.unlink()
    file.mkdir()
    found = doctor("--log", "file:log")
    assert found.code == 1
    assert found.failed().keys() == {"sensors"}
    assert found.by_probe["sensors"]["next_step"]


def test_nothing_to_measure_is_a_failure(doctor: Doctor) -> None:
    found = doctor("--log", "file:log", WATTLAKE_AGENT_READERS="nvml")
    assert found.code == 1
    assert found.failed() == {"sensors": "nothing can be measured"}
    assert doctor("--log", "file:log", "--role", "pipelines").code == 0, "who only reads measures nothing"


@pytest.mark.parametrize(("probe", "variable"), [("state folder", "WATTLAKE_AGENT_STATE_DIR"), ("spool", "WATTLAKE_KAFKA_SPOOL_DIR")])
def test_a_file_in_the_way_of_a_folder_is_told(doctor: Doctor, tmp_path: Path, probe: str, variable: str) -> None:
    (tmp_path / "file").write_text("")
    found = doctor("--log", "kafka:127.0.0.1:1", **{variable: str(tmp_path / "file" / "folder")})
    assert "is a file where a folder must be" in found.failed()[probe]


def test_a_spool_that_cannot_be_made_is_told_though_what_is_above_it_may_be_written(doctor: Doctor) -> None:
    found = doctor("--log", "kafka:127.0.0.1:1", WATTLAKE_KAFKA_SPOOL_DIR="/proc/nosuch/spool")
    assert found.failed()["spool"] == "cannot be made in /proc: No such file or directory"
    assert found.by_probe["spool"]["next_step"] == "set kafka.spool_dir (WATTLAKE_KAFKA_SPOOL_DIR) to another"


def test_a_full_disk_is_told(doctor: Doctor, small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(b"\0" * (1020 * 1024))
    found = doctor("--log", "kafka:127.0.0.1:1", WATTLAKE_KAFKA_SPOOL_DIR=str(small_disk))
    assert "spool" in found.failed()
    assert found.by_probe["spool"]["next_step"].startswith("free some of the disk")


def test_what_waits_in_the_spool_is_told(doctor: Doctor, tmp_path: Path) -> None:
    log = Log(tmp_path / "spool")
    for i in range(5):
        log.put("jobs", [{"job": f"j{i}", "node": "n", "start_ms": 1_760_000_000_000}])
    cursor.store(tmp_path / "spool" / "p", [(2, None)])
    found = doctor("--log", "kafka:127.0.0.1:1", WATTLAKE_KAFKA_SPOOL_DIR=str(tmp_path / "spool"))
    assert "3 records are not on Kafka yet" in found.by_probe["spool"]["detail"]
    assert "of at most 1024" in found.by_probe["spool"]["detail"]
    assert sorted(path.name for path in (tmp_path / "spool").iterdir()) == ["p"], "what it writes to find out is gone"


def test_the_public_key_of_what_it_signs_with_is_told_or_why_it_cannot_sign(doctor: Doctor, tmp_path: Path) -> None:
    public = make_key(tmp_path / "signing.pem")
    said = {"WATTLAKE_KAFKA_SIGNING_KEY_FILE": str(tmp_path / "signing.pem")}
    assert doctor("--log", "kafka:127.0.0.1:1", **said).by_probe["signing key"]["detail"] == f"its public key is {public}"
    (tmp_path / "signing.pem").chmod(0o640)
    found = doctor("--log", "kafka:127.0.0.1:1", **said)
    assert "by others than its owner" in found.failed()["signing key"]
    assert "chmod 600" in found.by_probe["signing key"]["next_step"]
    assert "signing key" not in doctor("--log", "kafka:127.0.0.1:1").by_probe, "nothing is said of a key that nobody wants"
