"""What part of a log a round of landing takes: bounded ranges of offsets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog.partition import partitions, written
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.record import Damage, Stored
from wattlake_pipelines.land.node_keys import NO_KEYS, NodeKeys


@dataclass(frozen=True)
class Withheld:
    """A part of a log that cannot be landed from. subject: its name. why, next_step: for the user."""

    subject: str
    why: str
    next_step: str


class Range(Protocol):
    """Offsets [start, end) of one partition of a log.

    gone: records before start that the log no longer holds; negative where the log has lost its end: it stands so many before
    where landing stood.
    """

    @property
    def log(self) -> str:
        """The name under which the log's positions are kept."""

    @property
    def partition(self) -> str:
        """The name of the partition there."""

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...

    @property
    def gone(self) -> int: ...

    @property
    def place(self) -> str:
        """The boot under which records of this partition are booked that have no identity but their offset; '' where there are none such."""

    @property
    def keys(self) -> NodeKeys:
        """What the records of some nodes must be signed with. `read` gives none of these nodes' that is not."""

    @property
    def bound_bytes(self) -> int:
        """Who reads it ends before its end where what was read weighs more (see Weight), one record apart; 0: it does not."""

    def with_keys(self, keys: NodeKeys) -> Range:
        """The same range, to be read by these keys. A file log knows no signatures: whoever may write its files is trusted."""

    def read(self) -> Iterator[Stored | Damage]:
        """What is in it, in order. Who has had all of it has read the range to its end: WattlakeError where that cannot be."""


class Measured(NamedTuple):
    """What a worker says of a range: up to which offset it was read, and how much of a round's bytes that took."""

    where: Any
    reached: int
    weight_bytes: int


class Source(Protocol):
    """A log to land from."""

    @property
    def identity(self) -> str:
        """The name under which its positions are kept."""

    @property
    def withheld(self) -> Sequence[Withheld]:
        """What could not be landed from when the log was last looked at; the rest goes on without it."""

    def ends(self) -> Mapping[str, int]:
        """Partition → the offset after the last record that it holds now."""

    def confirm(self, ranges: Sequence[Any]) -> None:
        """Make sure, before they are committed, that the ranges were read from what they were planned for. WattlakeError if not."""

    def learn(self, measured: Sequence[Measured]) -> None:
        """Hear how large the ranges of a round were, so that the next ones are planned by that."""

    def plan(self, positions: Mapping[str, int], max_bytes: int, pieces: int, upto: Mapping[str, int] | None = None) -> Sequence[Range]:
        """Ranges that hold about max_bytes of what has not landed yet; empty when all has. None is larger than a bound that it bears, or its only record.

        positions: partition → first offset not landed. pieces: cut each stretch into this many ranges
        at least (they are elements of their own, so that workers share them). upto: what `ends` said, and nothing beyond it.
        """


@dataclass(frozen=True)
class FileRange:
    """A range of a file log."""

    log: str
    root: str
    partition: str
    start: int
    end: int
    gone: int = 0
    place: ClassVar[str] = ""
    keys: ClassVar[NodeKeys] = NO_KEYS
    bound_bytes: ClassVar[int] = 0

    def with_keys(self, keys: NodeKeys) -> FileRange:
        """See Range."""
        return self

    def read(self) -> Iterator[Stored | Damage]:
        """What is in it, in order. WattlakeError if any of its offsets is neither there nor told as damage: a bounded log drops its oldest segments."""
        reached = self.start
        for item in read(Path(self.root), self.partition, self.start, self.end):
            if item.offset != reached:
                break
            reached = item.offset + (item.records if isinstance(item, Damage) else 1)
            yield item
        if reached != self.end:
            raise WattlakeError(f"offsets {reached} to {self.end} are no longer there", subject=f"{self.root} {self.partition}",
                                next_step="run the same command again: it counts what the log has given up")


def log_identity(root: Path) -> str:
    """The name under which a file log's positions are kept."""
    return f"file:{root.resolve()}"


class FileSource:
    """A file log. root: its folder."""

    #: A folder is there as a whole, or it is not.
    withheld: Sequence[Withheld] = ()

    def __init__(self, root: Path) -> None:
        self.root = root
        self.identity = log_identity(root)

    def confirm(self, ranges: Sequence[FileRange]) -> None:
        """See Source: partitions are never made anew under a name that they had."""

    def learn(self, measured: Sequence[Measured]) -> None:
        """See Source: how large a segment is stands there before it is read."""

    def ends(self) -> dict[str, int]:
        """See Source."""
        return {partition: bounds(self.root, partition)[1] for partition in partitions(self.root)}

    def plan(self, positions: Mapping[str, int], max_bytes: int, pieces: int = 1, upto: Mapping[str, int] | None = None) -> list[FileRange]:
        """See Source."""
        return plan(self.root, positions, max_bytes, pieces, upto)


def plan(root: Path, positions: Mapping[str, int], max_bytes: int, pieces: int = 1, upto: Mapping[str, int] | None = None) -> list[FileRange]:
    """See Source.plan. Every partition gives a segment in turn, so that one that is written to without end holds up no other."""
    waiting: list[list[tuple[FileRange, int]]] = []
    for partition in partitions(root):
        first, end = bounds(root, partition)
        if upto is not None:
            end = min(end, upto.get(partition, 0))
        position = positions.get(partition, 0)
        start = max(first, position)
        stretches = [(max(base, start), stop, size) for base, stop, size in _stretches(root / partition, end) if stop > start]
        waiting.append([(FileRange(log_identity(root), str(root), partition, begin, stop, 0 if at else max(0, first - position)), size)
                        for at, (begin, stop, size) in enumerate(stretches)])
    taken_bytes = 0
    chosen = [0] * len(waiting)
    for turn in range(max(map(len, waiting), default=0)):
        for at, listed in enumerate(waiting):
            if turn < len(listed) and taken_bytes < max_bytes:
                chosen[at], taken_bytes = turn + 1, taken_bytes + listed[turn][1]
    return [part for at, found in enumerate(waiting) for whole, _ in found[: chosen[at]] for part in _cut(whole, pieces)]


def _stretches(folder: Path, end: int) -> list[tuple[int, int, int]]:
    """(first offset, end offset, bytes) of each segment up to the durable end."""
    listed = written(folder)
    return [(base, min(end, listed[i + 1][0] if i + 1 < len(listed) else end), size) for i, (base, _, size) in enumerate(listed)]


def _cut(whole: FileRange, pieces: int) -> list[FileRange]:
    step = max(1, -(-(whole.end - whole.start) // pieces))
    return [
        FileRange(whole.log, whole.root, whole.partition, at, min(at + step, whole.end), whole.gone if at == whole.start else 0)
        for at in range(whole.start, whole.end, step)
    ]
