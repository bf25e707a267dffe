"""Who is whose parent in a cell (section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from wattlake_pipelines.account.kernels.cells import Cells, Hours
from wattlake_pipelines.account.kernels.fleet import Inventory
from wattlake_pipelines.account.kernels.ranges import Bools, Ints, among, distinct
from wattlake_pipelines.account.kernels.series import Attributes

_RANKS = 7
#: The parts that a psys counter holds.
_IN_PSYS = ("cpu", "dram")


@dataclass(frozen=True)
class Tree:
    """parent: per row of the presence, the row of its parent in the same cell; -1 for a root."""

    parent: Ints


def ranks(attributes: Attributes, kinds: pa.Array, boundaries: pa.Array) -> tuple[Ints, Bools]:
    """(the rank of each set of attributes, whether a psys may be its parent)."""
    kind_words, boundary_words = kinds.to_pylist(), boundaries.to_pylist()
    pairs = [(kind_words[k], boundary_words[b]) for k, b in zip(attributes.device_kind, attributes.boundary, strict=True)]
    return (np.array([_rank(kind, boundary) for kind, boundary in pairs], np.int64),
            np.array([kind in _IN_PSYS for kind, _ in pairs], bool))


def _rank(kind: str, boundary: str) -> int:
    meters = {"pdu": 5, "facility": 6}
    if boundary in meters:
        return meters[boundary]
    if kind == "node":
        return 4 if boundary == "node_ac" else 3
    return {"psys": 1, "psu": 2}.get(kind, 0)


def find_parents(hours: Hours, cells: Cells, row_first: Ints, device_hour: Ints, cell: Ints, covers: Bools,
                 rank: Ints, in_psys: Bools, inventory: Inventory) -> Tree:
    """The tree in each cell, of rows by (device, cell) with their rank; only a row that covers its cell is a parent."""
    by_rank = _by_rank(cell, covers, rank, in_psys, len(cells.start_ms))
    if (inventory.parent < 0).all():
        return Tree(by_rank)
    row, above = _by_name(hours, cells, row_first, device_hour, cell, covers, inventory)
    if not len(row):
        return Tree(by_rank)
    parent = by_rank.copy()
    parent[row] = above
    # by rank one only gets higher: a circle has a named parent that is not
    if (rank[above] <= rank[row]).any():
        named = np.zeros(len(parent), bool)
        named[row] = True
        while (circle := _on_circle(parent) & named).any():
            parent[circle] = by_rank[circle]
            named &= ~circle
    return Tree(parent)


def _by_rank(cell: Ints, covers: Bools, rank: Ints, in_psys: Bools, cells: int) -> Ints:
    """The first row (rows are in order of device) of the lowest higher rank that covers the cell; -1 if none."""
    none = len(cell)
    best = np.full((cells, _RANKS), none)
    candidate = np.flatnonzero(covers & (rank > 0))
    if not len(candidate):
        return np.full(len(cell), -1, np.int64)
    np.minimum.at(best, (cell[candidate], rank[candidate]), candidate)
    above = np.full((cells, _RANKS), none)
    for level in range(_RANKS - 2, -1, -1):
        above[:, level] = np.where(best[:, level + 1] < none, best[:, level + 1], above[:, level + 1])
    # rank 1 is psys: what it does not hold looks above it
    found = above[cell, np.where((rank == 0) & ~in_psys, 1, rank)]
    return np.where(found < none, found, -1)


def _by_name(hours: Hours, cells: Cells, row_first: Ints, device_hour: Ints, cell: Ints, covers: Bools,
             inventory: Inventory) -> tuple[Ints, Ints]:
    """(row, the row of its cell nearest up its chain of names that covers the cell), for the rows that have one.

    All chains are followed side by side. One that runs in a circle without such a row is left when it is back at a
    name marked before; the mark moves on after 1, 2, 4, … steps (R. P. Brent, BIT 20, 1980), so that it gets on to the circle.
    """
    found = [np.zeros((2, 0), np.int64)]
    device = hours.device[device_hour]
    row = np.flatnonzero(among(distinct(inventory.device[inventory.parent >= 0]), device))
    at = mark = device[row]
    step = 0
    while len(row):
        hour = cells.hour[cell[row]]
        at = inventory.parent_of(at, cells.start_ms[cell[row]])
        read = hours.device_hours(at, hour)
        there = row_first[read] + cell[row] - cells.first[hour]
        holds = (read >= 0) & covers[np.where(read >= 0, there, 0)]
        found.append(np.stack([row[holds], there[holds]]))
        on = (at >= 0) & ~holds & (at != mark)
        row, at, mark = row[on], at[on], mark[on]
        step += 1
        if step & (step - 1) == 0:
            mark = at
    row, above = np.concatenate(found, axis=1)
    return row, above


def _on_circle(parent: Ints) -> Bools:
    """Which rows are their own ancestor.

    Each step doubles the distance looked up. Who still has an ancestor after more steps than there
    are rows on the longest path is on or below a circle, and that ancestor is on it.
    """
    far = parent.copy()
    circle = np.zeros(len(parent), bool)
    alive = np.flatnonzero(far >= 0)
    for _ in range(len(parent).bit_length() + 1):
        if not len(alive):
            return circle
        # a row whose path ends is no row's way on to a circle
        far[alive] = np.where(far[alive] >= 0, far[far[alive]], -1)
        alive = alive[far[alive] >= 0]
    circle[far[alive]] = True
    return circle
