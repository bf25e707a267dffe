"""The tree of a node's devices in one cell (docs/accounting.md, section 3)."""

from __future__ import annotations

from typing import NamedTuple

from oracle.intervals import CLASSES, Piece, inventory_at

HOUR_MS = 3_600_000


def rank(device_kind: str, boundary: str) -> int:
    """How far up a device stands: higher ones hold lower ones."""
    if boundary == "facility":
        return 6
    if boundary == "pdu":
        return 5
    if device_kind == "node":
        return 4 if boundary == "node_ac" else 3
    return {"psys": 1, "psu": 2}.get(device_kind, 0)


def coverage(pieces: list[Piece]) -> list[tuple[int, int]]:
    """The union of the pieces, as few spans as possible."""
    spans: list[tuple[int, int]] = []
    for p in sorted(pieces, key=lambda p: p.start):
        if spans and p.start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], p.end))
        else:
            spans.append((p.start, p.end))
    return spans


def on_circle(device: str, parent: dict[str, str | None]) -> bool:
    """Whether the device is its own ancestor."""
    at = parent[device]
    for _ in parent:
        if at is None or at == device:
            break
        at = parent[at]
    return at == device


class Leaf(NamedTuple):
    """One leaf of a cell: owner is the device whose readings it comes from."""

    device: str
    owner: str
    device_kind: str
    boundary: str
    simulated: bool
    energy: dict[str, int]
    flags: frozenset


class Cell:
    """A node's devices in [start, end): `hour` holds, per device, the pieces that touch the hour."""

    def __init__(self, node: str, start: int, end: int, hour: dict[str, list[Piece]], devices: list[dict]) -> None:
        self.node, self.start, self.end, self.hour, self.devices = node, start, end, hour, devices
        self.here = {d: found for d, pieces in hour.items() if (found := [p for p in pieces if p.touches(start, end)])}
        self.spans = {d: coverage(pieces) for d, pieces in hour.items()}
        self.parent = self._parents()

    def covers(self, device: str) -> bool:
        """Whether the device was read throughout."""
        return any(a <= self.start and self.end <= b for a, b in self.spans.get(device, []))

    def attributes(self, device: str) -> Piece:
        """The latest piece in the cell, else in the hour."""
        return max(self.here.get(device) or self.hour[device], key=lambda p: p.start)

    def rank(self, device: str) -> int:
        """By the device's attributes here."""
        of = self.attributes(device).of
        return rank(of.device_kind, of.boundary)

    def named_parent(self, device: str) -> str | None:
        """What the inventory says."""
        row = inventory_at(self.devices, self.node, device, self.start)
        return row["parent"] if row else None

    def chain(self, device: str) -> list[str]:
        """The parent named for the device, the one named for that, and so on, each once."""
        names: list[str] = []
        name = self.named_parent(device)
        while name is not None and name not in names:
            names.append(name)
            name = self.named_parent(name)
        return names

    def by_name(self, device: str) -> str | None:
        """The nearest in the chain that covers the cell."""
        covering = [name for name in self.chain(device) if self.covers(name)]
        return covering[0] if covering else None

    def by_rank(self, device: str) -> str | None:
        """The first device of the lowest higher rank that covers the cell."""
        mine = self.rank(device)
        skip_psys = self.attributes(device).of.device_kind not in ("cpu", "dram")
        candidates = [(self.rank(d), d) for d in self.hour if self.covers(d) and self.rank(d) > mine]
        candidates = [(r, d) for r, d in candidates if not (r == 1 and skip_psys)]
        return min(candidates)[1] if candidates else None

    def _parents(self) -> dict[str, str | None]:
        """By name, else by rank; names on circles give way to ranks until there is no circle."""
        named = {d: name for d in self.hour if (name := self.by_name(d)) is not None}
        while True:
            parent = {d: named[d] if d in named else self.by_rank(d) for d in self.hour}
            circle = [d for d in self.hour if on_circle(d, parent)]
            if not circle:
                return parent
            for device in circle:
                named.pop(device, None)

    def own(self, device: str) -> dict[str, int]:
        """The device's own energy here, class by class."""
        energy = dict.fromkeys(CLASSES, 0)
        for p in self.here.get(device, []):
            energy[p.of.klass] += p.energy(self.start, self.end)
        return energy

    def flags(self, device: str) -> frozenset:
        """Of the pieces here."""
        return frozenset().union(*(p.flags for p in self.here.get(device, [])))

    def leaves(self) -> list[Leaf]:
        """Devices without children here, and what is left of those with."""
        out = []
        for device in sorted(self.here):
            of = self.attributes(device).of
            children = [c for c in self.here if self.parent[c] == device]
            energy = self.own(device)
            if not children:
                out.append(Leaf(device, device, of.device_kind, of.boundary, of.simulated, energy, self.flags(device)))
                continue
            for child in children:
                for klass, amount in self.own(child).items():
                    energy[klass] -= amount
            known = [c for c in self.hour if self.parent[c] == device]
            flags = self.flags(device).union(*(self.flags(c) for c in children))
            if not all(self.covers(c) for c in known):
                flags |= {"parts_missing"}
            out.append(Leaf(f"{device}.rest", device, "rest", of.boundary, of.simulated, energy, flags))
        return out
