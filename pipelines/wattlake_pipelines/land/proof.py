"""What is committed was read: each range says so itself, on the way that its rows take, and the committer moves the log's positions by nothing else.

A runner that drops an element, a reader that ends early or a worker that loses a piece must fail the round: an offset that goes
past what was not read would be a hole that nobody ever finds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec
import pyarrow as pa

from wattlake_contracts.amount import amount
from wattlake_contracts.errors import WattlakeError
from wattlake_pipelines.lake.manifest import Span
from wattlake_pipelines.land.source import Range

_LENGTH_BYTES = 8


class UnprovenError(WattlakeError):
    """Not all of a round came back from its workers; nothing of it is committed."""


@dataclass(frozen=True)
class RangeRead:
    """A worker has read a range, up to offset `reached`. pieces: the names of all that it made of its readings. weight_bytes: see Weight."""

    span: Span
    pieces: list[str]
    reached: int
    weight_bytes: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether it was read to its end; else it was too much for a round."""
        return self.reached == self.span[3]


def span(where: Range) -> Span:
    """What a range stands for: its offsets, and those before it that the log no longer holds."""
    return where.log, where.partition, where.start - where.gone, where.end


def with_proof(body: bytes, read: RangeRead) -> bytes:
    """One run of bytes with the body first, so that Arrow finds it aligned."""
    said = msgspec.json.encode(read)
    return b"".join((body, said, len(said).to_bytes(_LENGTH_BYTES, "little")))


def without_proof(raw: bytes) -> tuple[pa.Buffer, RangeRead]:
    """The inverse of with_proof; the body shares the bytes."""
    end = len(raw) - _LENGTH_BYTES
    begin = end - int.from_bytes(raw[end:], "little")
    return pa.py_buffer(raw).slice(0, begin), msgspec.json.decode(memoryview(raw)[begin:end], type=RangeRead)


def proven(ranges: Sequence[Range], read: Sequence[RangeRead], written: Collection[str]) -> tuple[Span, ...]:
    """The spans of the ranges, once every one of them was read to its end and every piece of them is written.

    read: what the workers say of ranges. written: the pieces that went into files. UnprovenError if a
    range is missing, is not the one that was asked for, or a piece got lost or came twice.
    """
    asked, told = [span(r) for r in ranges], [r.span for r in read if r.is_whole]
    if sorted(asked) != sorted(told):
        missing, strange = sorted(set(asked) - set(told)), sorted(set(told) - set(asked))
        which = missing or strange or sorted(s for s in set(told) if told.count(s) > 1)
        _, partition, start, end = which[0]
        what = (f"{len(missing)} of {len(asked)} ranges were not read to their end" if missing else
                f"{len(which)} ranges were read that nobody asked for" if strange else f"{len(which)} of {len(asked)} ranges were read twice")
        raise UnprovenError(f"{what}; the first: offsets {start} to {end} of {partition}", subject=asked[0][0] if asked else "", next_step=_AGAIN)
    pieces = [name for r in read for name in r.pieces]
    if sorted(pieces) != sorted(written):
        lost = set(pieces) - set(written)
        what = f"{len(lost)} of {amount(len(pieces), 'piece')} of readings {'was' if len(lost) == 1 else 'were'} read and not written" if lost else \
             "pieces of readings were written that no range made"
        raise UnprovenError(what, subject=asked[0][0] if asked else "", next_step=_AGAIN)
    return tuple(asked)


_AGAIN = "nothing of the round was committed: run the same command again; if it stays so, without Beam's options, for the runner loses work"
