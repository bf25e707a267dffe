"""How much of a round each range gets, where brokers do not say how large a stretch of offsets is."""

from __future__ import annotations

from collections.abc import Sequence

from wattlake_contracts.kinds import READINGS, USAGE
from wattlake_pipelines.land.source import Measured

#: No record is taken for less: what is small as a message takes memory as a record all the same.
RECORD_BYTES = 8 * 1024
#: What one of a topic is taken for until some were read: a minute's readings of a node with eight GPUs are about so large.
_GUESSED_BYTES = {READINGS.name: 64 * 1024, USAGE.name: 64 * 1024}


class Shares:
    """What was learned so far of the records of each topic."""

    def __init__(self) -> None:
        self._record_bytes: dict[str, int] = {}
        self._turn = 0

    def record_bytes(self, topic: str) -> int:
        """What a record of a topic is taken for."""
        return self._record_bytes.get(topic, _GUESSED_BYTES.get(topic, RECORD_BYTES))

    def learn(self, measured: Sequence[Measured]) -> None:
        """Hear how large the ranges of a round were.

        What was too much counts as it is, and at least twice what was thought; then no other topic is thought smaller of, for the round is
        planned anew: only ever upwards, that comes to an end. Else it is the mean; smaller records are believed in by and by, for a topic
        may hold large and small ones in turn.
        """
        is_anew = any(m.reached < m.where.end for m in measured)
        for topic in {m.where.topic for m in measured}:
            mine = [m for m in measured if m.where.topic == topic and m.reached > m.where.start]
            before = self.record_bytes(topic)
            if too_much := [m for m in mine if m.reached < m.where.end]:
                self._record_bytes[topic] = max(2 * before, *(_each(m.weight_bytes, m.reached - m.where.start) for m in too_much))
            elif mine:
                mean = _each(sum(m.weight_bytes for m in mine), sum(m.reached - m.where.start for m in mine))
                self._record_bytes[topic] = max(RECORD_BYTES, mean, before if is_anew else before // 2)

    def divide(self, max_bytes: int, waiting: Sequence[tuple[str, int]]) -> list[int]:
        """How many records a round takes of each partition, of which (topic, records) wait.

        All get as much, so that none holds up the others, and what one does not need the others have. Those whose next record is larger
        than that get one in turn, as many of them as their part of the round has room for, and at least one in each round; the others
        have half of the round at least even then.
        """
        sizes = [self.record_bytes(topic) for topic, _ in waiting]
        counts = [count for _, count in waiting]
        taken = _levelled(max_bytes, counts, sizes)
        large = [at for at, count in enumerate(counts) if count > 0 and not taken[at]]
        if not large:
            return taken
        room_bytes, used_bytes, first = max_bytes * len(large) // sum(count > 0 for count in counts), 0, self._turn % len(large)
        chosen: list[int] = []
        for at in large[first:] + large[:first]:
            if chosen and used_bytes + sizes[at] > room_bytes:
                break
            chosen.append(at)
            used_bytes += sizes[at]
        self._turn += len(chosen)
        taken = _levelled(max(max_bytes - used_bytes, max_bytes // 2), [0 if at in large else count for at, count in enumerate(counts)], sizes)
        for at in chosen:
            taken[at] = 1
        return taken

    def bounds(self, max_bytes: int, ranges: Sequence[tuple[str, int]]) -> list[int]:
        """What each range, of (topic, records), may weigh at most: by what its records are taken for, and as much again, shared out evenly.

        So a round is about twice what it should be at most, and one that takes all that there is does not fail for a few records that are
        larger than was thought.
        """
        thought = [records * self.record_bytes(topic) for topic, records in ranges]
        total, filled = max(1, sum(thought)), max(1, sum(size > 0 for size in thought))
        return [size * max(max_bytes, total) // total + max_bytes // filled for size in thought]


def _levelled(max_bytes: int, counts: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """How many of so many records of these sizes each gets, if none gets more bytes than another that is in want."""
    left_bytes, level_bytes = max_bytes, 0
    needs = sorted(count * size for count, size in zip(counts, sizes, strict=True))
    for at, need in enumerate(needs):
        level_bytes = left_bytes // (len(needs) - at)
        if need > level_bytes:
            break
        left_bytes, level_bytes = left_bytes - need, need
    return [min(count, level_bytes // size) for count, size in zip(counts, sizes, strict=True)]


def _each(weight_bytes: int, records: int) -> int:
    return -(-weight_bytes // records)
