"""Small worlds for end-to-end tests: records of every kind, drawn by hypothesis."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from logs import payload
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.record import Meta

HOUR = 3_600_000
#: Three hours before a UTC midnight, so that hours and days are both crossed.
T0 = 1_760_054_400_000 - 3 * HOUR


@dataclass(frozen=True)
class Told:
    """One record as its writer made it."""

    kind: str
    rows: tuple[dict[str, object], ...]
    node: str
    boot: str
    seq: int
    appended_ms: int


def write(root: Path, told: Sequence[Told], partitions: int = 1) -> Path:
    """Write the records, spread in turn over some partitions."""
    writers = [LogWriter(root, f"p{i}") for i in range(partitions)]
    for i, t in enumerate(told):
        body, content_type = payload(t.kind, t.rows)
        writers[i % partitions].append(Meta(t.kind, t.node, t.boot, content_type=content_type), t.seq, body, t.appended_ms)
    for writer in writers:
        writer.close()
    return root


def _at(draw: st.DrawFn, hours: int = 6) -> int:
    """An instant near an hour's edge, or anywhere."""
    if draw(st.booleans()):
        return T0 + draw(st.integers(0, hours)) * HOUR + draw(st.sampled_from([-1, 0, 1, 500, -60_000, 60_000]))
    return T0 + draw(st.integers(0, hours * HOUR))


@st.composite
def worlds(draw: st.DrawFn) -> list[Told]:
    """A list of records: readings with faults, jobs told in pieces, places, sites and grids with later versions."""
    told: list[Told] = []
    counts: dict[str, int] = {}

    def tell(kind: str, rows: list[dict[str, object]], node: str) -> None:
        if not rows:
            return
        seq = counts.get(node, 0)
        counts[node] = seq + 1
        told.append(Told(kind, tuple(rows), node, "boot", seq, T0 + 10 * HOUR + seq * 1000))

    nodes = ["n0", "n1"]
    for node in nodes:
        for device, kind, boundary in draw(st.lists(st.sampled_from([
                ("gpu0", "gpu", "component"), ("gpu1", "gpu", "component"), ("cpu", "cpu", "component"),
                ("wall", "node", "node_ac")]), unique=True, max_size=3)):
            power = kind == "node" and draw(st.booleans())
            value = 0
            rows = []
            for ts in sorted({_at(draw) for _ in range(draw(st.integers(0, 9)))}):
                value += draw(st.integers(0, 500_000))
                shown = draw(st.sampled_from([value] * 6 + [0, value * 3, max(0, value - 100_000)]))
                rows.append({"node": node, "device": device, "device_kind": kind, "epoch": draw(st.sampled_from(["e", "e", "e", "f"])), "ts_ms": ts,
                             "energy_mj": None if power else shown, "power_mw": shown if power else None,
                             "method": "integrated" if power else "counter", "boundary": boundary, "simulated": False})
            cut = draw(st.integers(0, len(rows)))
            tell("readings", rows[:cut], node)
            tell("readings", rows[cut:], node)
        for job in draw(st.lists(st.sampled_from(["a", "b", "c"]), unique=True, max_size=2)):
            start = _at(draw)
            base = {"job": job, "node": node, "start_ms": start, "device": draw(st.sampled_from([None, None, "gpu0"])),
                    "share_ppm": draw(st.sampled_from([None, 500_000, 333_333])), "model": "m", "phase": "train"}
            tell("jobs", [{**base, "event_ms": start, "lease_ms": 180_000}], node)
            if draw(st.booleans()):
                tell("jobs", [{**base, "event_ms": start + HOUR, "lease_ms": 180_000}], node)
            if draw(st.booleans()):
                tell("jobs", [{**base, "end_ms": start + draw(st.integers(1, 3 * HOUR)), "event_ms": start + 3 * HOUR}], node)
        if draw(st.booleans()):
            tell("nodes", [{"node": node, "site": draw(st.sampled_from(["s", "t"])), "sku": "box", "valid_from_ms": draw(st.sampled_from([T0, T0 + 5_400_000])),
                            "event_ms": T0}], node)
            tell("nodes", [{"node": node, "device": "gpu0", "device_sku": "card", "site": "s", "valid_from_ms": T0, "event_ms": T0,
                            "max_power_mw": draw(st.sampled_from([None, 20, 400_000]))}], node)
            if draw(st.booleans()):  # for a while it could draw less, or nobody knows
                since = T0 + draw(st.integers(0, 4)) * HOUR
                tell("nodes", [{"node": node, "device": "gpu0", "device_sku": "card", "site": "s", "valid_from_ms": since, "event_ms": T0 + 1,
                                "valid_to_ms": since + draw(st.integers(1, 2)) * HOUR, "max_power_mw": draw(st.sampled_from([None, 20]))}], node)
    for site in ("s", "t"):
        for version in range(draw(st.integers(0, 2))):
            tell("sites", [{"site": site, "zone": draw(st.sampled_from(["Z", "Y"])), "pue": 1.1 + version / 10,
                            "valid_from_ms": None if version == 0 else T0 + draw(st.integers(0, 5)) * HOUR + 900_000}], "ref")
    for zone in ("Z", "Y"):
        for version in range(draw(st.integers(0, 2))):
            step = draw(st.sampled_from([HOUR, HOUR // 2]))
            first = draw(st.integers(0, 3))
            tell("grid", [{"zone": zone, "start_ms": T0 + first * HOUR + i * step, "end_ms": T0 + first * HOUR + (i + 1) * step,
                           "direct_g_per_kwh": 100.0 + 10 * i + version, "lifecycle_g_per_kwh": 150.0, "marginal_g_per_kwh": None if version else 300.0}
                          for i in range(4)], "ref")
    if draw(st.booleans()):
        tell("embodied", [{"sku": "card", "embodied_ug": 164_000_000_000, "life_years": 4.0},
                          {"sku": "box", "embodied_ug": 2_500_000_000_000, "life_years": 6.0}], "ref")
    total = 0
    for i in range(draw(st.integers(0, 4))):
        tell("serving", [{"model": "m", "ts_ms": T0 + i * 2_000_000, "epoch": "e", "requests": total, "tokens_in": total * 7, "tokens_out": total}], "srv")
        total += draw(st.integers(0, 50))
    for i in range(draw(st.integers(0, 2))):
        tell("transfers", [{"id": f"x{i}", "ts_ms": _at(draw), "bytes": 10**9, "medium": "wan", "from_site": "s", "to_site": "t"}], "srv")
    return told


def shuffled(told: Sequence[Told], seed: int) -> list[Told]:
    """The same records in another order."""
    copy = list(told)
    random.Random(seed).shuffle(copy)
    return copy
