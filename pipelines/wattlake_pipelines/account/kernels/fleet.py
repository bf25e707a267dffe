"""The nodes and devices that have readings, as numbers, and the inventory in those numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_pipelines.account.kernels.ranges import Bools, Ints, dense, find, last_at_or_before
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
    """Rows of the inventory of devices with readings, by (device, start).

    parent: its number, -1 where it has no readings; named: whether a parent is named at all.
    max_power_mw: -1 where unknown. naming_*: every row that names a parent with readings, also those
    of devices without.
    """

    device: Ints
    start_ms: Ints
    end_ms: Ints
    max_power_mw: Ints
    parent: Ints
    named: Bools
    naming_parent: Ints
    naming_start_ms: Ints
    naming_end_ms: Ints

    @classmethod
    def of(cls, rows: pa.Table, fleet: Fleet) -> Inventory:
        """Inventory rows (node, device, parent, max_power_mw, start_ms, end_ms), disjoint per device."""
        node = fleet.nodes(rows.column("node"))
        device = fleet.devices_of(node, rows.column("device"))
        parent = fleet.devices_of(node, rows.column("parent"))
        named = np.asarray(pc.is_valid(rows.column("parent")).to_numpy(), bool)
        start, end = numbers(rows.column("start_ms")), numbers(rows.column("end_ms"))
        power = numbers(rows.column("max_power_mw"))
        naming = (parent >= 0) & (start < end)
        at = np.flatnonzero((device >= 0) & (start < end))
        at = at[np.lexsort((start[at], device[at]))]
        return cls(device[at], start[at], end[at], power[at], parent[at], named[at], parent[naming], start[naming], end[naming])

    def in_force(self, device: Ints, at_ms: Ints) -> Ints:
        """The row in force for each device at an instant; -1 where there is none."""
        return segment_at(self.device, self.start_ms, self.end_ms, device, at_ms)


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
