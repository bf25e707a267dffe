"""The energy of devices in cells, and the leaves of the tree that they form (sections 2 and 3)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wattlake_pipelines.account.kernels.cells import Cells, Hours
from wattlake_pipelines.account.kernels.counter import energy_at
from wattlake_pipelines.account.kernels.intervals import CLASSES, IMPUTED, PARTS_MISSING, Stretches
from wattlake_pipelines.account.kernels.ranges import Bools, Ints, group_starts
from wattlake_pipelines.account.kernels.tree import Tree


@dataclass(frozen=True)
class Presence:
    """Every device known in an hour with every cell of that hour, by (device, cell).

    energy_mj: (CLASSES, rows). covered_ms, solid_ms: covered by intervals, and by intervals that are
    not imputed. touched: whether an interval touches the cell. rest: whether the row stands for what
    a parent draws beyond its children; its energy is then that.
    """

    device_hour: Ints
    cell: Ints
    first: Ints
    attribute: Ints
    flags: Ints
    energy_mj: Ints
    solid_ms: Ints
    covers: Bools
    touched: Bools
    rest: Bools

    def rows(self, hours: Hours, cells: Cells, device_hour: Ints, cell: Ints) -> Ints:
        """The row of each (device-hour, cell of that hour)."""
        return self.first[device_hour] + cell - cells.first[hours.of_device[device_hour]]


def presence(hours: Hours, cells: Cells, stretches: Stretches, ts_ms: Ints, total_mj: Ints) -> Presence:
    """Cells with the energy of each device, class by class, and the flags and attributes of its intervals there."""
    counts = np.diff(cells.first)[hours.of_device]
    first = np.cumsum(counts) - counts
    device_hour = np.repeat(np.arange(len(counts)), counts)
    cell = np.arange(len(device_hour)) - np.repeat(first - cells.first[hours.of_device], counts)
    rows = len(cell)
    # the attributes of the latest interval that touches the hour, then of the latest in each cell
    touch = hours.touch_stretch
    last = np.append(group_starts(hours.touch_device_hour)[1:], len(touch)) - 1
    attribute = stretches.attribute[touch[last]][device_hour]
    pair, at_cell = cells.held(hours, hours.touch_hour, stretches.start_ms[touch], stretches.end_ms[touch])
    part = stretches.take(touch[pair])
    begin = np.maximum(part.start_ms, cells.start_ms[at_cell])
    end = np.minimum(part.end_ms, cells.end_ms[at_cell])
    drawn = energy_at(ts_ms, total_mj, end, part.low, part.high) - energy_at(ts_ms, total_mj, begin, part.low, part.high)
    row = first[hours.touch_device_hour[pair]] + at_cell - cells.first[hours.touch_hour[pair]]
    begins = group_starts(row)
    at = row[begins]
    energy = np.zeros((CLASSES, rows), np.int64)
    for grade in range(CLASSES):
        held = part.grade == grade
        if held.any():
            energy[grade, at] = np.add.reduceat(np.where(held, drawn, 0), begins)
    covered, solid, flags = np.zeros(rows, np.int64), np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    covered[at] = np.add.reduceat(end - begin, begins)
    solid[at] = np.add.reduceat(np.where(part.grade == IMPUTED, 0, end - begin), begins)
    flags[at] = np.bitwise_or.reduceat(part.flags, begins)
    attribute[at] = part.attribute[np.append(begins[1:], len(row)) - 1]
    touched = np.zeros(rows, bool)
    touched[at] = True
    covers = covered == (cells.end_ms - cells.start_ms)[cell]
    return Presence(device_hour, cell, first, attribute, flags, energy, solid, covers, touched, np.zeros(rows, bool))


def with_rests(given: Presence, tree: Tree) -> Presence:
    """Parents that have children with readings in a cell become what they draw beyond these (section 3)."""
    child = np.flatnonzero((tree.parent >= 0) & given.touched)
    if not len(child):
        return given
    parent = tree.parent[child]
    rest, energy, flags = np.zeros_like(given.rest), given.energy_mj.copy(), given.flags.copy()
    rest[parent] = True
    for grade in range(CLASSES):
        np.subtract.at(energy[grade], parent, given.energy_mj[grade, child])
    np.bitwise_or.at(flags, parent, given.flags[child])
    short = tree.parent[(tree.parent >= 0) & ~given.covers]
    flags[short[rest[short]]] |= PARTS_MISSING
    return replace(given, rest=rest, energy_mj=energy, flags=flags)
