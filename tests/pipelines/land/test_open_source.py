"""What is named by relative paths can be read by workers of any working folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from logs import Log
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.log_address import FileLog
from wattlake_pipelines.land.open_source import _absolute, open_source


def test_a_range_of_a_log_that_is_named_by_a_relative_path_is_read_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Log(tmp_path / "log").put("jobs", [{"job": "j", "node": "n", "start_ms": 1_760_000_000_000}])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    source = open_source(FileLog(Path("log")), KafkaConfig())
    [where] = source.plan({}, 10**6, 1)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(list(where.read())) == 1
    assert source.identity == f"file:{tmp_path / 'log'}"


def test_files_of_the_configuration_are_named_from_the_root_and_what_is_not_given_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = _absolute(KafkaConfig(ca_file="ca.pem", password_file="/etc/p", prefix="x."))
    assert told == KafkaConfig(ca_file=str(tmp_path / "ca.pem"), password_file="/etc/p", prefix="x.")
