"""One range of the log → pieces: decoded, checked row by row, split by shard."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from zlib import crc32

import numpy as np
import pyarrow as pa

from wattlake_contracts.kind import Kind
from wattlake_contracts.kinds import KINDS, READINGS
from wattlake_contracts.record import Damage, Record, Stored
from wattlake_pipelines.arrow_schema import kind_schema
from wattlake_pipelines.decode import DecodeError, decode
from wattlake_pipelines.land.piece import RECORDS, ReadingPiece, pack
from wattlake_pipelines.land.runs import to_runs
from wattlake_pipelines.land.source import Range
from wattlake_pipelines.rowcheck import check

#: A record's first bytes kept with its reject: enough to see what it was.
_BODY_KEPT = 4096
#: The one key of all that is not a reading: it is little, and one worker writes it.
BOOK = -1
#: What a reading says of itself if it says nothing (import and agent always do).
READING_DEFAULTS = {"device_kind": "other", "epoch": "0", "boundary": "component", "simulated": False}


class _Rejects:
    """Collects what cannot be used, with its place and reason."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []

    def record(self, record: Record, reason: str, row: int | None = None, body: str | None = None) -> None:
        """A record, or one row of it."""
        place = record.ce_id if row is None else f"{record.ce_id} row {row + 1}"
        kept = base64.b64encode(bytes(record.payload[:_BODY_KEPT])).decode() if body is None else body
        self.rows.append({"kind": record.meta.kind, "place": place, "reason": reason, "body": kept, "writer": record.meta.node,
                          "boot": record.meta.boot, "seq": record.seq, "appended_ms": record.appended_ms})

    def damage(self, where: Range, damage: Damage) -> None:
        """A stretch of the log that cannot be read."""
        self.rows.append({"kind": None, "place": f"{where.partition} offset {damage.offset} ({damage.segment} at byte {damage.position})",
                          "reason": f"{damage.records} records lost: {damage.reason}", "body": base64.b64encode(damage.raw).decode(),
                          "writer": None, "boot": None, "seq": None, "appended_ms": None})

    def gone(self, where: Range) -> None:
        """Records that the log gave up before they were landed."""
        self.rows.append({"kind": None, "place": f"{where.partition} offset {where.start - where.gone}",
                          "reason": f"{where.gone} records lost: the log had dropped them before they were landed; give it more room or land more often",
                          "body": None, "writer": None, "boot": None, "seq": None, "appended_ms": None})


REJECT_SCHEMA = pa.schema([("kind", pa.string()), ("place", pa.string()), ("reason", pa.string()), ("body", pa.string()),
                           ("writer", pa.string()), ("boot", pa.string()), ("seq", pa.int64()), ("appended_ms", pa.int64())])


def shard_of(node: str, shards: int) -> int:
    """The shard that holds a node: the same for ever, so a lake's number of shards is fixed."""
    return crc32(node.encode()) % shards


def read_range(where: Range, shards: int) -> Iterator[tuple[int, bytes]]:
    """Yield (shard, bytes of a ReadingPiece) and one (BOOK, bytes of records, rejects and the other kinds' rows)."""
    rejects = _Rejects()
    if where.gone:
        rejects.gone(where)
    by_kind: dict[str, list[tuple[Record, pa.Table]]] = {}
    identities: list[tuple[str, str, str, int, int, int]] = []
    for item in where.read():
        if isinstance(item, Damage):
            rejects.damage(where, item)
            continue
        record = item.record
        identities.append((record.meta.kind, record.meta.node, record.meta.boot, record.seq, record.appended_ms, crc32(record.payload)))
        _take(item, by_kind, rejects)
    for shard, piece in _reading_pieces(by_kind.pop(READINGS.name, []), shards, rejects):
        yield shard, piece.to_bytes()
    columns = list(zip(*identities, strict=True)) or [()] * len(RECORDS)
    records = pa.table([pa.array(column, field.type) for column, field in zip(columns, RECORDS, strict=True)], schema=RECORDS)
    landed = [_with_identity(KINDS[name], found, rejects) for name, found in sorted(by_kind.items())]
    yield BOOK, pack((records, pa.Table.from_pylist(rejects.rows, REJECT_SCHEMA), *landed))


