"""One range of the log → pieces: decoded, checked row by row, split by shard."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_contracts.amount import amount
from wattlake_contracts.kafkalog.message import BY_EVENT
from wattlake_contracts.kind import Kind
from wattlake_contracts.kinds import KINDS, READINGS
from wattlake_contracts.record import Damage, Meta, Record, Stored, control_character
from wattlake_contracts.tables import SET_ASIDE
from wattlake_pipelines.arrow_schema import kind_schema
from wattlake_pipelines.decode import MAX_BODY_BYTES, Decoded, DecodeError, NotYetError, decode_all
from wattlake_pipelines.land.messages import Messages, by_shard
from wattlake_pipelines.land.piece import BOOK_RECORDS, LATER, LEFT_OUT, UNKNOWN_COLUMNS, pack
from wattlake_pipelines.land.source import Range
from wattlake_pipelines.land.weight import Weight
from wattlake_pipelines.part import Part, joined, part_of
from wattlake_pipelines.row_reject import TOLD_ROWS, RowReject
from wattlake_pipelines.rowcheck import Checked, check

#: A record's first bytes kept with its reject: enough to see what it was.
_BODY_KEPT = 4096
#: So much of the bad rows of a record is kept in all; and after so many rejects a record's rows are told by one.
_BODIES_KEPT, _ROWS_TOLD = 1 << 18, 20_000
#: So many unknown columns are told by name, and so much of a name.
_NAMES_KEPT, _NAME_KEPT = 100, 100
#: The one key of all that is not a reading: it is little, and one worker writes it.
BOOK = -1
#: Messages of a form not seen yet are decoded together up to so many bytes: then their forms are known.
_UNKNOWN_BYTES = 1 << 20
#: Messages of other kinds wait to be decoded together up to so many bytes: few need more, and what they become is known only then.
_WAITING_BYTES = 4 << 20
#: Rows of other kinds are checked at once up to so many.
_CHECKED_ROWS = 300_000


class _Rejects:
    """Collects what cannot be used, with its place and reason, and the columns that are left out of what can."""

    def __init__(self, weight: Weight) -> None:
        self.weight = weight
        self.rows: list[dict[str, object]] = []
        self.later: list[Record] = []
        self.unknown: Counter[tuple[str, str]] = Counter()

    def unknown_columns(self, kind: str, rows_of: Mapping[str, int]) -> None:
        """Columns that this version does not know, and how many rows of a record have each."""
        for name, count in rows_of.items():
            # a text from outside: it may be of any length, and no UTF-8
            told = kind, name[:_NAME_KEPT].encode(errors="replace").decode()
            self.unknown[told if told in self.unknown or len(self.unknown) < _NAMES_KEPT else (kind, "…")] += count

    def record(self, record: Record, reason: str, row: int | None = None, body: str | None = None) -> None:
        """A record, or one row of it."""
        place = record.ce_id if row is None else f"{record.ce_id} row {row + 1}"
        kept = _first_bytes(record) if body is None else body
        self.weight.reject(len(kept))
        self.rows.append({"kind": record.meta.kind, "place": place, "reason": reason, "body": kept, "writer": record.meta.node,
                          "boot": record.meta.boot, "seq": record.seq, "appended_ms": record.appended_ms, "crc": record.crc})

    def rows_of(self, record: Record, bad: Sequence[RowReject]) -> None:
        """Rows of a record; all by one of them, where very many are told already."""
        if len(self.rows) >= _ROWS_TOLD and bad:
            bad = [bad[0]._replace(others=sum(1 + each.others for each in bad) - 1)]
        for each in bad:
            self.record(record, each.told, each.row, each.body)

    def unnamed(self, where: Range, item: Stored, what: str, name: str) -> None:
        """A record whose identity cannot be written down."""
        self.weight.reject(_BODY_KEPT)
        self.rows.append({"kind": None, "place": f"{where.partition} offset {item.offset}",
                          "reason": f"the record's {what} {name[:200]!r} holds a control character",
                          "body": _first_bytes(item.record), "writer": None, "boot": None, "seq": None, "appended_ms": None})

    def damage(self, where: Range, damage: Damage) -> None:
        """A stretch of the log that cannot be read."""
        self.weight.reject(len(damage.raw))
        at = f" ({damage.segment} at byte {damage.position})" if damage.segment else ""
        self.rows.append({"kind": None, "place": f"{where.partition} offset {damage.offset}{at}",
                          "reason": f"{amount(damage.records, 'record')} lost: {damage.reason}" if damage.lost else damage.reason,
                          "body": base64.b64encode(damage.raw).decode(),
                          "writer": None, "boot": None, "seq": None, "appended_ms": None})

    def gone(self, where: Range) -> None:
        """Records that the log gave up before they were landed, or its end that it lost."""
        stood = where.start - where.gone
        reason = (f"{amount(where.gone, 'record')} lost: dropped by the log before landing; give it more room or land more often" if where.gone > 0 else
                  f"the log had lost its end: it ended at {where.start} and had been landed up to {stood}; what came before {where.start} and after that "
                  "loss is not landed")
        self.rows.append({"kind": None, "place": f"{where.partition} offset {min(stood, where.start)}", "reason": reason,
                          "body": None, "writer": None, "boot": None, "seq": None, "appended_ms": None})


REJECT_SCHEMA = pa.schema([("kind", pa.string()), ("place", pa.string()), ("reason", pa.string()), ("body", pa.string()),
                           ("writer", pa.string()), ("boot", pa.string()), ("seq", pa.int64()), ("appended_ms", pa.int64()), ("crc", pa.int64())])


def _first_bytes(record: Record) -> str:
    return base64.b64encode(bytes(record.payload[:_BODY_KEPT])).decode()


def _ill_named(record: Record) -> tuple[str, str] | None:
    """(what, the name) of what names a record and holds a control character."""
    meta = record.meta
    for what, name in (("kind", meta.kind), ("node", meta.node), ("boot", meta.boot)):
        if control_character(name) is not None:
            return what, name
    return None


def shard_of(node: str, shards: int) -> int:
    """The shard that holds a node: the same for ever, so a lake's number of shards is fixed."""
    return crc32(node.encode()) % shards


