"""Which records have landed already: intervals of seq per (writer, boot), and the CloudEvents of other programs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wattlake_contracts.kafkalog.message import BY_EVENT, BY_PLACE
from wattlake_contracts.tables import SEEN_EVENTS
from wattlake_pipelines.arrow_schema import table_schema
from wattlake_pipelines.lake.committed import committed
from wattlake_pipelines.lake.manifest import StagedFile, stage

SCHEMA = pa.schema([("node", pa.string()), ("boot", pa.string()), ("from_seq", pa.int64()), ("to_seq", pa.int64())])
#: Stands for the writer of what is not ours: such a message is the same one whatever its key is.
ANYBODY = "kafka"
#: To look for a few events, so many are read for each: the rest of a file is passed over by its statistics.
_GROUP_ROWS = 1 << 14


def fresh(records: pa.Table, seen: pa.Table, events: Sequence[str] = ()) -> np.ndarray:
    """Which records are the first of their identity and were not seen before: a boolean per row.

    records: columns writer, boot, seq, appended_ms, crc. seen: as the book of that name; events: the files of `seen_events`.
    Of several of one identity the one with the least (crc, appended_ms) is taken, so that order does not matter.
    """
    count = records.num_rows
    if count == 0:
        return np.empty(0, bool)
    life, seen_life = _lives(_told_by(records, "writer"), _told_by(seen, "node"))
    seq = records["seq"].to_numpy()
    order = np.lexsort((records["appended_ms"].to_numpy(), records["crc"].to_numpy(), seq, life))
    first = np.ones(count, bool)
    first[1:] = (np.diff(life[order]) != 0) | (np.diff(seq[order]) != 0)
    is_first = np.empty(count, bool)
    is_first[order] = first
    wanted: np.ndarray = is_first & ~_covered(life, seq, seen_life, seen["from_seq"].to_numpy(), seen["to_seq"].to_numpy())
    at = np.flatnonzero(wanted & are_events(records["boot"]))
    if len(at) and events:
        asked = records["boot"].take(pa.array(at)).combine_chunks()
        wanted[at] = ~np.asarray(pc.is_in(asked, value_set=_known(events, asked)))
    return wanted


def contradicted(records: pa.Table, is_fresh: np.ndarray) -> np.ndarray:
    """The records (their numbers) that say something else than the one of the same identity that is taken in this round."""
    life, _ = _lives(_told_by(records, "writer"), SCHEMA.empty_table())
    seq, crc = records["seq"].to_numpy(), records["crc"].to_numpy()
    # the one that is taken comes first of its identity
    order = np.lexsort((~is_fresh, seq, life))
    begins = np.ones(len(order), bool)
    begins[1:] = (np.diff(life[order]) != 0) | (np.diff(seq[order]) != 0)
    first = order[np.flatnonzero(begins)[np.cumsum(begins) - 1]]
    return np.sort(order[is_fresh[first] & (crc[order] != crc[first])])


def cut_back(seen: pa.Table, boot: str, end: int) -> pa.Table:
    """The book without what it has of a boot from number `end` on: those numbers come again, and stand for others."""
    rows = seen.filter(pc.invert(pc.and_(pc.equal(seen["boot"], boot), pc.greater_equal(seen["from_seq"], end))))
    to_seq = pc.if_else(pc.equal(rows["boot"], boot), pc.min_element_wise(rows["to_seq"], end), rows["to_seq"])
    return rows.set_column(rows.column_names.index("to_seq"), "to_seq", to_seq)


def are_events(boot: pa.ChunkedArray) -> np.ndarray:
    """Which of them name a CloudEvent of another program."""
    return np.asarray(pc.starts_with(boot, BY_EVENT).to_numpy(), bool)


def stage_events(boot: pa.ChunkedArray, batch: pa.ChunkedArray | int, folder: Path, name: str) -> StagedFile:
    """Stage events as a file of `seen_events`, sorted, so that a few can be looked for in it."""
    batches = pa.array(np.full(len(boot), batch)) if isinstance(batch, int) else batch
    rows = pa.table({"event": boot, "batch": batches}).sort_by("event")
    return stage(SEEN_EVENTS.name, rows.cast(table_schema(SEEN_EVENTS)), folder, name, group_rows=_GROUP_ROWS)


def _known(files: Sequence[str], asked: pa.Array) -> pa.Array:
    """Those of the events asked for that one of the files holds; only what may hold one is read."""
    words = sorted(asked.to_pylist())
    found = []
    for path in files:
        with committed(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
            at = file.schema_arrow.names.index("event")
            groups = [g for g in range(file.num_row_groups) if _may_hold(file.metadata.row_group(g).column(at).statistics, words)]
            if groups:
                held = file.read_row_groups(groups, columns=["event"])["event"].cast(pa.string())
                found += held.filter(pc.is_in(held, value_set=asked)).chunks
    return pa.chunked_array(found, pa.string()).combine_chunks()


def _may_hold(statistics: pq.Statistics | None, words: Sequence[str]) -> bool:
    if statistics is None or not statistics.has_min_max:
        return True
    at = bisect_left(words, statistics.min)
    return at < len(words) and words[at] <= statistics.max


def _told_by(rows: pa.Table, writer: str) -> pa.Table:
    """(node, boot) of rows, one node for all that is known by its event or its place."""
    foreign = pc.or_(pc.starts_with(rows["boot"], BY_EVENT), pc.starts_with(rows["boot"], BY_PLACE))
    node = pc.if_else(foreign, ANYBODY, rows[writer]) if pc.any(foreign).as_py() else rows[writer]
    return pa.table({"node": node, "boot": rows["boot"]})


def _lives(told: pa.Table, seen: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """One integer per (node, boot), the same in both tables."""
    both = pa.concat_tables([told, seen.select(["node", "boot"])])
    node = both["node"].combine_chunks().dictionary_encode()
    boot = both["boot"].combine_chunks().dictionary_encode()
    life = node.indices.to_numpy().astype(np.int64) * (len(boot.dictionary) + 1) + boot.indices.to_numpy()
    return life[: told.num_rows], life[told.num_rows :]


def _covered(life: np.ndarray, seq: np.ndarray, seen_life: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Whether each (life, seq) lies in one of the disjoint intervals."""
    if len(seen_life) == 0:
        return np.zeros(len(life), bool)
    order = np.lexsort((start, seen_life))
    sorted_life, sorted_start, sorted_end = seen_life[order], start[order], end[order]
    keys = np.concatenate([sorted_life, life])
    values = np.concatenate([sorted_start, seq])
    # rank the records among the intervals: an interval that starts at seq comes before it
    kind = np.concatenate([np.zeros(len(order), np.int8), np.ones(len(life), np.int8)])
    ranked = np.lexsort((kind, values, keys))
    last = np.maximum.accumulate(np.where(ranked < len(order), ranked, -1))
    before = np.empty(len(keys), np.int64)
    before[ranked] = last
    mine = before[len(order) :]
    safe = np.maximum(mine, 0)
    inside: np.ndarray = (mine >= 0) & (sorted_life[safe] == life) & (seq < sorted_end[safe])
    return inside


