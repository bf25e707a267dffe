"""All that is not a reading: job events, transfers, serving, inventory, reference, rejects, and who was seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_contracts.kind import Kind
from wattlake_contracts.kinds import EMBODIED, GRID, JOBS, KINDS, NODES, REJECTS, SERVING, SITES, TRANSFERS
from wattlake_contracts.layout import HOUR_MS
from wattlake_contracts.tables import REJECTED, SEEN, SET_ASIDE, TABLES
from wattlake_pipelines.arrow_schema import table_schema
from wattlake_pipelines.lake.manifest import StagedFile, stage
from wattlake_pipelines.land.piece import LEFT_OUT, unpack
from wattlake_pipelines.land.seen import are_events, contradicted, fresh, merged, stage_events

#: An open job ends this long after its last renewal, if its writer did not say.
LEASE_MS = 180_000
#: cause of dirt, its key and its span, per kind
_DIRT = {JOBS.name: ("node", "start_ms", "end_ms"), NODES.name: ("node", "valid_from_ms", "valid_to_ms"), SITES.name: ("site", "valid_from_ms", "valid_to_ms"),
         GRID.name: ("zone", "start_ms", "end_ms"), EMBODIED.name: ("sku", "valid_from_ms", "valid_from_ms"),
         TRANSFERS.name: ("from_site", "ts_ms", "ts_ms"), SERVING.name: ("model", "ts_ms", "ts_ms")}
#: Stands for an open side of a span.
FOREVER_MS = 2**62


@dataclass(frozen=True)
class Booked:
    """What the book's worker made. dirty: (cause, key, from, to). seen is replaced whole by its file.

    unknown: (kind, column, rows) of what this version does not know, as it was read: what is sent twice counts twice.
    """

    files: list[StagedFile]
    dirty: list[tuple[str, str, int, int]]
    rejects: int
    watermark_ms: int
    unknown: list[tuple[str, str, int]]


def write_book(parts: Sequence[bytes | pa.Buffer], seen: pa.Table, folder: Path, attempt: str, batch: int, events: Sequence[str] = ()) -> Booked:
    """Stage one file per table from the BOOK parts of all ranges. batch: number of the commit. seen, events: see `fresh`."""
    unpacked = [unpack(part) for part in parts]
    records = pa.concat_tables([tables[0] for tables in unpacked])
    is_fresh = fresh(records, seen, events)
    taken = records.filter(pa.array(is_fresh))
    # the usual case: every record is new and was read once, so every row counts
    all_new = bool(is_fresh.all())
    files, dirty, watermark = [], [], -1
    by_kind: dict[str, list[pa.Table]] = {}
    for tables in unpacked:
        for table in tables[2:]:
            by_kind.setdefault(table.schema.metadata[b"kind"].decode(), []).append(table)
    rejected = pa.concat_tables([tables[1] for tables in unpacked])
    rejects = [rejected if all_new else _of_records(rejected, records, is_fresh, keep_unnamed=True)]
    left_out = by_kind.pop(LEFT_OUT, [])
    for name, found in sorted(by_kind.items()):
        rows = pa.concat_tables(found).combine_chunks()
        rows = rows if all_new else _of_records(rows, records, is_fresh)
        if rows.num_rows == 0:
            continue
        if name == REJECTS.name:
            rejects.append(rows.select(rejects[0].column_names))
            continue
        if name == SET_ASIDE.name:
            files.append(stage(name, rows.select(list(SET_ASIDE.names)), folder, f"{attempt}.parquet"))
            continue
        rows = _complete(KINDS[name], rows)
        watermark = max(watermark, _latest(rows, KINDS[name].happened))
        dirty += _dirt(name, rows)
        table = TABLES[KINDS[name].table]
        files.append(stage(table.name, rows.select(list(table.names)).cast(table_schema(table)), folder, f"{attempt}.parquet"))
    rejected = pa.concat_tables([table.select(list(REJECTED.names)) for table in (*rejects, *_contradictions(records, is_fresh))])
    if rejected.num_rows:
        files.append(stage(REJECTED.name, rejected.cast(table_schema(REJECTED)), folder, f"{attempt}.parquet"))
    is_event = are_events(taken["boot"])
    if is_event.any():
        files.append(stage_events(taken["boot"].filter(pa.array(is_event)), batch, folder, f"{attempt}.parquet"))
    if not is_event.all():
        files.append(stage(SEEN.name, merged(seen, taken).cast(table_schema(SEEN)), folder, f"{attempt}.parquet", day_ms=0, shard=0))
    return Booked(files, dirty, rejected.num_rows, watermark, _unknown(left_out))


def _unknown(tables: Sequence[pa.Table]) -> list[tuple[str, str, int]]:
    """(kind, column, rows), added up."""
    if not tables:
        return []
    added = pa.concat_tables(tables).group_by(["kind", "column"]).aggregate([("rows", "sum")]).sort_by([("kind", "ascending"), ("column", "ascending")])
    return list(zip(*(added[name].to_pylist() for name in ("kind", "column", "rows_sum")), strict=True))


def _contradictions(records: pa.Table, is_fresh: np.ndarray) -> list[pa.Table]:
    """Events of which another of the same source and id, that says something else, is taken in this round: as rejects."""
    others = records.take(pa.array(contradicted(records, is_fresh)))
    others = others.filter(pa.array(are_events(others["boot"])))
    if not others.num_rows:
        return []
    place = pc.binary_join_element_wise(others["writer"], others["boot"], others["seq"].cast(pa.string()), "/")
    reason = pa.array(["another event of the same source and id, with other content or another key, came in the same round and is taken"] * others.num_rows)
    return [others.select(["kind", "body", "writer", "boot", "seq", "appended_ms", "crc"]).append_column("place", place).append_column("reason", reason)]


def _of_records(rows: pa.Table, records: pa.Table, is_fresh: np.ndarray, *, keep_unnamed: bool = False) -> pa.Table:
    """The rows of fresh records, as often as one copy of the record holds them; with keep_unnamed also those of no record.

    rows: with the columns writer, boot, seq, appended_ms and crc. records: all that were read in this round; is_fresh: which of them are taken.
    """
    if rows.num_rows == 0:
        return rows
    names = ("writer", "boot", "seq", "appended_ms", "crc")
    code = _codes([pa.chunked_array([*records[n].chunks, *rows[n].chunks]) for n in names])
    of_record, of_row = code[: records.num_rows], code[records.num_rows :]
    copies = np.bincount(of_record, minlength=int(code.max()) + 1)
    wanted = np.zeros(len(copies), bool)
    wanted[of_record[is_fresh]] = True
    named = rows["writer"].is_valid().to_numpy()
    keep = np.where(named, wanted[of_row], keep_unnamed)
    again = np.flatnonzero(keep & named & (copies[of_row] > 1))
    if len(again):
        # equal in every column: of n copies of a record the first n-th part of such rows stays
        held = rows.take(pa.array(again))
        _, alike, count = np.unique(_codes(held.columns), return_inverse=True, return_counts=True)
        order = np.argsort(alike, kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
        keep[again[place * copies[of_row[again]] >= count[alike]]] = False
    return rows.filter(pa.array(keep))


def _codes(columns: Sequence[pa.ChunkedArray]) -> np.ndarray:
    """One integer per row, the same for rows with the same values; NULL is a value of its own."""
    code = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
        code = code * len(encoded.dictionary) + encoded.indices.to_numpy()
        # keep the numbers small, so that a product of two cannot overflow
        code = np.unique(code, return_inverse=True)[1].astype(np.int64)
    return code


def _complete(kind: Kind, rows: pa.Table) -> pa.Table:
    """Fill in what follows from the record: event and known-from times, leases, marks, versions."""
    defaults: dict[str, object] = {"simulated": False, "estimated": False}
    if kind is JOBS:
        defaults["lease_ms"] = LEASE_MS
    if kind is NODES:
        defaults["event"] = "inventory"
    for name, value in defaults.items():
        if name in rows.column_names:
            rows = rows.set_column(rows.column_names.index(name), name, rows[name].fill_null(value))
    for name in ("event_ms", "known_from_ms"):
        if name in rows.column_names:
            rows = rows.set_column(rows.column_names.index(name), name, pc.coalesce(rows[name], rows["appended_ms"]))
    if "version" in TABLES[kind.table].names:
        rows = rows.append_column("version", pa.array(versions(rows, kind)))
    return rows


def versions(rows: pa.Table, kind: Kind) -> list[str]:
    """The content hash of each row: of every column that the kind has but known_from and source."""
    names = sorted(c.name for c in kind.columns if c.name not in {"known_from_ms", "source"})
    return [hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:16] for row in rows.select(names).to_pylist()]


def _latest(rows: pa.Table, names: Sequence[str]) -> int:
    found = [pc.max(rows[name]).as_py() for name in names]
    return max((value for value in found if value is not None), default=-1)


def _dirt(name: str, rows: pa.Table) -> list[tuple[str, str, int, int]]:
    """One span per key and stretch of neighbouring hours that the rows touch."""
    if name not in _DIRT:
        return []
    key, start, end = _DIRT[name]
    from_ms = rows[start].fill_null(0).to_numpy() // HOUR_MS
    to_ms = np.maximum(-(-rows[end].fill_null(FOREVER_MS).to_numpy() // HOUR_MS), from_ms + 1)
    spans: dict[str, list[tuple[int, int]]] = {}
    for k, a, b in sorted(zip(rows[key].to_pylist(), from_ms.tolist(), to_ms.tolist(), strict=True), key=lambda s: (s[0] or "", s[1], s[2])):
        mine = spans.setdefault(k or "", [])
        if mine and a <= mine[-1][1]:
            mine[-1] = (mine[-1][0], max(mine[-1][1], b))
        else:
            mine.append((a, b))
    return [(name, k, a * HOUR_MS, b * HOUR_MS) for k, mine in spans.items() for a, b in mine]
