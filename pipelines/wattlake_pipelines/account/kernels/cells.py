"""Hours of nodes, cut into periods and cells (section 2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wattlake_pipelines.account.kernels.fleet import Fleet, Inventory
from wattlake_pipelines.account.kernels.intervals import Stretches
from wattlake_pipelines.account.kernels.ranges import Ints, dense, distinct, expand, find

HOUR_MS = 3_600_000
#: Bits that hold an offset within an hour; a place in time is (node-hour << OFFSET_BITS) | offset.
OFFSET_BITS = 22


@dataclass(frozen=True)
class Hours:
    """The hours of nodes in which anything was read (node-hours, by (node, hour)), and of devices (by (device, node-hour)).

    touch_*: each stretch with each hour that it touches, by (device, start): row of the stretch,
    node-hour, device-hour.
    """

    wanted_ms: Ints
    key: Ints
    device: Ints
    device_key: Ints
    touch_stretch: Ints
    touch_hour: Ints
    touch_device_hour: Ints

    @classmethod
    def of(cls, hours_ms: Ints, stretches: Stretches, fleet: Fleet) -> Hours:
        """Of stretches by (device, start)."""
        wanted = distinct(hours_ms)
        first, count = _touched(wanted, stretches.start_ms, stretches.end_ms)
        stretch, hour = expand(first, count)
        device = stretches.device[stretch]
        node_hour = fleet.node_of[device] * len(wanted) + hour
        key, number = dense(node_hour, len(fleet.node_words) * len(wanted))
        device_key, device_hour = dense(device * len(key) + number, fleet.devices * len(key))
        return cls(wanted, key, device_key // max(len(key), 1), device_key, stretch, number, device_hour)

    @property
    def start_ms(self) -> Ints:
        """When each node-hour begins."""
        return self.wanted_ms[self.key % len(self.wanted_ms)]

    @property
    def node(self) -> Ints:
        """The node of each node-hour."""
        return self.key // len(self.wanted_ms)

    @property
    def of_device(self) -> Ints:
        """The node-hour of each device-hour."""
        return self.device_key % len(self.key)

    def places(self, node: Ints, at_ms: Ints) -> tuple[Ints, Ints]:
        """Instants on nodes as places in time, less those at the start of an hour or in no node-hour: (row, place)."""
        hour = np.searchsorted(self.wanted_ms, at_ms, "right") - 1
        offset = at_ms - self.wanted_ms[hour]
        inside = np.flatnonzero((node >= 0) & (hour >= 0) & (offset > 0) & (offset < HOUR_MS))
        number = find(self.key, node[inside] * len(self.wanted_ms) + hour[inside])
        return inside[number >= 0], ((number << OFFSET_BITS) | offset[inside])[number >= 0]

    def spans(self, node: Ints, start_ms: Ints, end_ms: Ints) -> tuple[Ints, Ints]:
        """Spans on nodes with each node-hour that they touch: (row of the span, node-hour)."""
        first, count = _touched(self.wanted_ms, start_ms, end_ms)
        owner, hour = expand(first, np.where(node >= 0, count, 0))
        number = find(self.key, node[owner] * len(self.wanted_ms) + hour)
        return owner[number >= 0], number[number >= 0]

    def device_hours(self, device: Ints, node_hour: Ints) -> Ints:
        """The device-hour of each (device, node-hour), -1 where the device was not read in it."""
        return np.where(device >= 0, find(self.device_key, device * len(self.key) + node_hour), -1)


def _touched(hours_ms: Ints, start_ms: Ints, end_ms: Ints) -> tuple[Ints, Ints]:
    first = np.searchsorted(hours_ms, start_ms - HOUR_MS, "right")
    return first, np.where(start_ms < end_ms, np.searchsorted(hours_ms, end_ms, "left") - first, 0)


@dataclass(frozen=True)
class Cells:
    """Cells and periods, each by (node-hour, start). first: the first cell of each node-hour, and the number of cells last."""

    start_ms: Ints
    end_ms: Ints
    hour: Ints
    place: Ints
    first: Ints
    period: Ints
    period_start_ms: Ints
    period_end_ms: Ints
    period_hour: Ints

    def between(self, hour: Ints, start: Ints, end: Ints) -> tuple[Ints, Ints]:
        """(first cell, how many) that the offsets [start, end) of each node-hour touch."""
        first = np.searchsorted(self.place, (hour << OFFSET_BITS) | start, "right") - 1
        return first, np.searchsorted(self.place, (hour << OFFSET_BITS) + end, "left") - first

    def held(self, hours: Hours, node_hour: Ints, start_ms: Ints, end_ms: Ints) -> tuple[Ints, Ints]:
        """Spans, each within one node-hour as far as it counts, with the cells they touch: (row of the span, cell)."""
        begin = hours.start_ms[node_hour]
        first, count = self.between(node_hour, np.maximum(start_ms - begin, 0), np.minimum(end_ms - begin, HOUR_MS))
        return expand(first, count)


def cut(hours: Hours, period_cuts: Ints, cell_cuts: Ints) -> Cells:
    """The cells of node-hours: cut by places in time, of which the first also cut periods."""
    whole = np.arange(len(hours.key)) << OFFSET_BITS
    periods = distinct(whole, period_cuts)
    places = distinct(periods, cell_cuts)
    start, end, hour = _instants(hours, places)
    period_start, period_end, period_hour = _instants(hours, periods)
    return Cells(start, end, hour, places, np.searchsorted(places, np.append(whole, len(whole) << OFFSET_BITS)),
                 np.searchsorted(periods, places, "right") - 1, period_start, period_end, period_hour)


def _instants(hours: Hours, places: Ints) -> tuple[Ints, Ints, Ints]:
    hour = places >> OFFSET_BITS
    begin = hours.start_ms[hour]
    start = begin + (places & ((1 << OFFSET_BITS) - 1))
    end = begin + HOUR_MS
    last = np.append(hour[1:] != hour[:-1], True)
    end[~last] = np.append(start[1:], 0)[~last]
    return start, end, hour


def coverage_cuts(hours: Hours, stretches: Stretches, rank: Ints, inventory: Inventory, fleet: Fleet) -> Ints:
    """Where the coverage of devices that can be a parent in an hour begins or ends, as places in time.

    rank: per attribute. It can be one where an interval that touches the hour has a rank above 0, or
    the inventory in force at any time of the hour names it.
    """
    parents = np.zeros(len(hours.device_key), bool)
    parents[hours.touch_device_hour[rank[stretches.attribute[hours.touch_stretch]] > 0]] = True
    node = fleet.node_of[inventory.naming_parent]
    owner, hour = hours.spans(node, inventory.naming_start_ms, inventory.naming_end_ms)
    named = hours.device_hours(inventory.naming_parent[owner], hour)
    parents[named[named >= 0]] = True
    if not parents.any():
        return np.zeros(0, np.int64)
    device, edge = _coverage_edges(stretches)
    row, place = hours.places(fleet.node_of[device], edge)
    at = hours.device_hours(device[row], place >> OFFSET_BITS)
    return place[(at >= 0) & parents[at]]


def _coverage_edges(stretches: Stretches) -> tuple[Ints, Ints]:
    """(device, ms) where stretches by (device, start) begin or end without another beside them."""
    joined = (stretches.device[1:] == stretches.device[:-1]) & (stretches.end_ms[:-1] == stretches.start_ms[1:])
    begins, ends = np.append(True, ~joined), np.append(~joined, True)
    return (np.concatenate([stretches.device[begins], stretches.device[ends]]),
            np.concatenate([stretches.start_ms[begins], stretches.end_ms[ends]]))
