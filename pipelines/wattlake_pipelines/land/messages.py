"""Readings of a range of the log as pieces, message by message.

An agent says the same in every message but for the numbers. So a message is compared with the one
of its writer and length that was decoded and checked before: where all bytes but those of ts_ms and
energy_mj are the same, its texts need neither be decoded nor looked at, and its numbers are copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_contracts.kinds import READINGS
from wattlake_contracts.record import ARROW, Meta, Record
from wattlake_pipelines.land.piece import RECORDS, ReadingPiece
from wattlake_pipelines.land.runs import ATTRIBUTES, Ints, Runs, cut_at_hours, gather_index, to_runs
from wattlake_pipelines.rowcheck import within_bounds

#: Rows of a piece: few enough to stay in the processor's cache and in memory that is already there.
_ROWS = 1 << 17
#: How many forms of messages are remembered; each is about as large as a message.
_FORMS = 256
#: What a reading says of itself if it says nothing (import and agent always do).
READING_DEFAULTS = {"device_kind": "other", "epoch": "0", "boundary": "component", "simulated": False}

#: (good rows, the number of the record that each came in); takes (record, rows as decoded) and sees to the rejects.
Check = Callable[[Sequence[tuple[Record, pa.Table]]], tuple[pa.Table, np.ndarray]]


@dataclass(frozen=True)
class _Form:
    """A message without its numbers. head, gap, tail: its bytes before, between and after the two columns of numbers.

    starts, text: its runs, and the texts of each.
    """

    head: bytes
    gap: bytes
    tail: bytes
    rows: int
    ts_at: int
    energy_at: int
    starts: Ints
    text: Ints

    def fits(self, payload: bytes) -> bool:
        """Whether a message of the same length is this one but for its numbers."""
        low, high = sorted((self.ts_at, self.energy_at))
        return payload.startswith(self.head) and payload.endswith(self.tail) and payload[low + 8 * self.rows : high] == self.gap


class Messages:
    """Collects the readings of a range.

    check: see Check; asked for messages of an unknown form, and for all where one holds a bad number.
    """

    def __init__(self, check: Check) -> None:
        self._check = check
        self._forms: dict[tuple[Meta, int], _Form] = {}
        self._texts: list[pa.Table] = []
        self._text_count = 0
        self._ts, self._value = np.empty(_ROWS, np.int64), np.empty(_ROWS, np.int64)
        self._clear()

    def _clear(self) -> None:
        self._rows = 0
        self._records: list[Record] = []
        self._identities: list[tuple[str, str, str, int, int, int]] = []
        self._first: list[int] = []
        self._starts: list[Ints] = []
        self._text: list[Ints] = []

    def known(self, record: Record, crc: int) -> bool:
        """Take a message of a form seen before; False if it is of none."""
        payload = record.payload
        form = self._forms.get((record.meta, len(payload)))
        if form is None or not isinstance(payload, bytes) or not form.fits(payload):
            return False
        at = self._room(form.rows)
        self._ts[at : at + form.rows] = np.frombuffer(payload, np.int64, form.rows, form.ts_at)
        self._value[at : at + form.rows] = np.frombuffer(payload, np.int64, form.rows, form.energy_at)
        self._starts.append(form.starts + at)
        self._text.append(form.text)
        self._note(record, crc, at)
        return True

    def decoded(self, found: Sequence[tuple[Record, int, pa.Table]]) -> None:
        """Take messages of unknown forms: (record, crc, rows)."""
        given = sum(table.num_rows for _, _, table in found)
        good, record_of = self._check([(record, table) for record, _, table in found])
        if good.num_rows == 0:
            return
        runs = to_runs(good, np.flatnonzero(np.diff(record_of, prepend=-1)))
        base, self._text_count = self._text_count, self._text_count + runs.texts.num_rows
        self._texts.append(runs.texts)
        at = self._room(good.num_rows)
        self._ts[at : at + good.num_rows], self._value[at : at + good.num_rows] = runs.ts_ms, runs.value
        of_run = record_of[runs.starts]
        for number in np.unique(of_run).tolist():
            record, crc, _ = found[number]
            low, high = np.searchsorted(of_run, [number, number + 1])
            first = int(runs.starts[low])
            self._starts.append(runs.starts[low:high] + at)
            self._text.append(runs.text[low:high] + base)
            self._note(record, crc, at + first)
            if good.num_rows == given:
                self._learn(record, runs.starts[low:high] - first, runs.text[low:high] + base)

    def _note(self, record: Record, crc: int, at: int) -> None:
        meta = record.meta
        self._first.append(at)
        # without its payload: only its name is needed any more
        self._records.append(Record(meta, record.seq, record.appended_ms, b"", crc))
        self._identities.append((meta.kind, meta.node, meta.boot, record.seq, record.appended_ms, crc))

    def _room(self, rows: int) -> int:
        """The place of so many more rows; what is full must have been taken out before (see `full`)."""
        at, self._rows = self._rows, self._rows + rows
        if self._rows > len(self._ts):
            size = max(self._rows, 2 * len(self._ts))
            self._ts, self._value = np.resize(self._ts, size), np.resize(self._value, size)
        return at

    @property
    def full(self) -> bool:
        """Whether there is enough for a piece."""
        return self._rows >= _ROWS * 3 // 4

    def _learn(self, record: Record, starts: Ints, text: Ints) -> None:
        # in JSON no two messages have their numbers at the same places
        if record.meta.content_type.partition(";")[0].strip().lower() != ARROW:
            return
        if len(self._forms) >= _FORMS:
            self._forms.clear()
        if isinstance(record.payload, bytes) and (places := _places(record.payload)) is not None:
            ts_at, energy_at, rows = places
            low, high = sorted((ts_at, energy_at))
            payload = record.payload
            form = _Form(payload[:low], payload[low + 8 * rows : high], payload[high + 8 * rows :], rows, ts_at, energy_at, starts, text)
            self._forms[record.meta, len(payload)] = form

    def take_out(self) -> Iterator[ReadingPiece]:
        """What is there, checked, as a piece; and begin anew."""
        if not self._rows:
            return
        ts_ms, value = self._ts[: self._rows], self._value[: self._rows]
        starts, text = np.concatenate(self._starts), np.concatenate(self._text)
        texts = pa.concat_tables(self._texts)
        used, text = np.unique(text, return_inverse=True)
        texts = texts.take(pa.array(used)).combine_chunks()
        first = np.array(self._first)
        earliest = min(r.appended_ms for r in self._records)
        is_power = texts["power"].to_numpy()
        numbers = {"ts_ms": ts_ms, "power_mw" if is_power.all() else "energy_mj": value}
        if is_power.any() and not is_power.all():
            of_row = np.repeat(is_power[text], np.diff(starts, append=len(ts_ms)))
            numbers = {"ts_ms": ts_ms, "power_mw": value[of_row], "energy_mj": value[~of_row]}
        if within_bounds(numbers, READINGS, earliest):
            begins, of = cut_at_hours(ts_ms, starts)
            runs = Runs(ts_ms, value, begins, np.diff(begins, append=len(ts_ms)), text[of].astype(np.int64), _filled(texts))
            record_of = np.searchsorted(first, begins, side="right") - 1
        else:
            runs, record_of = self._sieved(ts_ms, value, starts, text, texts, first)
        columns = list(zip(*self._identities, strict=True))
        records = pa.table([pa.array(c, f.type) for c, f in zip(columns, RECORDS, strict=True)], schema=RECORDS)
        self._clear()
        if len(runs.starts):
            yield ReadingPiece(runs, records, record_of.astype(np.int64))

    def _sieved(self, ts_ms: Ints, value: Ints, starts: Ints, text: Ints, texts: pa.Table, first: Ints) -> tuple[Runs, Ints]:
        """The runs without the rows whose numbers do not hold: every row is looked at as if it came alone."""
        of_row = pa.array(np.repeat(text, np.diff(starts, append=len(ts_ms))))
        whole = texts.take(of_row)
        is_power = whole["power"].combine_chunks()
        number = pa.array(value)
        nothing = pa.scalar(None, pa.int64())
        made = {name: whole[name] for name in ATTRIBUTES} | {
            "ts_ms": pa.array(ts_ms), "energy_mj": pc.if_else(is_power, nothing, number), "power_mw": pc.if_else(is_power, number, nothing)}
        table = pa.table({c.name: made[c.name] for c in READINGS.columns})
        ends = np.append(first[1:], len(ts_ms))
        found = [(r, table.slice(int(a), int(b - a))) for r, a, b in zip(self._records, first, ends, strict=True)]
        good, record_of = self._check(found)
        runs = to_runs(good, np.flatnonzero(np.diff(record_of, prepend=-1)))
        return Runs(runs.ts_ms, runs.value, runs.starts, runs.lengths, runs.text, _filled(runs.texts)), record_of[runs.starts]


def by_shard(piece: ReadingPiece, shard_of: Callable[[str], int]) -> Iterator[tuple[int, ReadingPiece]]:
    """The piece split by the shard of the readings' nodes."""
    runs = piece.runs
    node = runs.texts["node"].combine_chunks().dictionary_encode()
    shard_by_code = np.array([shard_of(n) for n in node.dictionary.to_pylist()])
    shards = shard_by_code[node.indices.to_numpy()][runs.text]
    distinct = np.unique(shards).tolist()
    if len(distinct) == 1:
        yield distinct[0], piece
        return
    for shard in distinct:
        mine = np.flatnonzero(shards == shard)
        rows = gather_index(runs.starts, runs.lengths, mine)
        lengths = runs.lengths[mine]
        yield shard, ReadingPiece(Runs(runs.ts_ms[rows], runs.value[rows], np.cumsum(lengths) - lengths, lengths, runs.text[mine], runs.texts),
                                  piece.records, piece.record_of[mine])


