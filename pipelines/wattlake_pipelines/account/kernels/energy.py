"""The energy kernel: readings, jobs and inventory to the rows of fact_energy (docs/accounting.md, sections 1 to 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wattlake_contracts.layout import LONGEST_GAP_MS
from wattlake_contracts.tables import FACT_ENERGY
from wattlake_pipelines.account.kernels.attribution import Records, attribute
from wattlake_pipelines.account.kernels.cells import Hours, coverage_cuts, cut
from wattlake_pipelines.account.kernels.counter import cumulative
from wattlake_pipelines.account.kernels.fleet import Fleet, Inventory, numbers
from wattlake_pipelines.account.kernels.intervals import find_stretches
from wattlake_pipelines.account.kernels.leaves import presence, with_rests
from wattlake_pipelines.account.kernels.overlap import without_overlap
from wattlake_pipelines.account.kernels.rows import energy_rows
from wattlake_pipelines.account.kernels.runs import find_runs
from wattlake_pipelines.account.kernels.series import line_up
from wattlake_pipelines.account.kernels.tree import find_parents, ranks
from wattlake_pipelines.arrow_schema import table_schema


@dataclass(frozen=True)
class Settings:
    """Figures of the rules.

    long_gap_ms: a longer gap between readings is imputed; a setting of the lake. implausible_power_ratio:
    of a device's maximum power; an interval that draws more is dropped. longest_gap_ms: over a longer
    gap nothing is spread. Both the same for every lake.
    """

    long_gap_ms: int = 300_000
    implausible_power_ratio: float = 1.5
    longest_gap_ms: int = LONGEST_GAP_MS


def energy_facts(readings: pa.Table, hours_ms: npt.NDArray[np.int64], jobs: pa.Table, places: pa.Table, cuts: pa.Table,
                 devices: pa.Table, settings: Settings) -> pa.Table:
    """The rows of fact_energy of some hours, in its columns and order, sorted by its key; exact, and the same for any order of input.

    readings: columns of raw_readings; any order, duplicates, and neighbours outside the hours.
        Texts may be plain or dictionary-encoded. Sorted input (node, device, epoch, ts) is fastest;
        pieces that are sorted, hour by hour for instance, come next.
    hours_ms: starts of the hours (UTC) to make rows for.
    jobs: (job, node, device or NULL, start_ms, end_ms, share_ppm): resolved records.
    places: (node, site, zone, start_ms, end_ms): where nodes stood, disjoint per node.
    cuts: (node, cut_ms): edges of periods beyond whole hours.
    devices: (node, device, parent, max_power_mw, start_ms, end_ms): inventory, disjoint per device.
    """
    nothing: pa.Table = table_schema(FACT_ENERGY).empty_table()
    if not readings.num_rows or not len(hours_ms):
        return nothing
    runs = find_runs(readings)
    text = runs.text
    fleet, run_device = Fleet.of(text["node"], text["device"])
    series, attributes = line_up(runs, fleet, run_device)
    inventory = Inventory.of(devices, fleet)
    total_mj = cumulative(series)
    found = find_stretches(series, total_mj, attributes, text["method"].words, inventory, settings.long_gap_ms,
                           settings.longest_gap_ms, settings.implausible_power_ratio)
    stretches = without_overlap(found, series.power, series.ts_ms)
    hours = Hours.of(np.asarray(hours_ms, np.int64), stretches, fleet)
    if not len(hours.key):
        return nothing
    rank, in_psys = ranks(attributes, text["device_kind"].words, text["boundary"].words)
    records = Records.of(jobs, fleet)
    _, periods = hours.places(fleet.nodes(cuts.column("node")), numbers(cuts.column("cut_ms")))
    _, job_edges = hours.places(np.tile(records.node, 2), np.concatenate([records.start_ms, records.end_ms]))
    cells = cut(hours, periods, np.concatenate([job_edges, coverage_cuts(hours, stretches, rank, inventory, fleet)]))
    known = presence(hours, cells, stretches, series.ts_ms, total_mj)
    tree = find_parents(hours, cells, known.first, known.device_hour, known.cell, known.covers, rank[known.attribute],
                        in_psys[known.attribute], inventory)
    leaves = with_rests(known, tree)
    lines = attribute(leaves, hours, cells, records)
    return energy_rows(lines, leaves, hours, cells, fleet, attributes, text["device_kind"].words, text["boundary"].words,
                       records.words, places)
