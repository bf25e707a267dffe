"""Writing a whole lot of records to Kafka at once, as an import does: to a folder first, and from there."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.log_address import FileLog, KafkaLog

#: Without any acknowledgement for so long an import gives up and says so.
PATIENCE_S = 60.0


@contextmanager
def outbox(address: FileLog | KafkaLog, config: KafkaConfig, progress: Callable[[int], None] | None = None) -> Iterator[Path]:
    """The folder to write a file log to; at the end all of it is on the log.

    progress: hears how many records wait for Kafka. WattlakeError if they could not be shipped:
    nothing is lost then that is not written by the same command again, and none of it counts twice.
    """
    if isinstance(address, FileLog):
        yield address.root
        return
    with tempfile.TemporaryDirectory(prefix="wattlake-outbox-") as folder:
        yield Path(folder)
        ship(Path(folder), address, config, progress)


def shipping_line() -> Callable[[int], None] | None:
    """A progress for `outbox` that shows the number of waiting records on a terminal; None elsewhere."""
    if not sys.stderr.isatty():
        return None
    shown = 0.0

    def show(waiting: int) -> None:
        nonlocal shown
        if time.monotonic() - shown > 0.1 or not waiting:
            shown = time.monotonic()
            print(f"\r  to Kafka: {waiting:,} records wait \x1b[K" if waiting else "\r\x1b[K", end="", file=sys.stderr, flush=True)

    return show


def ship(root: Path, log: KafkaLog, config: KafkaConfig, progress: Callable[[int], None] | None = None) -> int:
    """Ship a file log until Kafka has all of it; give the number of records. WattlakeError if it takes none for a minute."""
    # kafka-python is not loaded for a file log
    from wattlake_contracts.kafkalog.shipping import Shipper

    shipper = Shipper(root, log, config, replay=False)
    try:
        heard, acked = time.monotonic(), 0
        while True:
            busy = shipper.step()
            waiting = shipper.backlog()
            if progress is not None:
                progress(waiting)
            if not waiting:
                break
            if shipper.acked > acked:
                heard, acked = time.monotonic(), shipper.acked
            if time.monotonic() - heard > PATIENCE_S:
                raise WattlakeError(f"{waiting} records could not be shipped: {shipper.trouble or 'no acknowledgement'}", subject=str(log),
                                    next_step="see what is wrong with `wattlake log status`, then run the same command again: nothing counts twice")
            if not busy:
                shipper.wake.wait(0.05)
                shipper.wake.clear()
        if shipper.refused:
            raise WattlakeError(f"{shipper.refused} records were {shipper.refusal}", subject=str(log),
                                next_step="raise max.message.bytes of the topics")
        return shipper.acked
    finally:
        shipper.close()
