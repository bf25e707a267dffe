"""The nodes and devices that have readings, as numbers, and the inventory in those numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_pipelines.account.kernels.ranges import Ints, dense, find, last_at_or_before
from wattlake_pipelines.account.kernels.texts import Coded


@dataclass(frozen=True)
class Fleet:
    """Nodes are numbered by name, devices by (node, device), code points; -1 is one without readings."""

    node_words: pa.Array
    device_words: pa.Array
    key: Ints

    @classmethod
    def of(cls, node: Coded, device: Coded) -> tuple[Fleet, Ints]:
        """The fleet in rows of (node, device), and the device number of each row."""
        words = len(device.words)
        key, number = dense(node.code * words + device.code, len(node.words) * words)
        return cls(node.words, device.words, key), number

    @property
    def devices(self) -> int:
        """How many devices there are."""
        return len(self.key)

    @property
    def node_of(self) -> Ints:
        """The node of each device."""
        return self.key // max(len(self.device_words), 1)

    @property
    def names(self) -> pa.Array:
        """The name of each device, without its node."""
        return self.device_words.take(pa.array(self.key % max(len(self.device_words), 1)))

    def nodes(self, column: pa.ChunkedArray) -> Ints:
        """The number of each node named; -1 for an unknown one and for NULL."""
        return _places(column, self.node_words)

    def devices_of(self, node: Ints, column: pa.ChunkedArray) -> Ints:
        """The number of each device named on its node; -1 for an unknown one and for NULL."""
        word = _places(column, self.device_words)
        known = (node >= 0) & (word >= 0)
        return np.where(known, find(self.key, node * len(self.device_words) + word), -1)


def _places(column: pa.ChunkedArray, words: pa.Array) -> Ints:
    place = pc.index_in(column.cast(pa.string()), value_set=words, skip_nulls=True)
    return numbers(pc.fill_null(place, -1).cast(pa.int64()))


def numbers(column: pa.ChunkedArray, missing: int = -1) -> Ints:
    """An integer column as int64; NULL becomes `missing`."""
    filled = pc.fill_null(column.cast(pa.int64()), missing)
    return np.asarray(filled.to_numpy(), np.int64) if len(filled) else np.zeros(0, np.int64)


@dataclass(frozen=True)
class Inventory:
    """Rows of the inventory, by (device, start).

    device, parent: numbers of the fleet; what has no readings is numbered after it, so that a chain of
    names can be followed through it. parent: -1 where none is named. max_power_mw: -1 where unknown.
    naming_*: the rows that name a parent with readings.
    """

    device: Ints
    start_ms: Ints
    end_ms: Ints
    max_power_mw: Ints
    parent: Ints
    naming_parent: Ints
    naming_start_ms: Ints
    naming_end_ms: Ints

    @classmethod
    def of(cls, rows: pa.Table, fleet: Fleet) -> Inventory:
        """Inventory rows (node, device, parent, max_power_mw, start_ms, end_ms), disjoint per device; of unread nodes they are left out."""
        node = fleet.nodes(rows.column("node"))
        device, parent = _numbered(fleet, node, rows.column("device"), rows.column("parent"))
        start, end = numbers(rows.column("start_ms")), numbers(rows.column("end_ms"))
        power = numbers(rows.column("max_power_mw"))
        at = np.flatnonzero((device >= 0) & (start < end))
        at = at[np.lexsort((start[at], device[at]))]
        naming = at[(parent[at] >= 0) & (parent[at] < fleet.devices)]
        return cls(device[at], start[at], end[at], power[at], parent[at], parent[naming], start[naming], end[naming])

    def in_force(self, device: Ints, at_ms: Ints) -> Ints:
        """The row in force for each device at an instant; -1 where there is none."""
        return segment_at(self.device, self.start_ms, self.end_ms, device, at_ms)

    def parent_of(self, device: Ints, at_ms: Ints) -> Ints:
        """The parent named for each device at an instant; -1 where none is."""
        if not len(self.device):
            return np.full(len(device), -1, np.int64)
        row = self.in_force(device, at_ms)
        return np.where(row >= 0, self.parent[row], -1)


def _numbered(fleet: Fleet, node: Ints, device: pa.ChunkedArray, parent: pa.ChunkedArray) -> tuple[Ints, Ints]:
    """Both columns as numbers: those of the fleet, then one for every other name on a node of it; -1 for NULL and on other nodes."""
    names = pa.chunked_array([*device.cast(pa.string()).chunks, *parent.cast(pa.string()).chunks], pa.string())
    on = np.tile(node, 2)
    number = fleet.devices_of(on, names)
    strange = np.flatnonzero((on >= 0) & (number < 0) & np.asarray(pc.is_valid(names).to_numpy(), bool))
    words = pc.unique(names)
    word = np.asarray(pc.index_in(names, value_set=words).to_numpy(), np.int64)[strange]
    _, place = dense(on[strange] * len(words) + word, len(fleet.node_words) * len(words))
    number[strange] = fleet.devices + place
    return number[:len(node)], number[len(node):]


def segment_at(owners: Ints, start_ms: Ints, end_ms: Ints, owner: Ints, at_ms: Ints) -> Ints:
    """Of segments sorted by (owner, start), disjoint per owner, the one that holds each (owner, instant); -1 if none."""
    low = np.searchsorted(owners, owner, "left")
    high = np.searchsorted(owners, owner, "right") - 1
    known = np.flatnonzero(low <= high)
    row = np.full(len(owner), -1, np.int64)
    if len(known):
        at = last_at_or_before(start_ms, at_ms[known], low[known], high[known])
        holds = (start_ms[at] <= at_ms[known]) & (at_ms[known] < end_ms[at])
        row[known] = np.where(holds, at, -1)
    return row
