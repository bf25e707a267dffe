"""A topic that takes no records, with the shipper that asks it again, and what such shippers have done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wattlake_contracts.errors import WattlakeError

if TYPE_CHECKING:
    from wattlake_contracts.kafkalog.shipping import Shipper

#: A topic is held for so long at least: one that comes and goes must not keep the others busy with new producers.
AT_LEAST_S = 5.0


class TopicApart:
    """One topic. folder: its spool. why: what it was held for."""

    def __init__(self, folder: Path, why: str) -> None:
        self.folder, self.why = folder, why
        self.since_ms = time.time_ns() // 1_000_000
        self.until = time.monotonic() + AT_LEAST_S
        self.shipper: Shipper | None = None
        self.thread: threading.Thread | None = None
        #: since when nothing has waited
        self.empty_at: float | None = None

    @property
    def holds(self) -> bool:
        """Whether its records must wait apart."""
        return self.shipper is None or not self.shipper.flows or time.monotonic() < self.until

    def start(self, make: Callable[[Path], Shipper]) -> None:
        """Begin to ship it. Where that cannot be, `why` says so, and it can be tried again."""
        try:
            self.shipper = make(self.folder)
        except (OSError, WattlakeError) as error:  # a full disk, or the shipper before is not at its end
            self.why = self.why or str(error).splitlines()[0]
            return
        self.thread = threading.Thread(target=self.shipper.run, name=f"ship {self.folder.name}", daemon=True)
        self.thread.start()

    def end(self) -> None:
        """Have its shipper end."""
        if self.shipper is not None:
            self.shipper.stop.set()
            self.shipper.wake.set()

    @property
    def alive(self) -> bool:
        """Whether its shipper has not ended yet."""
        return self.thread is not None and self.thread.is_alive()


class Done(NamedTuple):
    """What has been done. acked, lost, damaged, refused: records, of shippers that have ended. running: those that count on.

    Other threads read the sums: a shipper goes from one part to the other in one step, so that none is missing or counts twice meanwhile.
    """

    acked: int = 0
    lost: int = 0
    damaged: int = 0
    refused: int = 0
    running: tuple[Shipper, ...] = ()

    def ended(self, shipper: Shipper) -> Done:
        """With what a shipper, that counts no more, has done."""
        if shipper not in self.running:
            return self
        return Done(self.acked + shipper.acked, self.lost + shipper.lost, self.damaged + shipper.damaged, self.refused + shipper.refused,
                     tuple(one for one in self.running if one is not shipper))
