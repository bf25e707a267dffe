"""Which records have landed already: intervals of seq per (writer, boot)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

#: What tells records apart.
IDENTITY = ("node", "boot")
SCHEMA = pa.schema([("node", pa.string()), ("boot", pa.string()), ("from_seq", pa.int64()), ("to_seq", pa.int64())])


def fresh(records: pa.Table, seen: pa.Table) -> np.ndarray:
    """Which records are the first of their identity and not in `seen`: a boolean per row.

    records: columns writer, boot, seq, appended_ms, crc. Of several of one identity the one with
    the least (crc, appended_ms) is taken, so that order does not matter.
    """
    count = records.num_rows
    if count == 0:
        return np.empty(0, bool)
    life, seen_life = _lives(records, seen)
    seq = records["seq"].to_numpy()
    order = np.lexsort((records["appended_ms"].to_numpy(), records["crc"].to_numpy(), seq, life))
    first = np.ones(count, bool)
    first[1:] = (np.diff(life[order]) != 0) | (np.diff(seq[order]) != 0)
    is_first = np.empty(count, bool)
    is_first[order] = first
    wanted: np.ndarray = is_first & ~_covered(life, seq, seen_life, seen["from_seq"].to_numpy(), seen["to_seq"].to_numpy())
    return wanted


def _lives(records: pa.Table, seen: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """One integer per (writer, boot), the same in both tables."""
    both = pa.concat_tables([records.select(["writer", "boot"]).rename_columns(["node", "boot"]), seen.select(["node", "boot"])])
    node = both["node"].combine_chunks().dictionary_encode()
    boot = both["boot"].combine_chunks().dictionary_encode()
    life = node.indices.to_numpy().astype(np.int64) * (len(boot.dictionary) + 1) + boot.indices.to_numpy()
    return life[: records.num_rows], life[records.num_rows :]


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
    """`seen` with the identities of these records in it: disjoint intervals, sorted, neighbours joined."""
    ones = pa.table({"node": records["writer"], "boot": records["boot"], "from_seq": records["seq"],
                     "to_seq": pa.array(records["seq"].to_numpy() + 1)})
    rows = pa.concat_tables([seen.cast(SCHEMA), ones.cast(SCHEMA)]).sort_by([(n, "ascending") for n in ("node", "boot", "from_seq", "to_seq")])
    if rows.num_rows == 0:
        return rows
    life = _lives(rows.rename_columns(["writer", "boot", "from_seq", "to_seq"]), SCHEMA.empty_table())[0]
    start, end = rows["from_seq"].to_numpy(), rows["to_seq"].to_numpy().copy()
    new_life = np.diff(life, prepend=-1) != 0
    # the furthest end so far within one life; lives are kept apart by a stride wider than any seq
    group = np.cumsum(new_life) - 1
    reach = _running_max(end, group)
    begins = new_life.copy()
    begins[1:] |= start[1:] > reach[:-1]
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
