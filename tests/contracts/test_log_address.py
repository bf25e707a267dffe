"""Where the log is, as its users write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattlake_contracts.config import Config, KafkaConfig, data_home
from wattlake_contracts.errors import UsageError
from wattlake_contracts.log_address import FileLog, KafkaLog, lake_root, log_address, spool_root


@pytest.mark.parametrize(("text", "address"), [
    ("file:/var/log", FileLog(Path("/var/log"))), ("file:here", FileLog(Path("here"))),
    ("kafka:broker-1:9092", KafkaLog(("broker-1:9092",))), ("kafka:a.example:9092, b.example:9093", KafkaLog(("a.example:9092", "b.example:9093"))),
    ("kafka:[::1]:9092", KafkaLog(("[::1]:9092",))),
])
def test_an_address_names_a_folder_or_brokers(text: str, address: FileLog | KafkaLog) -> None:
    assert log_address(Config(), text) == log_address(Config(log=text)) == address
    assert log_address(Config(), address.address) == address


@pytest.mark.parametrize("text", ["kafka:", "kafka:host", "kafka:host:0", "kafka:host:70000", "kafka:host:9092,", "kafka://host:9092", "/var/log",
                                  "file:", "s3:x"])
def test_what_is_no_address_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(UsageError, match="kafka:HOST:PORT"):
        log_address(Config(), text)


def test_writers_of_a_log_on_kafka_write_to_the_spool(tmp_path: Path) -> None:
    assert spool_root(Config(), "kafka:h:1") == data_home() / "spool"
    assert spool_root(Config(kafka=KafkaConfig(spool_dir=str(tmp_path))), "kafka:h:1") == tmp_path
    assert spool_root(Config(), "file:/l") == Path("/l")
    assert lake_root(Config(), None, "kafka:h:1") == data_home() / "lake"
