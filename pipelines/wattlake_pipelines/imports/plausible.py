"""Whether a whole file of carbon figures can be in the unit it says: a thousandfold error is invisible row by row."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pyarrow as pa

from wattlake_contracts.column import Column, Input
from wattlake_pipelines.imports.mixture import mixed, parts, strange_zone


@cache
def _bounds() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("plausible.toml").read_text(encoding="utf-8"))


def implausible(table: pa.Table, written: Mapping[str, tuple[Column, Input]], lines: np.ndarray | None = None) -> list[str]:
    """What about the distribution of each carbon column speaks against its unit; empty if nothing does.

    table: rows with stored names and units. written: the file's columns, for the wording and for
    the other spellings that would fit. lines: the line of each row in the file.
    """
    bounds, found = _bounds(), []
    named = {column.name: (name, column, given) for name, (column, given) in written.items()}
    for bound in bounds["bound"]:
        for stored in bound["columns"]:
            if stored not in named:
                continue
            sizes = _nonzero(table, stored)
            if not len(sizes) or (why := _against(sizes, bound)) is None:
                continue
            if why.startswith("even") and stored == "direct_g_per_kwh" and _clean(table, named, bounds["clean"]):
                continue
            found.append(f"{named[stored][0]}: {why}{_fitting(sizes, bound, *named[stored])}")
    if not found:
        found += _mixtures(table, named, np.arange(1, table.num_rows + 1) if lines is None else lines)
    if not found and (why := _reversed(table, named, bounds["ratio"])):
        found.append(why)
    return found


def _mixtures(table: pa.Table, named: Mapping[str, Any], lines: np.ndarray) -> list[str]:
    """The columns that hold two units, by zone, with the first lines of those in the other one."""
    bounds, found = _bounds(), []
    limits = bounds["mixture"]
    for bound in bounds["bound"]:
        for stored in (c for c in bound["columns"] if c in limits["columns"] and c in named):
            for part in parts(table, stored):
                if why := strange_zone(part, stored, limits):
                    found.append(f"{named[stored][0]}: {why} {bound['unit']}")
                elif (low := mixed(part, bound["largest_below"], limits)) is not None and not (
                        stored == "direct_g_per_kwh" and _clean(table.take(pa.array(low)), named, bounds["clean"])):
                    shown = ", ".join(str(line) for line in np.sort(lines[low])[:3])
                    found.append(f"{named[stored][0]}: {len(low):,} of the {len(part.rows):,} figures of zone {part.zone} are a thousandfold below "
                                 f"the others, as if in another unit (lines {shown}{' …' if len(low) > 3 else ''})")
    return found


def _nonzero(table: pa.Table, name: str) -> np.ndarray:
    """Magnitudes of a column's finite, non-zero values."""
    values = np.abs(table.column(name).drop_null().to_numpy().astype(np.float64))
    return np.asarray(values[np.isfinite(values) & (values > 0)])


def _against(sizes: np.ndarray, bound: Mapping[str, Any]) -> str | None:
    largest, median = float(sizes.max()), float(np.median(sizes))
    if largest < bound["largest_below"]:
        return f"even the largest value is {largest:.4g} {bound['unit']}, below {bound['largest_below']:g} ({bound['source_largest']})"
    if median > bound["median_above"]:
        return f"half of the values are above {median:.6g} {bound['unit']}, more than {bound['median_above']:g} ({bound['source_median']})"
    return None


def _clean(table: pa.Table, named: Mapping[str, Any], clean: Mapping[str, Any]) -> bool:
    """Whether life-cycle figures of the same file, plausible themselves, show a clean fleet."""
    if "lifecycle_g_per_kwh" not in named:
        return False
    sizes = _nonzero(table, "lifecycle_g_per_kwh")
    bound = next(b for b in _bounds()["bound"] if "lifecycle_g_per_kwh" in b["columns"])
    return bool(len(sizes)) and _against(sizes, bound) is None and float(np.median(sizes)) < clean["lifecycle_median_below"]


def _fitting(sizes: np.ndarray, bound: Mapping[str, Any], name: str, column: Column, given: Input) -> str:
    """The other spellings of the column whose unit would make the values plausible."""
    fits = [i.name for i in column.accepted_inputs if i.name != name and _against(sizes / given.scale * i.scale, bound) is None]
    return f"; as {' or '.join(fits)} they would do" if fits else ""


def _reversed(table: pa.Table, named: Mapping[str, Any], ratio: Mapping[str, Any]) -> str | None:
    if not {"direct_g_per_kwh", "lifecycle_g_per_kwh"} <= set(named):
        return None
    direct = table.column("direct_g_per_kwh").to_numpy()
    lifecycle = table.column("lifecycle_g_per_kwh").to_numpy()
    both = np.isfinite(direct) & np.isfinite(lifecycle) & (direct > 0) & (lifecycle > 0)
    if not both.any():
        return None
    median = float(np.median(lifecycle[both] / direct[both]))
    if median >= ratio["lifecycle_to_direct_median_below"]:
        return None
    return (f"{named['lifecycle_g_per_kwh'][0]} is {median:.3g} times {named['direct_g_per_kwh'][0]} (median), "
            f"yet a life cycle holds the direct emissions: one of the two is in another unit")