def _take(item: Stored, by_kind: dict[str, list[tuple[Record, pa.Table]]], rejects: _Rejects) -> None:
    record = item.record
    try:
        decoded = decode(record)
    except DecodeError as error:
        rejects.record(record, str(error))
        return
    for bad in decoded.rejects:
        rejects.record(record, bad.reason, bad.row, bad.body)
    if decoded.table.num_rows:
        by_kind.setdefault(record.meta.kind, []).append((record, decoded.table))


def _checked(kind: Kind, found: list[tuple[Record, pa.Table]], rejects: _Rejects) -> tuple[pa.Table, np.ndarray]:
    """(good rows, the number of the record that each came in)."""
    table = pa.concat_tables([t for _, t in found])
    record_of = np.repeat(np.arange(len(found)), [t.num_rows for _, t in found])
    earliest = min(record.appended_ms for record, _ in found)
    checked = check(table, kind, earliest)
    if len(checked.bad_index):
        # only now is it worth giving each row its own record's clock
        clocks = pa.array(np.array([record.appended_ms for record, _ in found])[record_of])
        checked = check(table, kind, clocks)
        first = np.searchsorted(record_of, np.arange(len(found)))
        for index, reason in zip(checked.bad_index.tolist(), checked.reasons, strict=True):
            record = found[record_of[index]][0]
            row = table.slice(index, 1).to_pylist()[0]
            rejects.record(record, str(reason), int(index - first[record_of[index]]), repr({k: v for k, v in row.items() if v is not None}))
        record_of = np.delete(record_of, checked.bad_index)
    return checked.good, record_of


def _reading_pieces(found: list[tuple[Record, pa.Table]], shards: int, rejects: _Rejects) -> Iterator[tuple[int, ReadingPiece]]:
    if not found:
        return
    good, record_of = _checked(READINGS, found, rejects)
    if good.num_rows == 0:
        return
    good = _fill(good)
    records = pa.table([pa.array(c, f.type) for c, f in zip(
        zip(*((r.meta.kind, r.meta.node, r.meta.boot, r.seq, r.appended_ms, crc32(r.payload)) for r, _ in found), strict=True),
        RECORDS, strict=True)], schema=RECORDS)
    cuts = np.flatnonzero(np.diff(record_of, prepend=-1))
    runs = to_runs(good, cuts)
    of_run = record_of[runs.starts]
    if shards == 1:
        yield 0, ReadingPiece(runs, records, of_run)
        return
    node = runs.attributes["node"].combine_chunks().dictionary_encode()
    shard_by_code = np.array([shard_of(n, shards) for n in node.dictionary.to_pylist()])
    shard_of_run = shard_by_code[node.indices.to_numpy()]
    shard_of_row = np.repeat(shard_of_run, runs.lengths)
    for shard in np.unique(shard_of_run).tolist():
        keep = pa.array(shard_of_row == shard)
        part = good.filter(keep)
        part_record = record_of[shard_of_row == shard]
        part_runs = to_runs(part, np.flatnonzero(np.diff(part_record, prepend=-1)))
        yield shard, ReadingPiece(part_runs, records, part_record[part_runs.starts])


def _fill(table: pa.Table) -> pa.Table:
    """Put in what a reading leaves unsaid, so that nothing downstream asks again."""
    for name, value in READING_DEFAULTS.items():
        index = table.schema.get_field_index(name)
        if table.column(index).null_count:
            table = table.set_column(index, name, table.column(index).fill_null(value))
    index = table.schema.get_field_index("method")
    if table.column(index).null_count:
        import pyarrow.compute as pc

        unsaid = pc.if_else(pc.is_valid(table["energy_mj"]), "counter", "integrated")
        table = table.set_column(index, "method", pc.coalesce(table["method"], unsaid))
    return table


def _with_identity(kind: Kind, found: list[tuple[Record, pa.Table]], rejects: _Rejects) -> pa.Table:
    """Good rows of a kind with the identity of their record; the kind's name in the schema's metadata."""
    good, record_of = _checked(kind, found, rejects)
    identity = {
        "writer": pa.array([r.meta.node for r, _ in found]), "boot": pa.array([r.meta.boot for r, _ in found]),
        "seq": pa.array([r.seq for r, _ in found], pa.int64()), "appended_ms": pa.array([r.appended_ms for r, _ in found], pa.int64()),
    }
    for name, values in identity.items():
        good = good.append_column(name, values.take(pa.array(record_of)))
    return good.cast(pa.schema([*kind_schema(kind), ("writer", pa.string()), ("boot", pa.string()), ("seq", pa.int64()),
                                ("appended_ms", pa.int64())])).replace_schema_metadata({"kind": kind.name})
