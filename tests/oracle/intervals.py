"""From readings to intervals (docs/accounting.md, section 1), one reading at a time."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any, NamedTuple

HOUR_MS = 3_600_000
CLASSES = ("measured", "integrated", "estimated", "imputed")
CLASS_OF_METHOD = {"counter": "measured", "integrated": "integrated", "estimated": "estimated"}


class Settings(NamedTuple):
    """Figures of the rules; the lake may set the first."""

    long_gap_ms: int = 300_000
    implausible_power_ratio: float = 1.5
    longest_gap_ms: int = 400 * 24 * HOUR_MS


class Kept(NamedTuple):
    """The reading kept of those at one instant."""

    ts: int
    value: int
    reading: dict
    conflict: bool


class Interval(NamedTuple):
    """What lies between two readings of one series."""

    start: int
    end: int
    energy: int
    power: bool
    klass: str
    epoch: str
    device_kind: str
    boundary: str
    simulated: bool
    flags: frozenset
    #: numbers of the hours in which it is flagged so
    implausible: frozenset[int] = frozenset()

    def upto(self, t: int) -> int:
        """Energy from the start to t, rounded half up once."""
        length = self.end - self.start
        return (2 * self.energy * (t - self.start) + length) // (2 * length)


class Piece(NamedTuple):
    """What the overlap rule left of an interval."""

    start: int
    end: int
    of: Interval
    flags: frozenset

    def energy(self, start: int, end: int) -> int:
        """Its energy within [start, end)."""
        return self.of.upto(min(end, self.end)) - self.of.upto(max(start, self.start))

    def touches(self, start: int, end: int) -> bool:
        """Whether it shares more than an instant with [start, end)."""
        return max(start, self.start) < min(end, self.end)


def series_of(readings: list[dict]) -> dict[tuple, list[dict]]:
    """Readings per counter (node, device, epoch) and per power (node, device)."""
    series: dict[tuple, list[dict]] = {}
    for r in readings:
        key = (r["node"], r["device"], "power", "") if r["power_mw"] is not None else (r["node"], r["device"], "counter", r["epoch"])
        series.setdefault(key, []).append(r)
    return series


def value_of(reading: dict) -> int:
    """Its counter or its power."""
    return reading["power_mw"] if reading["power_mw"] is not None else reading["energy_mj"]


def deduplicated(readings: list[dict]) -> list[Kept]:
    """Rule 1: one reading per instant."""
    by_ts: dict[int, list[dict]] = {}
    for r in readings:
        by_ts.setdefault(r["ts_ms"], []).append(r)
    kept = []
    for ts in sorted(by_ts):
        best = max(by_ts[ts], key=lambda r: (value_of(r), r["method"] or "", r["boundary"] or "", r["device_kind"] or "", r["simulated"]))
        values = {value_of(r) for r in by_ts[ts]}
        kept.append(Kept(ts, value_of(best), best, len(values) > 1))
    return kept


def is_outlier(before: int, value: int, after: int) -> bool:
    """Rule 2: out of line with both neighbours, which agree."""
    return before <= after and not before <= value <= after


def intervals_of(kept: list[Kept], power: bool, devices: list[dict], settings: Any) -> list[Interval]:
    """Rules 2 to 5, for one series."""
    found: list[tuple[Interval, bool]] = []
    last: Kept | None = None
    skipped = False
    for i, now in enumerate(kept):
        if not power and 0 < i < len(kept) - 1 and is_outlier(kept[i - 1].value, now.value, kept[i + 1].value):
            skipped = True
            continue
        if last is not None:
            interval = between(last, now, power, skipped, settings)
            found.append((interval, bridged(interval, settings) and not plausible(interval, now.reading, devices, settings)))
        last, skipped = now, False
    return [interval._replace(implausible=hours_beside(found, i)) for i, (interval, dropped) in enumerate(found)
            if interval.energy >= 0 and bridged(interval, settings) and not dropped]


def bridged(interval: Interval, settings: Any) -> bool:
    """Whether its ends are near enough to spread its energy between them."""
    return bool(interval.end - interval.start <= settings.longest_gap_ms)


def hours_beside(found: list[tuple[Interval, bool]], i: int) -> frozenset[int]:
    """The hours that those next to the interval lie in which were dropped as implausible."""
    return frozenset(hour for j in (i - 1, i + 1) if 0 <= j < len(found) and found[j][1] for hour in hours_of(found[j][0].start, found[j][0].end))


def hours_of(start: int, end: int) -> range:
    """The numbers of the hours that [start, end) touches."""
    return range(start // HOUR_MS, -(-end // HOUR_MS))


def between(a: Kept, b: Kept, power: bool, skipped: bool, settings: Any) -> Interval:
    """The interval from a to b."""
    length = b.ts - a.ts
    energy = ((a.value + b.value) * length + 1000) // 2000 if power else b.value - a.value
    method = b.reading["method"]
    if length > settings.long_gap_ms:
        klass = "imputed"
    elif power:
        klass = "estimated" if method == "estimated" else "integrated"
    else:
        klass = CLASS_OF_METHOD[method]
    flags = ({"conflict"} if a.conflict or b.conflict else set()) | ({"outlier"} if skipped else set())
    r = b.reading
    epoch = "" if power else r["epoch"]
    return Interval(a.ts, b.ts, energy, power, klass, epoch, r["device_kind"], r["boundary"], r["simulated"], frozenset(flags))


def plausible(interval: Interval, reading: dict, devices: list[dict], settings: Any) -> bool:
    """Whether a machine of that size could have drawn it."""
    row = inventory_at(devices, reading["node"], reading["device"], interval.start)
    if row is None or row["max_power_mw"] is None:
        return True
    most = Fraction(settings.implausible_power_ratio) * row["max_power_mw"] * (interval.end - interval.start)
    return interval.energy * 1000 <= most


def inventory_at(devices: list[dict], node: str, device: str, t: int) -> dict | None:
    """The inventory row in force at t."""
    for row in devices:
        if (row["node"], row["device"]) == (node, device) and row["start_ms"] <= t < row["end_ms"]:
            return row
    return None


def precedence(interval: Interval) -> tuple:
    """Rule 6: the smallest one wins."""
    return (interval.power, CLASSES.index(interval.klass), interval.epoch)


def pieces_of(intervals: list[Interval]) -> list[Piece]:
    """Rule 6 for the intervals of one device: what is left of each, in order of time."""
    pieces: list[Piece] = []
    for group in overlapping_groups(intervals):
        if len(group) == 1 and not group[0].implausible:
            pieces.append(Piece(group[0].start, group[0].end, group[0], group[0].flags))
            continue
        edges = sorted({t for i in group for t in (i.start, i.end)})
        of_group: list[Piece] = []
        for start, end in itertools.pairwise(edges):
            winner = min((i for i in group if i.start <= start and end <= i.end), key=precedence)
            for hour in hours_of(start, end):
                from_ms, to_ms = hour * HOUR_MS, (hour + 1) * HOUR_MS
                rivals = [i for i in group if i is not winner and max(i.start, winner.start, from_ms) < min(i.end, winner.end, to_ms)]
                flags = winner.flags | ({"overlap"} if rivals else set()) | ({"implausible"} if hour in winner.implausible else set())
                of_group.append(Piece(max(start, from_ms), min(end, to_ms), winner, flags))
        pieces += of_group
    return pieces


def overlapping_groups(intervals: list[Interval]) -> list[list[Interval]]:
    """Intervals in order of time, in groups between which nothing overlaps."""
    groups: list[list[Interval]] = []
    upto: int | None = None
    for i in sorted(intervals, key=lambda i: (i.start, i.end)):
        if upto is None or i.start >= upto:
            groups.append([])
        groups[-1].append(i)
        upto = i.end if upto is None else max(upto, i.end)
    return groups


def device_pieces(readings: list[dict], devices: list[dict], settings: Any) -> dict[tuple[str, str], list[Piece]]:
    """Section 1 in full: the pieces of every (node, device), in order of time."""
    intervals: dict[tuple[str, str], list[Interval]] = {}
    for (node, device, what, _), rows in series_of(readings).items():
        intervals.setdefault((node, device), []).extend(intervals_of(deduplicated(rows), what == "power", devices, settings))
    return {key: pieces_of(found) for key, found in intervals.items()}
