"""Which log is landed from, by its address."""

from __future__ import annotations

from pathlib import Path

import msgspec

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.filelog.partition import partitions
from wattlake_contracts.log_address import FileLog, KafkaLog
from wattlake_pipelines.land.source import FileSource, Source


def open_source(address: FileLog | KafkaLog, config: KafkaConfig, *, accept_gap: bool = False) -> Source:
    """The log at an address. WattlakeError if there is none. accept_gap: see KafkaSource; a file log counts what it gave up by itself.

    Workers may have another working folder, as Flink's have: what is named relative to this one is told them as a whole.
    """
    if isinstance(address, FileLog):
        partitions(address.root)
        return FileSource(address.root.absolute())
    from wattlake_pipelines.land.kafka_source import KafkaSource

    return KafkaSource(address, _absolute(config), accept_gap=accept_gap)


def _absolute(config: KafkaConfig) -> KafkaConfig:
    """The same with every file named from the root."""
    files = {name: getattr(config, name) for name in config.__struct_fields__ if name.endswith("_file")}
    return msgspec.structs.replace(config, **{name: str(Path(path).absolute()) for name, path in files.items() if path})
