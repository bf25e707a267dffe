"""What a broker has written to its disk of a topic: the headers of its record batches, read from its files with no client of Kafka's.

The layout is that of Kafka's documentation, "Record Batch" (magic 2): a header of 61 bytes, and the records behind it, packed together.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from wattlake_pipelines.dev.kafka import Broker

#: What comes before a batch's length begins to count.
_BEFORE_BYTES = 12
_HEADER = struct.Struct(">qiibIhiqqqhii")
_CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


class Batch(NamedTuple):
    """The header of a record batch. body: its records as they lie there, packed with `codec`."""

    partition: int
    first_offset: int
    codec: str
    is_control: bool
    producer_id: int
    producer_epoch: int
    first_sequence: int
    records: int
    body: bytes


def batches(broker: Broker, topic: str) -> list[Batch]:
    """Every batch of all partitions of a topic that this broker holds, in the order of their offsets; AssertionError where the files hold anything else.

    Nothing may be on its way to the topic: a batch that is just being written is none yet.
    """
    return [batch for segment in segments(broker, topic) for batch in _of_segment(segment.read_bytes(), int(segment.parent.name.rpartition("-")[2]))]


def segments(broker: Broker, topic: str) -> list[Path]:
    """The files that hold a topic's records on this broker, by partition."""
    return sorted(broker.data.glob(f"{topic}-*/*.log"))


def _of_segment(data: bytes, partition: int) -> Iterator[Batch]:
    at = 0
    while at < len(data):
        offset, length, _, magic, _, attributes, last_delta, _, _, producer, epoch, sequence, count = _HEADER.unpack_from(data, at)
        assert magic == 2, f"at {at} stands a batch of magic {magic}"
        assert last_delta == count - 1, "nothing was compacted away"
        end = at + _BEFORE_BYTES + length
        assert at + _HEADER.size <= end <= len(data), f"the batch at {at} is torn"
        yield Batch(partition, offset, _CODECS[attributes & 7], bool(attributes & 32), producer, epoch, sequence, count, data[at + _HEADER.size : end])
        at = end


def by_producer(found: Sequence[Batch]) -> dict[tuple[int, int, int], list[Batch]]:
    """The batches of each producer in each partition, in their order, by (partition, producer's id, its epoch)."""
    made: dict[tuple[int, int, int], list[Batch]] = {}
    for batch in found:
        made.setdefault((batch.partition, batch.producer_id, batch.producer_epoch), []).append(batch)
    return made
