"""A shipper at work beside a test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from at_work import until
from topics import Topics
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.kafkalog.producer import Producer
from wattlake_contracts.kafkalog.shipping import Shipper
from wattlake_contracts.log_address import KafkaLog


@contextmanager
def shipping_of(root: Path, topics: Topics, make: Callable[[KafkaLog, KafkaConfig], Producer] = Producer) -> Iterator[Shipper]:
    """It ships the spool until the block ends, and has ended then."""
    shipper = Shipper(root, topics.log, topics.config, make=make)
    thread = threading.Thread(target=shipper.run)
    thread.start()
    try:
        yield shipper
    except BaseException:
        # what a test that failed will be asked
        print(f"shipping: {shipper.state}\ntopics apart: {[(topic, one.shipper and one.shipper.state) for topic, one in shipper._held._topics.items()]}")
        raise
    finally:
        shipper.stop.set()
        shipper.wake.set()
        thread.join(30)
        assert not thread.is_alive()


def wait(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Until something holds; where it does not in time that is a failure, and not tried once more."""
    until(condition, what, seconds, AssertionError, 0.05)
