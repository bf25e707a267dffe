"""What a figure needs beyond the columns that a file must have: such a row is good, and yet something stays unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_contracts.amount import amount
from wattlake_contracts.kind import Kind
from wattlake_pipelines.land.write_book import LEASE_MS


def lacking(table: pa.Table, kind: Kind) -> list[str]:
    """A sentence for each figure that rows of the table are not enough for; empty if they are, or where nothing is known to be lacking.

    table: accepted rows with stored names.
    """
    return [f"{amount(rows, 'row', 'have')} {what}" for count, what in _OF.get(kind.name, ()) if (rows := count(table))]


def _given(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table.column(name).is_valid().to_numpy(), dtype=bool)


def _no_upstream(table: pa.Table) -> int:
    return int(np.count_nonzero(_given(table, "direct_g_per_kwh") & ~(_given(table, "lifecycle_g_per_kwh") & _given(table, "td_loss_fraction"))))


def _of_node(table: pa.Table) -> np.ndarray:
    """The rows about a whole machine."""
    return ~np.asarray(pc.fill_null(pc.not_equal(table.column("device"), ""), False).to_numpy(), dtype=bool)


def _no_sku(table: pa.Table) -> int:
    return int(np.count_nonzero(_of_node(table) & ~_given(table, "sku")))


def _no_life(table: pa.Table) -> int:
    return int(np.count_nonzero(_of_node(table) & _given(table, "sku") & ~(_given(table, "acquired_on_ms") | _given(table, "valid_from_ms"))))


def _no_end(table: pa.Table) -> int:
    return int(table.column("end_ms").null_count)


_OF: Mapping[str, tuple[tuple[Callable[[pa.Table], int], str], ...]] = {
    "grid": ((_no_upstream, "not both lifecycle_g_per_kwh and td_loss_fraction: upstream emissions (Scope 3.3) stay unknown there"),),
    "jobs": ((_no_end, f"no end: each job is taken to end {LEASE_MS // 60_000} minutes after its start, until a row with its end is imported"),),
    "nodes": ((_no_sku, "no sku: the embodied emissions of these machines stay unknown"),
              (_no_life, "a sku, and neither acquired_on nor valid_from: the embodied emissions of these machines stay unknown")),
}
