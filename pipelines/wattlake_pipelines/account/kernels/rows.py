"""Lines of cells added up to the rows of fact_energy (section 5)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_contracts.kinds import REST_ENDING
from wattlake_contracts.tables import FACT_ENERGY
from wattlake_pipelines.account.kernels.attribution import Lines
from wattlake_pipelines.account.kernels.cells import Cells, Hours
from wattlake_pipelines.account.kernels.fleet import Fleet, numbers, segment_at
from wattlake_pipelines.account.kernels.intervals import FLAGS
from wattlake_pipelines.account.kernels.leaves import Presence
from wattlake_pipelines.account.kernels.ranges import Ints, dense, group_starts, sort_order
from wattlake_pipelines.account.kernels.series import Attributes
from wattlake_pipelines.account.kernels.texts import Coded, code_strings
from wattlake_pipelines.arrow_schema import table_schema


def energy_rows(lines: Lines, given: Presence, hours: Hours, cells: Cells, fleet: Fleet, attributes: Attributes,
                kinds: pa.Array, boundaries: pa.Array, jobs: pa.Array, places: pa.Table) -> pa.Table:
    """The rows of fact_energy, sorted by its key, of lines per (row of the presence, job)."""
    at = lines.row
    period = cells.period[given.cell[at]]
    device = hours.device[given.device_hour[at]]
    leaf, names = _leaf_names(fleet, device * 2 + given.rest[at])
    kind_words = code_strings([pa.concat_arrays([kinds, pa.array(["rest"], pa.string())])])
    kind = np.where(given.rest[at], kind_words.code[-1], kind_words.code[:-1][attributes.device_kind[given.attribute[at]]])
    boundary, simulated = attributes.boundary[given.attribute[at]], attributes.simulated[given.attribute[at]]
    # periods are numbered by (node, start); rows are sorted by (start, node)
    by_start = np.empty(len(cells.period_hour), np.int64)
    by_start[np.lexsort((hours.node[cells.period_hour], cells.period_start_ms))] = np.arange(len(by_start))
    parts = [(by_start[period], len(by_start)), (leaf, len(names)), (lines.job, len(jobs) + 1), (boundary, len(boundaries)),
             (simulated, 2), (kind, len(kind_words.words))]
    order, starts = _order(parts)
    first = order[starts]
    share = _coverage(given, hours, cells)[at]
    energy = [np.add.reduceat(values[order], starts) for values in lines.energy_mj]
    node, start = hours.node[cells.period_hour[period[first]]], cells.period_start_ms[period[first]]
    site, zone = _places(places, fleet, node, start)
    job = lines.job[first]
    held = job < len(jobs)
    columns = [
        start, cells.period_end_ms[period[first]], site, zone, _words(fleet.node_words, node), _words(names, leaf[first]),
        _words(kind_words.words, kind[first]), _words(pa.array(["unattributed", "job_active"]), held.astype(np.int64)),
        _words(jobs, job, ~held), _words(boundaries, boundary[first]), simulated[first].astype(bool),
        np.sum(energy, axis=0), *energy, np.maximum.reduceat(share[order], starts),
        _flag_words(np.bitwise_or.reduceat(lines.flags[order], starts)),
    ]
    schema = table_schema(FACT_ENERGY)
    return pa.Table.from_arrays([_array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def _array(column: pa.Array | np.ndarray[tuple[int], np.dtype[np.generic]], kind: pa.DataType) -> pa.Array:
    return column if isinstance(column, pa.Array) else pa.array(column, kind)


def _leaf_names(fleet: Fleet, leaf: Ints) -> tuple[Ints, pa.Array]:
    """(code of each leaf's name, the names in order); a leaf is device x 2, + 1 for its rest."""
    used, number = dense(leaf, fleet.devices * 2)
    name = fleet.names.take(pa.array(used // 2))
    suffix = pa.array(["", REST_ENDING]).take(pa.array(used % 2))
    coded: Coded = code_strings([pc.binary_join_element_wise(name, suffix, "")])
    return coded.code[number], coded.words


def _order(parts: list[tuple[Ints, int]]) -> tuple[Ints, Ints]:
    """(the order of rows by the parts, where each group of equal ones starts in it)."""
    size = 1
    for _, count in parts:
        size *= max(count, 1)
    if size < 1 << 62:
        key = np.zeros(len(parts[0][0]), np.int64)
        for code, count in parts:
            key = key * max(count, 1) + code
        order = sort_order(key, size)
        return order, group_starts(key[order])
    order = np.lexsort([code for code, _ in reversed(parts)])
    return order, group_starts(*(code[order] for code, _ in parts))


def _coverage(given: Presence, hours: Hours, cells: Cells) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Per row of the presence: the share of its period that intervals cover that are not imputed."""
    period = cells.period[given.cell]
    starts = group_starts(given.device_hour, period)
    covered = np.add.reduceat(given.solid_ms, starts)
    of = period[starts]
    share = covered / (cells.period_end_ms - cells.period_start_ms)[of]
    return np.repeat(share, np.diff(np.append(starts, len(period))))


def _places(places: pa.Table, fleet: Fleet, node: Ints, at_ms: Ints) -> tuple[pa.Array, pa.Array]:
    """(site, zone) of nodes at instants."""
    owner = fleet.nodes(places.column("node"))
    start, end = numbers(places.column("start_ms")), numbers(places.column("end_ms"))
    known = np.flatnonzero((owner >= 0) & (start < end))
    known = known[np.lexsort((start[known], owner[known]))]
    row = segment_at(owner[known], start[known], end[known], node, at_ms)
    take = pa.array(known[row] if len(known) else row, mask=row < 0)
    return _taken(places.column("site"), take), _taken(places.column("zone"), take)


def _taken(column: pa.ChunkedArray, take: pa.Array) -> pa.Array:
    return column.cast(pa.string()).combine_chunks().take(take)


def _words(words: pa.Array, code: Ints, missing: np.ndarray[tuple[int], np.dtype[np.bool_]] | None = None) -> pa.Array:
    return words.take(pa.array(code, mask=missing))


def _flag_words(flags: Ints) -> pa.Array:
    """The names of flags, comma-separated; NULL for none. Bits are in order of name."""
    texts = [",".join(name for bit, name in enumerate(FLAGS) if mixed >> bit & 1) or None for mixed in range(1 << len(FLAGS))]
    return _words(pa.array(texts, pa.string()), flags)
