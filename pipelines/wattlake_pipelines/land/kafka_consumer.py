"""The consumers with which a worker reads ranges: made once, lent to one range at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.kafkalog.security import connection, fingerprint
from wattlake_contracts.log_address import KafkaLog

#: Those that nobody reads with now, and the fingerprint of what each was let in with. A list's append and pop are whole, whichever thread calls them.
_IDLE: dict[tuple[tuple[str, ...], KafkaConfig], list[tuple[object, Any]]] = {}


@contextmanager
def consumer_for(servers: tuple[str, ...], config: KafkaConfig) -> Iterator[Any]:
    """A KafkaConsumer that nobody else uses until the block ends.

    Where a consumer stands is a state of its own: were it lent to two ranges at once, as a worker of several threads reads
    them, one would move it past the other's end, and that other would seem to be read. One that has failed is not lent again,
    nor is one that was made with a certificate or password that has been renewed since.
    """
    idle, let_in_with = _IDLE.setdefault((servers, config), []), fingerprint(config)
    consumer = _taken(idle, let_in_with) or _made(servers, config)
    try:
        yield consumer
    except GeneratorExit:
        # a reader that has seen enough; the next one says where it begins
        idle.append((let_in_with, consumer))
        raise
    except BaseException:
        consumer.close(autocommit=False)
        raise
    idle.append((let_in_with, consumer))


def _taken(idle: list[tuple[object, Any]], let_in_with: object) -> Any:
    """One of the idle ones; None if none is of use any more."""
    while idle:
        try:
            before, consumer = idle.pop()
        except IndexError:  # another thread was quicker
            return None
        if before == let_in_with:
            return consumer
        consumer.close(autocommit=False)
    return None


def _made(servers: tuple[str, ...], config: KafkaConfig) -> Any:
    from kafka import KafkaConsumer

    from wattlake_pipelines.land.kafka_batches import install

    install()
    # what it says in its own words is for its developers
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    return KafkaConsumer(**connection(KafkaLog(servers), config), group_id=None, enable_auto_commit=False, auto_offset_reset="none",
                         isolation_level="read_committed", max_partition_fetch_bytes=16 * 2**20, fetch_max_bytes=64 * 2**20,
                         max_poll_records=2_000, check_crcs=True, metrics_enabled=False,
                         # one that was idle while brokers were away would wait half a minute more
                         reconnect_backoff_max_ms=1_000)
