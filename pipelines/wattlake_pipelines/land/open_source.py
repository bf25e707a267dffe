"""Which log is landed from, by its address."""

from __future__ import annotations

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.filelog.partition import partitions
from wattlake_contracts.log_address import FileLog, KafkaLog
from wattlake_pipelines.land.source import FileSource, Source


def open_source(address: FileLog | KafkaLog, config: KafkaConfig, *, accept_gap: bool = False) -> Source:
    """The log at an address. WattlakeError if there is none. accept_gap: see KafkaSource; a file log counts what it gave up by itself."""
    if isinstance(address, FileLog):
        partitions(address.root)
        return FileSource(address.root)
    from wattlake_pipelines.land.kafka_source import KafkaSource

    return KafkaSource(address, config, accept_gap=accept_gap)