def _filled(texts: pa.Table) -> pa.Table:
    """Put in what readings leave unsaid, so that nothing downstream asks again."""
    made = {name: texts[name].fill_null(READING_DEFAULTS[name]) if name in READING_DEFAULTS else texts[name] for name in ATTRIBUTES}
    made["method"] = pc.coalesce(made["method"], pc.if_else(texts["power"], "integrated", "counter"))
    return pa.table({**made, "power": texts["power"]}).combine_chunks()


def _places(payload: bytes) -> tuple[int, int, int] | None:
    """(place of ts_ms, place of energy_mj, rows) in an Arrow stream that holds both as plain numbers and in nothing else's room.

    None if they cannot be told apart from the rest: several batches, nulls, compression, other types.
    """
    buffer = pa.py_buffer(payload)
    with pa.ipc.open_stream(buffer) as stream:
        batches = list(stream)
    if len(batches) != 1 or batches[0].num_rows == 0:
        return None
    batch = batches[0]
    rows = batch.num_rows
    spans: list[tuple[int, int]] = []
    places: dict[str, int] = {}
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if pa.types.is_dictionary(column.type) or pa.types.is_nested(column.type) or pa.types.is_run_end_encoded(column.type):
            return None
        number = field.name in {"ts_ms", "energy_mj"}
        if number and (column.type != pa.int64() or column.null_count or column.offset):
            return None
        if field.name == "power_mw" and column.null_count != rows:
            return None
        for i, part in enumerate(column.buffers()):
            if part is None or part.size == 0:
                continue
            at = part.address - buffer.address
            if at < 0 or at + part.size > len(payload):
                return None
            if number and i == 1:
                places[field.name] = at
                spans.append((at, at + 8 * rows))
            else:
                spans.append((at, at + part.size))
    spans.sort()
    if len(places) != 2 or any(b > c for (_, b), (c, _) in pairwise(spans)):
        return None
    return places["ts_ms"], places["energy_mj"], rows
