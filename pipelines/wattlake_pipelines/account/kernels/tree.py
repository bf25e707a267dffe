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
    parent = _by_rank(cell, covers, rank, in_psys, len(cells.start_ms))
    row = _named(hours, cells, device_hour, cell, inventory)
    named = np.flatnonzero(row >= 0)
    if len(named):
        at = hours.device_hours(inventory.parent[row[named]], cells.hour[cell[named]])
        wanted = row_first[at] + cell[named] - cells.first[cells.hour[cell[named]]]
        parent[named] = np.where((at >= 0) & covers[np.where(at >= 0, wanted, 0)], wanted, -1)
        circle = _on_circle(parent)
        by_inventory = np.zeros(len(parent), bool)
        by_inventory[named] = True
        parent[circle & by_inventory] = -1
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


def _named(hours: Hours, cells: Cells, device_hour: Ints, cell: Ints, inventory: Inventory) -> Ints:
    """The inventory row that names the parent of each row at the start of its cell; -1 where none does."""
    row = np.full(len(cell), -1, np.int64)
    naming = distinct(inventory.device[inventory.named])
    if not len(naming):
        return row
    device = hours.device[device_hour]
    asked = np.flatnonzero(among(naming, device))
    found = inventory.in_force(device[asked], cells.start_ms[cell[asked]])
    row[asked] = np.where((found >= 0) & inventory.named[found], found, -1)
    return row


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
