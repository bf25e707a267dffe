"""Energy and emissions of data moved, by average allocation (docs/accounting.md, section 9)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wattlake_contracts.kinds import TRANSFERS
from wattlake_contracts.tables import FACT_TRANSFERS
from wattlake_pipelines.account.kernels.emissions import figure, millionths, rounded
from wattlake_pipelines.account.kernels.ordering import integers, tuple_ranks
from wattlake_pipelines.account.kernels.ranges import Ints
from wattlake_pipelines.account.kernels.segments import segment_at, take_or_null
from wattlake_pipelines.arrow_schema import conform, kind_schema, table_schema

#: Network factors are per decimal gigabyte (SI).
BYTES_PER_GB = 1e9
_BASES = ("no grid figure", "one end", "both ends", "no factor")


def transfer_facts(transfers: pa.Table, factors: pa.Table, site_zone: pa.Table, grid: pa.Table) -> pa.Table:
    """fact_transfers: one row per transfer, sorted by id.

    transfers: the columns of raw_transfers; of rows with one id the latest appended_ms counts, then
    the greater content. factors: medium, from_ms, to_ms (disjoint per medium), energy_mj_per_gb,
    low_mj_per_gb, high_mj_per_gb, factor (its year and source). site_zone: site, zone, start_ms,
    end_ms. grid: zone, start_ms, end_ms, direct_g_per_kwh. What is in force at ts_ms counts. The
    direct figure is the mean of both ends', or that of the one which is known.
    """
    moved = _once(transfers)
    at = integers(moved["ts_ms"])
    periods = factors.rename_columns({"from_ms": "start_ms", "to_ms": "end_ms"})
    factor = segment_at(periods, "medium", moved["medium"], at)
    size = integers(moved["bytes"]).astype(np.float64)
    energy, low, high = (size * figure(factors, f"{name}_mj_per_gb", factor) / BYTES_PER_GB for name in ("energy", "low", "high"))
    direct = [_direct(moved[end], at, site_zone, grid) for end in ("from_site", "to_site")]
    ends = np.sum([~np.isnan(one) for one in direct], axis=0)
    mean = np.where(ends == 2, (direct[0] + direct[1]) / 2.0, np.where(np.isnan(direct[0]), direct[1], direct[0]))
    basis = np.where(np.isnan(energy), 3, ends)
    found = {
        "energy_mj": rounded(energy), "low_mj": rounded(low), "high_mj": rounded(high),
        "location_ug": millionths(np.rint(energy), mean),
        "factor": take_or_null(factors["factor"], factor),
        "basis": pa.array(_BASES).take(pa.array(basis, pa.int64())),
    }
    schema = table_schema(FACT_TRANSFERS)
    kept = {name: moved[name] for name in moved.column_names if name in schema.names}
    return conform(pa.table({**kept, **found}), schema)


def _once(transfers: pa.Table) -> pa.Table:
    """The row that counts for each id, in order of id."""
    name = tuple_ranks([transfers["id"]])
    content = conform(transfers, kind_schema(TRANSFERS))
    order = np.lexsort((tuple_ranks(content.columns), integers(transfers["appended_ms"]), name))
    last = np.ones(len(order), bool)
    last[:-1] = name[order[1:]] != name[order[:-1]]
    return content.take(pa.array(order[last], pa.int64()))


def _direct(site: pa.ChunkedArray, at_ms: Ints, site_zone: pa.Table, grid: pa.Table) -> npt.NDArray[np.float64]:
    """The direct figure of the zone that each site is in at that instant, g/kWh; NaN where it is unknown."""
    zone = take_or_null(site_zone["zone"], segment_at(site_zone, "site", site, at_ms))
    return figure(grid, "direct_g_per_kwh", segment_at(grid, "zone", zone, at_ms))
