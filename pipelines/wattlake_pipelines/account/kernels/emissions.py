"""Emissions and water of the energy facts, row by row (docs/accounting.md, section 7)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_contracts.tables import FACT_EMISSIONS
from wattlake_pipelines.account.kernels.ordering import integers, ranks
from wattlake_pipelines.account.kernels.ranges import Ints
from wattlake_pipelines.account.kernels.segments import segment_at, take_or_null
from wattlake_pipelines.arrow_schema import conform, table_schema

Floats = npt.NDArray[np.float64]

#: A figure per kWh times an energy in mJ, over this, is in millionths of the figure's unit: 3.6e9 mJ in a kWh (SI), 1e6 µ in a unit.
MJ_PER_MILLIONTH = 3600.0
_HOUR_MS = 3_600_000
_SORT = ("start_ms", "node", "device", "line", "job", "boundary", "simulated", "device_kind")


def emission_facts(energy: pa.Table, sites: pa.Table, grid: pa.Table, marginal: pa.Table, places: pa.Table) -> pa.Table:
    """fact_emissions: a row per row of fact_energy.

    sites: site, start_ms, end_ms, pue, wue_l_per_kwh, version, estimated. grid: zone, start_ms,
    end_ms, direct_, lifecycle_g_per_kwh, td_loss_fraction, water_l_per_kwh, version, estimated,
    period_ms (the length of the period that the figure was given for). marginal: zone, start_ms,
    end_ms, marginal_g_per_kwh, version, estimated. places: node, start_ms, end_ms. Each disjoint per
    key; what is in force at a row's start holds for the whole row.

    Figures are computed in float64, in the order that the formulas of the document are written,
    and rounded half to even once. A figure of which an input is unknown is NULL.
    """
    energy = _sorted(energy)
    at = integers(energy["start_ms"])
    site = segment_at(sites, "site", energy["site"], at)
    direct_row = segment_at(grid, "zone", energy["zone"], at)
    marginal_row = segment_at(marginal, "zone", energy["zone"], at)

    it = integers(energy["energy_mj"]).astype(np.float64)
    facility = pc.equal(energy["boundary"], "facility").to_numpy().astype(bool)
    overhead = np.where(facility, 0.0, np.rint(it * (figure(sites, "pue", site) - 1.0)))
    both = it + overhead
    direct, lifecycle = figure(grid, "direct_g_per_kwh", direct_row), figure(grid, "lifecycle_g_per_kwh", direct_row)
    loss = figure(grid, "td_loss_fraction", direct_row)
    upstream = (lifecycle - direct) + lifecycle * loss / (1.0 - loss)

    found = {
        "overhead_mj": rounded(overhead),
        "location_ug": millionths(it, direct),
        "overhead_location_ug": millionths(overhead, direct),
        "upstream_ug": millionths(both, upstream),
        "marginal_screening_ug": millionths(both, figure(marginal, "marginal_g_per_kwh", marginal_row)),
        "water_site_ul": millionths(it, figure(sites, "wue_l_per_kwh", site)),
        "water_grid_ul": millionths(both, figure(grid, "water_l_per_kwh", direct_row)),
        "grid_version": take_or_null(grid["version"], direct_row),
        "site_version": take_or_null(sites["version"], site),
        "marginal_version": take_or_null(marginal["version"], marginal_row),
        "estimated": _estimated((sites, site), (grid, direct_row), (marginal, marginal_row)),
        "basis": _basis(energy, places, grid, direct_row, direct),
    }
    schema = table_schema(FACT_EMISSIONS)
    kept = {name: energy[name] for name in energy.column_names if name in schema.names}
    return conform(pa.table({**kept, **found}), schema)


def _sorted(energy: pa.Table) -> pa.Table:
    """The rows in the facts' order; energy facts come in it, and then nothing is moved."""
    codes = [ranks(energy[name]) for name in _SORT]
    codes[4] = np.where(codes[4] == 0, np.int64(energy.num_rows + 1), codes[4])  # no job comes last
    undecided, ordered = np.ones(max(energy.num_rows - 1, 0), bool), True
    for code in codes:
        ordered = ordered and not bool((undecided & (code[1:] < code[:-1])).any())
        undecided &= code[1:] == code[:-1]
    return energy if ordered else energy.take(pa.array(np.lexsort(codes[::-1])))


def figure(segments: pa.Table, name: str, row: Ints) -> Floats:
    """The figure in force on each row, NaN where it is unknown."""
    return np.asarray(take_or_null(segments[name], row).cast(pa.float64()).fill_null(np.nan).to_numpy(), np.float64)


def millionths(energy_mj: Floats, per_kwh: Floats) -> pa.Array:
    """Energy x a figure in g or L per kWh, in µg or µL; NULL where either is unknown."""
    return rounded(energy_mj * per_kwh / MJ_PER_MILLIONTH)


def rounded(values: Floats) -> pa.Array:
    """int64, half to even; NULL where the value is NaN."""
    unknown = np.isnan(values)
    return pa.array(np.rint(np.where(unknown, 0.0, values)).astype(np.int64), pa.int64(), mask=unknown)


def _estimated(*used: tuple[pa.Table, Ints]) -> pa.Array:
    """Whether any figure in force is an estimate; NULL where none is in force. A figure that does not say is none."""
    any_, known = np.zeros(len(used[0][1]), bool), np.zeros(len(used[0][1]), bool)
    for segments, row in used:
        any_ |= take_or_null(segments["estimated"], row).fill_null(False).to_numpy().astype(bool)
        known |= row >= 0
    return pa.array(any_, pa.bool_(), mask=~known)


def _basis(energy: pa.Table, places: pa.Table, grid: pa.Table, row: Ints, direct: Floats) -> pa.Array:
    placed = segment_at(places, "node", energy["node"], integers(energy["start_ms"])) >= 0
    zoned = pc.is_valid(energy["zone"]).to_numpy().astype(bool)
    period = integers(take_or_null(grid["period_ms"], row))
    texts = ("unknown node", "unknown site", "no grid figure", "hourly", "subhourly", "period")
    which = np.select([~placed, ~zoned, np.isnan(direct), period == _HOUR_MS, period < _HOUR_MS], [0, 1, 2, 3, 4], 5)
    return pa.DictionaryArray.from_arrays(pa.array(which, pa.int32()), pa.array(texts)).cast(pa.string())
