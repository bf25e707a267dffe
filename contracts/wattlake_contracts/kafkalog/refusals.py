"""Records that no broker takes: found one by one among those of their batch, and set aside."""

from __future__ import annotations

from pathlib import Path

from wattlake_contracts.filelog.partition import LogError, partitions
from wattlake_contracts.filelog.reader import bounds
from wattlake_contracts.kafkalog.aside import open_aside, recover
from wattlake_contracts.kafkalog.lane import Lane
from wattlake_contracts.record import Stored

#: Where such records go; not a partition, by its name.
REFUSED = ".refused"
#: What kafka-python calls it where a broker refuses records, or the whole batch that they are in, and always will.
_ERRORS = frozenset({"MessageSizeTooLargeError", "RecordListTooLargeError", "InvalidRecordError", "InvalidTimestampError"})


def refuses(error: BaseException) -> bool:
    """Whether brokers refuse the record, or its batch, for what it is."""
    return type(error).__name__ in _ERRORS


def refuses_another(error: BaseException) -> bool:
    """Whether they refuse another record of its batch, and this one may be sent again as any other."""
    return "it was part of a batch" in str(error)


class Refusals:
    """Suspects are sent by themselves, with nothing else in flight; what is refused then is set aside, so that it holds up no other.

    count: records that lie there. why: the last one's reason, and where it is kept; '' if there is none. earlier: whether what an
    earlier process set aside counts too. Only the process that ships the spool may have one.
    """

    def __init__(self, root: Path, *, earlier: bool = True) -> None:
        self.root = root
        aside = root / REFUSED
        unread = [why for name in partitions(aside) if (why := recover(root, REFUSED, name))] if earlier and aside.is_dir() else []
        self.count = sum(end - first for first, end in (bounds(aside, name) for name in partitions(aside))) if earlier and aside.is_dir() else 0
        self.why = unread[0] if unread else f"refused earlier; kept in {aside}" if self.count else ""
        self._suspects: set[tuple[str, int]] = set()
        #: the one that is on its way, and the next
        self._alone: tuple[str, int] | None = None
        self._held: tuple[Lane, Stored] | None = None

    @property
    def busy(self) -> bool:
        """Whether one goes by itself now."""
        return self._held is not None or self._alone is not None

    def holds(self, lane: Lane, stored: Stored) -> bool:
        """Whether this record must go by itself; it is then the next that `following` gives."""
        if (lane.partition, stored.offset) not in self._suspects:
            return False
        self._held = (lane, stored)
        return True

    def following(self) -> tuple[Lane, Stored] | None:
        """What to send by itself; None if nothing is. Nothing may be in flight: the one before has been taken."""
        self._suspects.discard(self._alone or ("", -1))
        self._alone = None
        held, self._held = self._held, None
        if held is not None:
            self._alone = (held[0].partition, held[1].offset)
        return held

    def suspect(self, lane: Lane, offset: int, why: str) -> str:
        """It was refused: by itself, and is set aside, or with others, and is to go by itself. Gives what set_aside gives."""
        if self._alone != (lane.partition, offset):
            self._suspects.add((lane.partition, offset))
            return ""
        self._suspects.discard(self._alone)
        return self.set_aside(lane, offset, why)

    def set_aside(self, lane: Lane, offset: int, why: str) -> str:
        """Keep a record that no broker takes where nothing sends it; why that cannot be, '' if it is done."""
        stored = lane.kept(offset)
        if stored is None:
            return ""
        record = stored.record
        try:
            with open_aside(self.root, REFUSED, lane.partition.rpartition("/")[2]) as aside:
                aside.append(record.meta, record.seq, record.payload, record.appended_ms)
        except (OSError, LogError) as error:
            return f"a record was refused ({why}), and cannot be set aside: {error}"
        self.count += 1
        self.why = f"refused: {why}; kept in {self.root / REFUSED}"
        lane.acknowledge(offset)
        return ""

    def forget(self) -> None:
        """The producer is made anew: what was on its way by itself is sent again so."""
        self._alone = self._held = None
