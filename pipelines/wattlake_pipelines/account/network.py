"""The shipped allocation factors of networks as the columns that the transfer kernel asks for."""

from __future__ import annotations

import pyarrow as pa

from wattlake_contracts.column import EARLIEST_MS, LATEST_MS
from wattlake_contracts.factors.network import network_factors as shipped

_BYTES_PER_GB = 1_000_000_000


def network_factors() -> pa.Table:
    """(medium, from_ms, to_ms, energy_mj_per_gb, low_mj_per_gb, high_mj_per_gb, factor): disjoint per medium."""
    rows = []
    for row in shipped():
        value, low, high = row.mj_per_byte
        rows.append({
            "medium": row.medium, "from_ms": max(row.valid_from_ms, EARLIEST_MS), "to_ms": row.valid_to_ms or LATEST_MS,
            "energy_mj_per_gb": value * _BYTES_PER_GB, "low_mj_per_gb": None if low is None else low * _BYTES_PER_GB,
            "high_mj_per_gb": None if high is None else high * _BYTES_PER_GB,
            "factor": f"{row.value:g} kWh/GB: {row.source}",
        })
    return pa.Table.from_pylist(rows, pa.schema([
        ("medium", pa.string()), ("from_ms", pa.int64()), ("to_ms", pa.int64()), ("energy_mj_per_gb", pa.float64()),
        ("low_mj_per_gb", pa.float64()), ("high_mj_per_gb", pa.float64()), ("factor", pa.string())]))
