"""A producer of kafka-python, and how to be rid of one that is stuck."""

from __future__ import annotations

import logging
import threading
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
        future = self._producer.send(topic, value=value, key=key, headers=headers, timestamp_ms=_NO_TIME)
        future.add_callback(lambda _: outcome(None))
        future.add_errback(outcome)

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
