"""Topics of a real Kafka for one test, what is shipped to them, and what others write there."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from wattlake_contracts.config import Config, KafkaConfig
from wattlake_contracts.kafkalog.outbox import NotAllShippedError, ship
from wattlake_contracts.kafkalog.security import connection
from wattlake_contracts.kinds import TOPICS
from wattlake_contracts.log_address import KafkaLog, log_address
from wattlake_pipelines.land.kafka_source import KafkaSource


class Topics:
    """The topics of a prefix. address: as --log takes it. configs: of the topics; brokers take up a change of them only after a while."""

    def __init__(self, address: str, prefix: str, *, partitions: int = 2, replication: int = 1, configs: Mapping[str, str] | None = None,
                 **settings: Any) -> None:
        log = log_address(Config(), address)
        assert isinstance(log, KafkaLog)
        self.log, self.prefix, self.config = log, prefix, KafkaConfig(prefix=prefix, **settings)
        self._wanted = {"num_partitions": partitions, "replication_factor": replication,
                        "configs": {"message.timestamp.type": "LogAppendTime", **(configs or {})}}
        self.create()

    def admin(self) -> Any:
        """A client that may change topics, closed at the end of its `with`."""
        return closing(KafkaAdminClient(**connection(self.log, self.config)))

    def create(self, *names: str) -> None:
        """Make these topics, or all of them."""
        wanted = [self.prefix + name for name in names or TOPICS]
        with self.admin() as admin:
            admin.create_topics(dict.fromkeys(wanted, self._wanted))
            admin.wait_for_topics(wanted)

    def delete(self, *names: str) -> None:
        """Delete these topics. It ends once the broker knows nothing of them: a busy one goes on taking records for a while after it has said so."""
        gone = [self.prefix + name for name in names]
        with self.admin() as admin:
            admin.delete_topics(gone)
            deadline = time.monotonic() + 60
            while not all(topic["error_code"] for topic in admin.describe_topics(gone)):
                assert time.monotonic() < deadline, f"{gone} are still there"
                time.sleep(0.05)

    def drop_before(self, topic: str, partition: int, offset: int) -> None:
        """Delete the records before an offset, as retention does."""
        with self.admin() as admin:
            admin.delete_records({TopicPartition(self.prefix + topic, partition): offset})

    def ship(self, root: Path, missing: int = 0) -> int:
        """Ship all of a file log; give how many records that were. missing: how many cannot be read at most, and must be told if any cannot."""
        try:
            return ship(root, self.log, self.config)
        except NotAllShippedError as error:
            told = re.match(r"([0-9,]+) records? could not be read, at [^;]*$", error.what)
            if told is None or int(told[1].replace(",", "")) > missing:
                raise
            return error.shipped

    def send(self, topic: str, messages: Sequence[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]], partition: int = 0,
             transaction: str | None = None, *, abort: bool = False) -> None:
        """Produce (key, value, headers) as some other program would."""
        with closing(KafkaProducer(**connection(self.log, self.config), transactional_id=transaction)) as producer:
            if transaction is not None:
                producer.init_transactions()
                producer.begin_transaction()
            for key, value, headers in messages:
                producer.send(self.prefix + topic, value=value, key=key, headers=headers, partition=partition)
            producer.flush(30)
            if transaction is not None:
                (producer.abort_transaction if abort else producer.commit_transaction)()

    def source(self, *, accept_gap: bool = False) -> KafkaSource:
        """To land from."""
        return KafkaSource(self.log, self.config, accept_gap=accept_gap)
