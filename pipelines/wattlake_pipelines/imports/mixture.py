"""Whether one file holds figures of two units: some of its rows, or some of its zones, a thousandfold below the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from wattlake_contracts.factors import starter_grid


class Part(NamedTuple):
    """The figures of one zone in one column: sizes (magnitudes, none of them 0) and their rows in the table."""

    zone: str
    sizes: np.ndarray
    rows: np.ndarray


def parts(table: pa.Table, name: str) -> Iterator[Part]:
    """A column's finite figures other than 0, zone by zone; of a table without zones, none."""
    if "zone" not in table.column_names:
        return
    zones = table.column("zone").combine_chunks().dictionary_encode()
    codes = zones.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    sizes = np.abs(table.column(name).to_numpy().astype(np.float64))
    usable = np.isfinite(sizes) & (sizes > 0)
    for code, zone in enumerate(zones.dictionary.to_pylist()):
        rows = np.flatnonzero(usable & (codes == code))
        if len(rows):
            yield Part(zone, sizes[rows], rows)


def mixed(part: Part, low_below: float, limits: Mapping[str, Any]) -> np.ndarray | None:
    """The rows of the part that are in another unit than the rest, if it looks so: two clusters, the lower one below what the column
    can be, their middles a thousandfold apart, and next to nothing between them.

    A grid's own figures spread without a gap: between clean hours and dirty ones there are others.
    """
    order = np.argsort(part.sizes, kind="stable")
    sizes = part.sizes[order]
    for low, high in (_at_widest_gap(sizes, limits["gap_at_least"]), _at_bound(sizes, low_below, limits)):
        smaller = min(low, len(sizes) - high)
        if smaller < max(1, limits["share_at_least"] * len(sizes)) or high - low > limits["between_at_most"] * smaller:
            continue
        if not sizes[low - 1] < low_below <= sizes[high]:
            continue
        if limits["apart_at_least"] <= np.median(sizes[high:]) / np.median(sizes[:low]) <= limits["apart_at_most"]:
            return np.asarray(part.rows[np.sort(order[:low])])
    return None


def _at_widest_gap(sizes: np.ndarray, gap: float) -> tuple[int, int]:
    """(how many figures are below the widest gap, the number of the first one above), the same; 0 if none is as wide as that."""
    if len(sizes) < 2:
        return 0, 0
    steps = sizes[1:] / sizes[:-1]
    widest = int(np.argmax(steps))
    return (widest + 1, widest + 1) if steps[widest] >= gap else (0, 0)


def _at_bound(sizes: np.ndarray, low_below: float, limits: Mapping[str, Any]) -> tuple[int, int]:
    """(how many figures are below what the column can be, the number of the first one well above it): for figures that spread
    so widely that some lie between."""
    return int(np.searchsorted(sizes, low_below)), int(np.searchsorted(sizes, low_below * limits["gap_at_least"]))


def strange_zone(part: Part, name: str, limits: Mapping[str, Any]) -> str | None:
    """What speaks against all figures of a zone, seen from the average that is shipped for it; None if nothing does, or none is."""
    known = [float(row[name]) for row in starter_grid() if row["zone"] == part.zone and row.get(name)]  # type: ignore[arg-type]  # a number, by the column's name
    if not known:
        return None
    middle, average = float(np.median(part.sizes)), known[-1]
    if average / middle < limits["apart_at_least"]:
        return None
    return f"zone {part.zone}: half of the figures are below {middle:.3g}, where the zone's yearly average is {average:.4g}"