def merged(seen: pa.Table, records: pa.Table) -> pa.Table:
    """`seen` with the identities of these records in it, events left out: disjoint intervals, sorted, neighbours joined.

    What is known by its place is landed in the order of places, so one interval holds all up to there.
    """
    records = records.filter(pa.array(~are_events(records["boot"])))
    ones = _told_by(records, "writer").append_column("from_seq", records["seq"]).append_column("to_seq", pc.add(records["seq"], 1))
    before = _told_by(seen, "node").append_column("from_seq", seen["from_seq"]).append_column("to_seq", seen["to_seq"])
    rows = pa.concat_tables([before.cast(SCHEMA), ones.cast(SCHEMA)]).sort_by([(n, "ascending") for n in SCHEMA.names])
    if rows.num_rows == 0:
        return rows
    life = _lives(rows.select(["node", "boot"]), SCHEMA.empty_table())[0]
    start, end = rows["from_seq"].to_numpy(), rows["to_seq"].to_numpy().copy()
    new_life = np.diff(life, prepend=-1) != 0
    # the furthest end so far within one life; lives are kept apart by a stride wider than any seq
    group = np.cumsum(new_life) - 1
    reach = _running_max(end, group)
    begins = new_life.copy()
    by_place = np.asarray(pc.starts_with(rows["boot"], BY_PLACE).to_numpy(), bool)
    begins[1:] |= (start[1:] > reach[:-1]) & ~by_place[1:]
    at = np.flatnonzero(begins)
    last = np.append(at[1:], len(start)) - 1
    return pa.table([rows["node"].take(pa.array(at)), rows["boot"].take(pa.array(at)), pa.array(start[at]), pa.array(reach[last])], schema=SCHEMA)


def _running_max(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The running maximum within each group of neighbours; values are seq numbers below 2^53."""
    # ranks are small, so a stride over them cannot overflow as one over the values could
    distinct, rank = np.unique(values, return_inverse=True)
    stride = len(distinct)
    running = np.maximum.accumulate(group * stride + rank)
    result: np.ndarray = distinct[running - group * stride]
    return result
