"""How much memory a range takes on its way into the lake: the records of one may be a thousand times as large as those of another."""

from __future__ import annotations

from wattlake_contracts.record import JSON, Record
from wattlake_pipelines.decode import Decoded

#: What goes to the book lies in memory so many times over: as rows, on its way between two workers, and as it is written.
#: Readings lie there but for a moment: they wait in files.
BOOK_COPIES = 8
#: A row's identity, and what a reject takes beside its body.
_IDENTITY_BYTES, _REJECT_BYTES = 64, 512


class Weight:
    """What has been read of a range so far. bound_bytes: what it may weigh, one record apart; 0 where the range was measured before.

    bytes: what it weighs. reached: the offset up to which it was read.
    """

    def __init__(self, start: int, bound_bytes: int = 0) -> None:
        self.bytes, self.reached, self._bound_bytes = 0, start, bound_bytes

    @property
    def is_too_much(self) -> bool:
        """Whether it is over its bound."""
        return 0 < self._bound_bytes < self.bytes

    def reading(self, payload_bytes: int) -> None:
        """A record of readings."""
        self.bytes += payload_bytes

    def waits(self, payload_bytes: int) -> None:
        """A record for the book, not decoded yet, or one that is kept whole."""
        self.bytes += BOOK_COPIES * payload_bytes

    def decoded(self, record: Record, made: Decoded) -> None:
        """The same, now as rows: few bytes may be many rows."""
        rows, columns = made.part.num_rows, made.part.whole.num_columns
        # of JSON, whose texts are no longer than it is, a guess will do: to ask each of many small tables takes long
        is_json = record.meta.content_type.startswith(JSON)
        table_bytes = 8 * rows * columns if is_json else made.table.nbytes - len(record.payload)
        self.bytes += BOOK_COPIES * max(0, table_bytes + _IDENTITY_BYTES * rows)

    def reject(self, body_bytes: int) -> None:
        """A reject."""
        self.bytes += BOOK_COPIES * (body_bytes + _REJECT_BYTES)
