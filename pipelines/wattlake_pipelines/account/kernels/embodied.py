"""Embodied emissions accrued per UTC day, from the inventory and the clock (docs/accounting.md, section 8)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_contracts.layout import DAY_MS
from wattlake_contracts.tables import FACT_EMBODIED
from wattlake_pipelines.account.kernels.holding import Cells, Weights, cut
from wattlake_pipelines.account.kernels.ordering import EVER_MS, NEVER_MS, integers, ranks, tuple_ranks
from wattlake_pipelines.account.kernels.ranges import Bools, Ints, expand, group_starts
from wattlake_pipelines.account.kernels.rounding import largest_remainder, rounded_share
from wattlake_pipelines.arrow_schema import conform, table_schema

#: A year of 8,760 h, as the SCI specification counts it (1.1, ISO/IEC 21031:2024).
YEAR_MS = 8_760 * 3_600_000
_BASES = ("acquired_on", "valid_from", "no sku", "no factor", "no start")
_UNKNOWN = 2  # from here on a basis says why the figure is NULL


@dataclass(frozen=True)
class _Items:
    """Per item: its row in the table, when its accrual runs, when its life began and how long it is, its basis."""

    row: Ints
    start_ms: Ints
    end_ms: Ints
    born_ms: Ints
    life_ms: Ints
    basis: Ints


@dataclass(frozen=True)
class _Spans:
    """What an item accrues on a day: which item, which day, from when to when."""

    item: Ints
    day_ms: Ints
    start_ms: Ints
    end_ms: Ints


def embodied_facts(items: pa.Table, jobs: pa.Table, days_ms: Ints, watermark_ms: int) -> pa.Table:
    """fact_embodied for these days: M = TE x TiR/EL x RR/ToR (SCI specification 1.1), accrued day by day.

    items: node, device (NULL: the machine), sku, machine_sku, acquired_on_ms, retired_on_ms,
    valid_from_ms, valid_to_ms, embodied_ug, life_years, version, estimated, component_of, simulated;
    all but node and simulated may be NULL. jobs: resolved records (job, node, device, start_ms,
    end_ms, share_ppm). days_ms: the starts of UTC days. watermark_ms: nothing accrues from it on.
    Rows are sorted by start_ms, node, device, line, job, version, basis, simulated, NULL first.
    """
    days = np.unique(np.asarray(days_ms, np.int64))
    able = _items(items, watermark_ms)
    spans = _spans(able, days)
    silent = able.basis[spans.item] >= _UNKNOWN
    names = pc.unique(jobs["job"])
    job = np.asarray(pc.index_in(jobs["job"], value_set=names).to_numpy(), np.int64)
    in_order = ranks(names)
    job = in_order[job] if len(job) else job
    held = _held(items, able, jobs, spans, days, ~silent)
    stretch_span, stretch_start, stretch_end, record = held
    cells, weights = cut(spans.start_ms, spans.end_ms, stretch_span, stretch_start, stretch_end, job[record],
                         integers(jobs["share_ppm"])[record])
    accrued = _accrued(items, able, spans, cells)[weights.cell]
    reserved = (cells.end_ms - cells.start_ms)[weights.cell]
    share_ug = largest_remainder(accrued, weights.weight, weights.cell)
    share_ms = largest_remainder(reserved, weights.weight, weights.cell)
    by_rank = names.take(pa.array(np.argsort(in_order), pa.int64()))
    return _added_up(items, able, spans, cells, weights, share_ug, share_ms, by_rank)


def _items(items: pa.Table, watermark_ms: int) -> _Items:
    """The items that have rows at all, with their spans of accrual."""
    acquired, valid_from = _given(items["acquired_on_ms"]), _given(items["valid_from_ms"])
    acquired_ms, from_ms = integers(items["acquired_on_ms"], EVER_MS), integers(items["valid_from_ms"], EVER_MS)
    known = _given(items["embodied_ug"]) & _given(items["life_years"])
    basis = np.select([~_given(items["sku"]), ~known, acquired, valid_from], [2, 3, 0, 1], 4)
    born = np.where(acquired, acquired_ms, from_ms)
    years = items["life_years"].cast(pa.float64()).fill_null(1.0).to_numpy()
    life = np.floor(years * YEAR_MS + 0.5).astype(np.int64)
    end = np.minimum(integers(items["retired_on_ms"], NEVER_MS), integers(items["valid_to_ms"], NEVER_MS))
    end = np.minimum(end, watermark_ms)
    end = np.where(basis < _UNKNOWN, np.minimum(end, born + life), end)
    held_by_machine = pc.equal(items["component_of"], items["machine_sku"]).fill_null(False).to_numpy().astype(bool)
    nameless = _given(items["device"]) & ~_given(items["sku"])
    row = np.flatnonzero(~held_by_machine & ~nameless)
    start = np.maximum(acquired_ms, from_ms)
    return _Items(row, start[row], end[row], born[row], life[row], basis[row])


def _given(column: pa.ChunkedArray) -> Bools:
    return np.asarray(pc.is_valid(column).to_numpy().astype(bool))


def _spans(items: _Items, days: Ints) -> _Spans:
    first = np.searchsorted(days + DAY_MS, items.start_ms, side="right")
    item, day = expand(first, np.searchsorted(days, items.end_ms) - first)
    start = np.maximum(items.start_ms[item], days[day])
    end = np.minimum(items.end_ms[item], days[day] + DAY_MS)
    some = start < end
    return _Spans(item[some], days[day][some], start[some], end[some])


def _held(items: pa.Table, able: _Items, jobs: pa.Table, spans: _Spans, days: Ints, wanted: Bools) -> tuple[Ints, Ints, Ints, Ints]:
    """The stretches of spans that a job record holds: (span, start, end, record)."""
    item, record = _holders(items.take(pa.array(able.row)), jobs)
    start = np.maximum(able.start_ms[item], integers(jobs["start_ms"])[record])
    end = np.minimum(able.end_ms[item], integers(jobs["end_ms"])[record])
    some = start < end
    item, record, start, end = item[some], record[some], start[some], end[some]
    low = np.searchsorted(days + DAY_MS, start, side="right")
    pair, day = expand(low, np.searchsorted(days, end) - low)
    # a span is found by its item and day: spans are sorted by both
    key = spans.item * len(days) + np.searchsorted(days, spans.day_ms)
    asked = item[pair] * len(days) + day
    span = np.searchsorted(key, asked)
    kept = wanted[span]
    pair, span = pair[kept], span[kept]
    return span, np.maximum(start[pair], spans.start_ms[span]), np.minimum(end[pair], spans.end_ms[span]), record[pair]


def _holders(items: pa.Table, jobs: pa.Table) -> tuple[Ints, Ints]:
    """(item, job record) of every record that holds an item: of its device, or of its whole node."""
    records, parts = jobs.num_rows, items.num_rows
    node = tuple_ranks([_joined(jobs["node"], items["node"])])
    place = tuple_ranks([_joined(jobs["node"], items["node"]), _joined(jobs["device"], items["device"])])
    whole = np.flatnonzero(~_given(jobs["device"]))
    on_device = np.flatnonzero(_given(jobs["device"]))
    by_node = _matches(node[records:], np.arange(parts), node[whole], whole)
    by_device = _matches(place[records:], np.arange(parts), place[on_device], on_device)
    return np.concatenate([by_node[0], by_device[0]]), np.concatenate([by_node[1], by_device[1]])


def _joined(one: pa.ChunkedArray, other: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([*one.cast(pa.string()).chunks, *other.cast(pa.string()).chunks], pa.string())


def _matches(left_key: Ints, left: Ints, right_key: Ints, right: Ints) -> tuple[Ints, Ints]:
    """All pairs of left and right of the same key."""
    order = np.argsort(right_key, kind="stable")
    low = np.searchsorted(right_key[order], left_key)
    pair, found = expand(low, np.searchsorted(right_key[order], left_key, side="right") - low)
    return left[pair], right[order[found]]


def _accrued(items: pa.Table, able: _Items, spans: _Spans, cells: Cells) -> Ints:
    """A(end) - A(start) of each cell in µg, A(t) = TE x (t - t0) / EL rounded half up; 0 where it is unknown."""
    item = spans.item[cells.span]
    known = able.basis[item] < _UNKNOWN
    total = np.where(known, integers(items["embodied_ug"])[able.row[item]], 0)
    life = able.life_ms[item]
    born = np.where(known, able.born_ms[item], cells.start_ms)
    # accrual ends with the life, so only the 0 of an unknown item is ever cut short here
    age = (np.clip(t - born, 0, life) for t in (cells.start_ms, cells.end_ms))
    before, after = (rounded_share(total, a, life) for a in age)
    return np.asarray(after - before, np.int64)


def _added_up(items: pa.Table, able: _Items, spans: _Spans, cells: Cells, weights: Weights, share_ug: Ints, share_ms: Ints,
              jobs: pa.Array) -> pa.Table:
    """The rows, summed over the cells and items that share a key. jobs: the names by code, from 1."""
    span = cells.span[weights.cell]
    item = spans.item[span]
    row, day, basis = able.row[item], spans.day_ms[span], able.basis[item]
    texts = pa.array(_BASES)
    attributes = _attribute_ranks(items, able, texts)
    device, others = (a[item] for a in attributes)
    holder = np.where(weights.holder < 0, np.int64(len(jobs) + 1), weights.holder)  # job_active sorts before unattributed
    order = np.lexsort((others, holder, device, day))
    heads = group_starts(day[order], device[order], holder[order], others[order])
    first = order[heads]
    taken = items.take(pa.array(row[first], pa.int64()))
    held = weights.holder[first] >= 0
    unknown = basis[first] >= _UNKNOWN
    ug = np.add.reduceat(share_ug[order], heads) if len(heads) else np.zeros(0, np.int64)
    ms = np.add.reduceat(share_ms[order], heads) if len(heads) else np.zeros(0, np.int64)
    return conform(pa.table({
        "start_ms": pa.array(day[first], pa.int64()), "end_ms": pa.array(day[first] + DAY_MS, pa.int64()),
        "node": taken["node"], "device": taken["device"],
        "line": pa.array(["unattributed", "job_active"]).take(pa.array(held.astype(np.int64))),
        "job": jobs.take(pa.array(weights.holder[first] - 1, pa.int64(), mask=~held)),
        "embodied_ug": pa.array(ug, pa.int64(), mask=unknown), "reserved_ms": pa.array(ms, pa.int64()),
        "version": taken["version"], "estimated": taken["estimated"], "simulated": taken["simulated"],
        "basis": texts.take(pa.array(basis[first])),
    }), table_schema(FACT_EMBODIED))


def _attribute_ranks(items: pa.Table, able: _Items, texts: pa.Array) -> tuple[Ints, Ints]:
    """Per item the rank of (node, device) and of (version, basis, simulated, estimated)."""
    chosen = items.take(pa.array(able.row, pa.int64()))
    basis = pa.chunked_array([texts.take(pa.array(able.basis))])
    device = tuple_ranks([chosen["node"], chosen["device"]])
    return device, tuple_ranks([chosen["version"], basis, chosen["simulated"], chosen["estimated"]])