def read_range(where: Range, shards: int, weight: Weight | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield (shard, bytes of a ReadingPiece) and one (BOOK, bytes of records, rejects and the other kinds' rows).

    weight: of a range that begins; it says then how far it was read, and what it weighs. Where it becomes too much reading ends
    before the range does, with nothing in the book.
    """
    weight = weight or Weight(where.start)
    rejects = _Rejects(weight)
    if where.gone:
        rejects.gone(where)
    others: list[Record] = []
    others_bytes = 0
    by_kind: dict[str, list[tuple[Record, Part]]] = {}
    identities: list[tuple[str, str, str, int, int, int, str | None]] = []
    well_named: set[Meta] = set()
    guarded = pa.array(where.keys.nodes, pa.string())
    readings = Messages(lambda found: _checked(READINGS, [(record, part_of(table)) for record, table in found], rejects, guarded))
    unknown: list[tuple[Record, int, pa.Table]] = []
    unknown_bytes = 0
    #: the columns left out of messages of a form
    left_out: dict[tuple[Meta, int], Mapping[str, int]] = {}
    for item in where.read():
        # of a single record it can never be
        if weight.is_too_much:
            yield BOOK, pack((BOOK_RECORDS.empty_table(), REJECT_SCHEMA.empty_table()))
            return
        weight.reached = item.offset + (item.records if isinstance(item, Damage) else 1)
        if isinstance(item, Damage):
            rejects.damage(where, item)
            continue
        record, meta = item.record, item.record.meta
        if meta not in well_named:
            if (ill := _ill_named(record)) is not None:
                rejects.unnamed(where, item, *ill)
                continue
            well_named.add(meta)
        body = _first_bytes(record) if meta.boot.startswith(BY_EVENT) else None
        identities.append((meta.kind, meta.node, meta.boot, record.seq, record.appended_ms, item.crc, body))
        if meta.kind != READINGS.name:
            others.append(replace(record, crc=item.crc))
            others_bytes += len(record.payload)
            weight.waits(len(record.payload))
            if others_bytes >= _WAITING_BYTES:
                _sort_in(by_kind, others, rejects)
                others, others_bytes = [], 0
            continue
        weight.reading(len(record.payload))
        if readings.known(record, item.crc):
            if left_out:
                rejects.unknown_columns(meta.kind, left_out.get((meta, len(record.payload)), {}))
        else:
            record = replace(record, crc=item.crc)
            for _, decoded in _decoded([record], rejects):
                unknown.append((record, item.crc, decoded.table))
                if decoded.unknown or left_out:
                    left_out[meta, len(record.payload)] = decoded.unknown
            unknown_bytes += len(record.payload)
            if unknown_bytes >= _UNKNOWN_BYTES:
                readings.decoded(unknown)
                unknown, unknown_bytes = [], 0
        if readings.full:
            yield from _pieces(readings, shards)
    weight.reached = where.end
    if unknown:
        readings.decoded(unknown)
    yield from _pieces(readings, shards)
    columns: list[Sequence[object]] = list(zip(*identities, strict=True)) or [() for _ in BOOK_RECORDS]
    records = pa.table([pa.array(column, field.type) for column, field in zip(columns, BOOK_RECORDS, strict=True)], schema=BOOK_RECORDS)
    _sort_in(by_kind, others, rejects)
    landed = [_with_identity(KINDS[name], found, rejects, guarded) for name, whole in sorted(by_kind.items()) for found in _in_turns(whole)]
    yield BOOK, pack((records, _told(rejects.rows), *landed, *_of_later_versions(rejects)))


def _of_later_versions(rejects: _Rejects) -> Iterator[pa.Table]:
    """Records that wait for a later version, and the columns that only it knows; each by its name in the schema's metadata."""
    if rejects.later:
        rows = [{"kind": r.meta.kind, "version": r.meta.version, "content_type": r.meta.content_type, "body": base64.b64encode(r.payload).decode(),
                 "writer": r.meta.node, "boot": r.meta.boot, "seq": r.seq, "appended_ms": r.appended_ms, "crc": r.crc} for r in rejects.later]
        yield pa.Table.from_pylist(rows, LATER).replace_schema_metadata({"kind": SET_ASIDE.name})
    if rejects.unknown:
        columns = [(kind, name, count) for (kind, name), count in rejects.unknown.items()]
        yield pa.table(dict(zip(UNKNOWN_COLUMNS.names, map(pa.array, zip(*columns, strict=True)), strict=True))).replace_schema_metadata({"kind": LEFT_OUT})


def _sort_in(by_kind: dict[str, list[tuple[Record, Part]]], records: list[Record], rejects: _Rejects) -> None:
    """Add the rows of these records to those of their kinds; of their bytes only the first are still of use."""
    for record, decoded in _decoded(records, rejects):
        rejects.weight.decoded(record, decoded)
        by_kind.setdefault(record.meta.kind, []).append((replace(record, payload=bytes(record.payload[:_BODY_KEPT])), decoded.part))


def _in_turns(found: list[tuple[Record, Part]]) -> Iterator[list[tuple[Record, Part]]]:
    """The same a few at a time: to say what is wrong with a row takes more room than the row."""
    turn: list[tuple[Record, Part]] = []
    rows = 0
    for each in found:
        turn.append(each)
        rows += each[1].num_rows
        if rows >= _CHECKED_ROWS:
            yield turn
            turn, rows = [], 0
    if turn:
        yield turn


def _told(rows: list[dict[str, object]]) -> pa.Table:
    """Rejects as a table, a NUL in what they quote spelt out: it would end the text in the lake's catalogue."""
    table = pa.Table.from_pylist(rows, REJECT_SCHEMA)
    for at, field in enumerate(REJECT_SCHEMA):
        if pa.types.is_string(field.type):
            table = table.set_column(at, field, pc.replace_substring(table[field.name], "\0", "\\x00"))
    return table


def _pieces(readings: Messages, shards: int) -> Iterator[tuple[int, bytes]]:
    for piece in readings.take_out():
        if shards == 1:
            yield 0, piece.to_bytes()
        else:
            yield from ((shard, part.to_bytes()) for shard, part in by_shard(piece, lambda node: shard_of(node, shards)))


def _decoded(records: list[Record], rejects: _Rejects) -> Iterator[tuple[Record, Decoded]]:
    """The records that hold rows, with them; the rest is rejected."""
    for record, decoded in zip(records, decode_all(records), strict=True):
        if isinstance(decoded, DecodeError):
            rejects.record(record, str(decoded))
            if isinstance(decoded, NotYetError):
                rejects.weight.waits(len(record.payload))
                rejects.later.append(record)
            continue
        rejects.rows_of(record, decoded.rejects)
        rejects.unknown_columns(record.meta.kind, decoded.unknown)
        if decoded.part.num_rows:
            yield record, decoded


def _checked(kind: Kind, found: Sequence[tuple[Record, Part]], rejects: _Rejects, guarded: pa.Array) -> tuple[pa.Table, np.ndarray]:
    """(good rows, the number of the record that each came in). guarded: nodes that only their own records may tell of."""
    # messages are many and small: as one piece they are checked at once
    table = joined([part for _, part in found])
    record_of = np.repeat(np.arange(len(found)), [part.num_rows for _, part in found])
    earliest = min(record.appended_ms for record, _ in found)
    strange = [] if not len(guarded) else _in_its_name(table, guarded, pa.array([record.meta.node for record, _ in found]).take(pa.array(record_of)))
    checked = check(table, kind, earliest, faults=strange)
    if len(checked.bad_index):
        # only now is it worth giving each row its own record's clock
        clocks = pa.array(np.array([record.appended_ms for record, _ in found])[record_of])
        checked = check(table, kind, clocks, faults=strange)
        first = np.searchsorted(record_of, np.arange(len(found)))
        for number, bad in _bad_rows(table, checked, record_of):
            rejects.rows_of(found[number][0], [each._replace(row=each.row - int(first[number])) for each in bad])
        record_of = np.delete(record_of, checked.bad_index)
    return checked.good, record_of


def _bad_rows(table: pa.Table, checked: Checked, record_of: np.ndarray) -> Iterator[tuple[int, list[RowReject]]]:
    """The number of each record with bad rows, and these as they are to be told, by their place in the table."""
    of = record_of[checked.bad_index]
    starts = np.flatnonzero(np.diff(of, prepend=-1))
    for start, count in zip(starts.tolist(), np.diff(starts, append=len(of)).tolist(), strict=True):
        bad, room = [], _BODIES_KEPT
        for at in range(start, start + min(count, TOLD_ROWS + 1)):
            index = int(checked.bad_index[at])
            row = table.slice(index, 1).to_pylist()[0]
            body = repr({k: v for k, v in row.items() if v is not None})[: min(MAX_BODY_BYTES, room)]
            room -= len(body)
            bad.append(RowReject(index, str(checked.reasons[at]), body))
        bad[-1] = bad[-1]._replace(others=count - len(bad))
        yield int(of[start]), bad


def _in_its_name(table: pa.Table, guarded: pa.Array, writer: pa.Array) -> list[pa.Array]:
    """Why rows that speak of a node with keys, and came in another's record, are not taken: a text where that is so, else null; none if none does."""
    if "node" not in table.column_names:
        return []
    node = table["node"].combine_chunks()
    wrong = pc.and_(pc.is_in(node, value_set=guarded), pc.not_equal(node, writer))
    if not pc.any(wrong).as_py():
        return []
    reason = "node has keys, and what is said of it must come in a record that it has signed itself; see `wattlake lake key list`"
    return [pc.if_else(pc.fill_null(wrong, False), reason, pa.scalar(None, pa.string()))]


def _with_identity(kind: Kind, found: list[tuple[Record, Part]], rejects: _Rejects, guarded: pa.Array) -> pa.Table:
    """Good rows of a kind with the identity of their record; the kind's name in the schema's metadata."""
    good, record_of = _checked(kind, found, rejects, guarded)
    identity = {
        "writer": pa.array([r.meta.node for r, _ in found]), "boot": pa.array([r.meta.boot for r, _ in found]),
        "seq": pa.array([r.seq for r, _ in found], pa.int64()), "appended_ms": pa.array([r.appended_ms for r, _ in found], pa.int64()),
        "crc": pa.array([r.crc for r, _ in found], pa.int64()),
    }
    for name, values in identity.items():
        good = good.append_column(name, values.take(pa.array(record_of)))
    return good.cast(pa.schema([*kind_schema(kind), ("writer", pa.string()), ("boot", pa.string()), ("seq", pa.int64()),
                                ("appended_ms", pa.int64()), ("crc", pa.int64())])).replace_schema_metadata({"kind": kind.name})
