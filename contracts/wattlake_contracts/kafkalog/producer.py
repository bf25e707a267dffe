"""A producer of kafka-python, and how to be rid of one that is stuck."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.kafkalog.security import connection
from wattlake_contracts.log_address import KafkaLog

#: Longer than any outage: a batch that expires leaves an idempotent producer unable ever to send again.
_NEVER_MS = 2**31 - 1
#: How long a call may wait for what the brokers say of a topic.
_METADATA_MS = 5_000
#: kafka-python asks for a topic that it lacks many times a second: what it was told longer ago than this it was told by brokers that may be gone.
_FRESH_MS = 2_000
#: Before compression. A backlog goes in batches of this size, and packs the better the larger they are; even where nothing can be packed it is
#: less than the 1,048,588 bytes that a topic takes unless told otherwise (Kafka's documentation, "max.message.bytes").
_BATCH_BYTES = 960 * 1024
#: No time at all: brokers refuse one that is too far from their own where a topic takes the writers' times. A record tells its own in ce_time.
_NO_TIME = -1

Outcome = Callable[[BaseException | None], None]


class Producer:
    """An idempotent producer with acks from all replicas. Raises what kafka-python raises if no broker answers, UsageError for a missing file."""

    def __init__(self, log: KafkaLog, config: KafkaConfig, *, linger_ms: int = 5) -> None:
        from kafka import KafkaProducer

        # what it says in its own words is for its developers; the shipper says what matters
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        self._producer: Any = KafkaProducer(
            **connection(log, config), acks="all", enable_idempotence=True, compression_type="zstd", linger_ms=linger_ms, batch_size=_BATCH_BYTES,
            max_request_size=config.max_record_bytes + 65_536, delivery_timeout_ms=_NEVER_MS, request_timeout_ms=30_000,
            max_block_ms=_METADATA_MS, reconnect_backoff_max_ms=5_000, allow_auto_create_topics=False,
            metrics_enabled=False)

    def send(self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]], outcome: Outcome) -> None:
        """Hand a message over; outcome hears None once it is acknowledged, else the error, in another thread."""
        from kafka.errors import KafkaTimeoutError

        began = time.monotonic()
        try:
            future = self._producer.send(topic, value=value, key=key, headers=headers, timestamp_ms=_NO_TIME)
        except KafkaTimeoutError as error:
            # so it says where no broker answers, and where they all answer that there is no such topic
            if (fault := self.fault(topic, (time.monotonic() - began) * 1000)) is not None:
                raise fault from error
            raise
        future.add_callback(lambda _: outcome(None))
        future.add_errback(outcome)

    def fault(self, topic: str, within_ms: float = _FRESH_MS) -> BaseException | None:
        """What the brokers have said within so many ms is wrong with a topic that was sent to; None if nothing is, or none of them has answered in these."""
        from kafka.errors import LeaderNotAvailableError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError

        # there is no public way to ask without waiting for an answer
        cluster = self._producer._metadata
        if time.monotonic() * 1000 - cluster._last_successful_refresh_ms > within_ms:
            return None
        led = cluster.available_partitions_for_topic(topic)
        fault = TopicAuthorizationFailedError if topic in cluster.unauthorized_topics else UnknownTopicOrPartitionError if led is None \
            else LeaderNotAvailableError if not led else None
        found: BaseException | None = None if fault is None else fault(topic)
        return found

    def close(self) -> None:
        """Give it up at once. What was not acknowledged may have been written all the same."""
        from kafka.errors import KafkaError

        # close() waits for all that is unsent before it stops anything, and a stuck producer never sends it: there is no public way to stop one
        sender = self._producer._sender
        sender.force_close()
        with suppress(KafkaError):
            self._producer.close(timeout=0)
        self._producer._closed = True
        if sender is not threading.current_thread():
            sender.join(2.0)
