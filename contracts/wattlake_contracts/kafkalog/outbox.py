"""Writing a whole lot of records to Kafka at once, as an import does: to a folder first, and from there."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from wattlake_contracts.amount import amount
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog.partition import partitions
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.log_address import FileLog, KafkaLog
from wattlake_contracts.record import Stored

if TYPE_CHECKING:
    from wattlake_contracts.kafkalog.shipping import Shipper

#: Without any acknowledgement for so long an import gives up and says so. A producer that is stuck is made anew at half of it, or as soon as an agent's.
PATIENCE_S, _STUCK_S = 60.0, 30.0
#: So many records, or places, are named.
_NAMED = 5


class NotAllShippedError(WattlakeError):
    """Some of the records will never come. shipped: how many have."""

    shipped = 0


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
            print(f"\r  to Kafka: {amount(waiting, 'record', 'wait')} \x1b[K" if waiting else "\r\x1b[K", end="", file=sys.stderr, flush=True)

    return show


def ship(root: Path, log: KafkaLog, config: KafkaConfig, progress: Callable[[int], None] | None = None) -> int:
    """Ship a file log until Kafka has all of it; give the number of records.

    WattlakeError if it takes none for a minute; NotAllShippedError, once all the others are shipped, if some could not be read, were
    refused, or are of unknown kinds.
    """
    # kafka-python is not loaded for a file log
    from wattlake_contracts.kafkalog.shipping import Shipper

    shipper = Shipper(root, log, msgspec.structs.replace(config, stuck_s=min(config.stuck_s, _STUCK_S)), replay=False)
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
                raise WattlakeError(f"{amount(waiting, 'record')} could not be shipped: {shipper.trouble or 'no acknowledgement'}", subject=str(log),
                                    next_step="see what is wrong with `wattlake log status`, then run the same command again: nothing counts twice")
            if not busy:
                shipper.wake.wait(0.05)
                shipper.wake.clear()
    finally:
        shipper.close()
    # what was lost does not wait; all of it is counted once the shipper is closed
    if missing := list(_missing(root, shipper)):
        steps = dict.fromkeys(step for _, step in missing)
        error = NotAllShippedError("; ".join(what for what, _ in missing), subject=str(log),
                                   next_step=f"{'; '.join(steps)}; then run the same command again: nothing counts twice")
        error.shipped = shipper.acked
        raise error
    return shipper.acked


def _missing(root: Path, shipper: Shipper) -> Iterator[tuple[str, str]]:
    """(what, next step) of all that was in the folder and did not come to the log."""
    disk = f"see that the disk of {root} is sound"
    if shipper.damaged:
        places = ", ".join(f"{place} ({records})" for place, records, _ in islice(shipper.damages, _NAMED)) or "unknown places"
        yield f"{amount(shipper.damaged, 'record')} could not be read, at {places}{' and more' if len(shipper.damages) > _NAMED else ''}", disk
    if shipper.lost:
        yield f"{amount(shipper.lost, 'record', 'were')} deleted before {'it' if shipper.lost == 1 else 'they'} could be read", disk
    if shipper.refused:
        # the folder that they are kept in may be gone at once
        why = shipper.refusal.partition("; kept in ")[0]
        yield f"{amount(shipper.refused, 'record', 'were')} {why} ({_named(root, shipper.refused)})", \
            "raise max.message.bytes of the topics (`wattlake log init --alter`)"
    if shipper.set_aside:
        yield (f"{amount(shipper.set_aside, 'record', 'are')} of kinds that this version does not know: {shipper.state.unknown_kinds}",
               "use the version that wrote them")


def _named(root: Path, count: int) -> str:
    """Which records were refused last, the first of them by kind and identity."""
    from wattlake_contracts.kafkalog.refusals import REFUSED

    kept = root / REFUSED
    found = [item.record for name in partitions(kept) for item in read(kept, name, *bounds(kept, name)) if isinstance(item, Stored)][-count:]
    return ", ".join(f"{r.meta.kind} {r.ce_id}" for r in found[:_NAMED]) + (" and more" if len(found) > _NAMED else "")
