"""Who held each leaf in each cell, and how its energy is split among them (section 4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_pipelines.account.kernels.cells import Cells, Hours
from wattlake_pipelines.account.kernels.fleet import Fleet, numbers
from wattlake_pipelines.account.kernels.intervals import CLASSES, OVERSUBSCRIBED
from wattlake_pipelines.account.kernels.leaves import Presence
from wattlake_pipelines.account.kernels.ranges import Ints, expand, group_starts, sort_order
from wattlake_pipelines.account.kernels.rounding import largest_remainder
from wattlake_pipelines.account.kernels.texts import code_strings

#: A whole device, in millionths.
WHOLE_PPM = 1_000_000


@dataclass(frozen=True)
class Records:
    """Job records on nodes with readings. device: -1 for the whole node, -2 for one without readings. job: codes into words."""

    node: Ints
    device: Ints
    start_ms: Ints
    end_ms: Ints
    share_ppm: Ints
    job: Ints
    words: pa.Array

    @classmethod
    def of(cls, jobs: pa.Table, fleet: Fleet) -> Records:
        """Resolved job records; one that ends where it starts, or before, says nothing."""
        node = fleet.nodes(jobs.column("node"))
        device = fleet.devices_of(node, jobs.column("device"))
        device[np.asarray(pc.is_valid(jobs.column("device")).to_numpy(), bool) & (device < 0)] = -2
        start, end = numbers(jobs.column("start_ms")), numbers(jobs.column("end_ms"))
        share = numbers(jobs.column("share_ppm"), WHOLE_PPM)
        if not jobs.num_rows:
            return cls(node, device, start, end, share, start, pa.array([], pa.string()))
        job = code_strings(jobs.column("job").chunks)
        at = np.flatnonzero((node >= 0) & (start < end))
        return cls(node[at], device[at], start[at], end[at], share[at], job.code[at], job.words)


@dataclass(frozen=True)
class Lines:
    """What each holder has of each leaf: row of the presence, job (the number of jobs for unattributed), energy by class, flags."""

    row: Ints
    job: Ints
    energy_mj: Ints
    flags: Ints


def attribute(given: Presence, hours: Hours, cells: Cells, records: Records) -> Lines:
    """The energy of every leaf and cell, split by the weights of the jobs that hold it; what none holds is unattributed."""
    leaf = np.flatnonzero(given.touched)
    row, job, weight = _weights(given, leaf, hours, cells, records)
    starts = group_starts(row)
    total = np.zeros(len(given.cell), np.int64)
    if len(starts):
        total[row[starts]] = np.add.reduceat(weight, starts)
    nobody = len(records.words)
    row = np.concatenate([row, leaf])
    job = np.concatenate([job, np.full(len(leaf), nobody)])
    weight = np.concatenate([weight, np.maximum(WHOLE_PPM - total[leaf], 0)])
    order = sort_order(row * (nobody + 1) + job, len(given.cell) * (nobody + 1))
    row, job, weight = row[order], job[order], weight[order]
    energy = np.zeros((CLASSES, len(row)), np.int64)
    for grade in range(CLASSES):
        if given.energy_mj[grade].any():
            energy[grade] = largest_remainder(given.energy_mj[grade, row], weight, row)
    flags = given.flags[row] | np.where(total[row] > WHOLE_PPM, OVERSUBSCRIBED, 0)
    return Lines(row, job, energy, flags)


def _weights(given: Presence, leaf: Ints, hours: Hours, cells: Cells, records: Records) -> tuple[Ints, Ints, Ints]:
    """(row, job, the greatest share_ppm of the job's records that cover the cell and hold the leaf), by (row, job)."""
    record, hour = hours.spans(records.node, records.start_ms, records.end_ms)
    device = records.device[record]
    at = hours.device_hours(device, hour)
    use = (device == -1) | (at >= 0)
    record, hour, at = record[use], hour[use], at[use]
    span, cell = cells.held(hours, hour, records.start_ms[record], records.end_ms[record])
    record, at = record[span], at[span]
    # a record for one device: that device's row; one for the node: every leaf in the cell
    one = np.flatnonzero(at >= 0)
    one_row = given.rows(hours, cells, at[one], cell[one])
    one, one_row = one[given.touched[one_row]], one_row[given.touched[one_row]]
    by_cell = leaf[sort_order(given.cell[leaf], len(cells.start_ms))]
    first = np.searchsorted(given.cell[by_cell], np.arange(len(cells.start_ms) + 1))
    whole = np.flatnonzero(at < 0)
    owner, index = expand(first[cell[whole]], np.diff(first)[cell[whole]])
    row = np.concatenate([one_row, by_cell[index]])
    record = record[np.concatenate([one, whole[owner]])]
    key = row * (len(records.words) + 1) + records.job[record]
    order = sort_order(key, len(given.cell) * (len(records.words) + 1))
    key = key[order]
    starts = group_starts(key)
    if not len(starts):
        return starts, starts, starts
    row, job = np.divmod(key[starts], len(records.words) + 1)
    return row, job, np.maximum.reduceat(records.share_ppm[record][order], starts)
