"""What a node writes besides readings: its inventory, its jobs, their transfers, its services' counters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wattlake_contracts.layout import DAY_MS, HOUR_MS
from wattlake_pipelines.simulate.fleet import Life, Node, hardware
from wattlake_pipelines.simulate.options import SERVING, Options
from wattlake_pipelines.simulate.workload import Run, daily_load

Row = dict[str, object]
SERVING_EVERY_MS = 300_000
#: A lease of so many renewals: what an open job is granted beyond its last one.
_LEASE_RENEWALS = 3
#: Requests a second and node at full load, and tokens in and out of one (made up).
_REQUESTS_PER_S, _TOKENS_IN, _TOKENS_OUT = 12.0, 900.0, 220.0


@dataclass(frozen=True)
class Event:
    """A JSON record to be: when it is written, its kind, its rows."""

    at_ms: int
    kind: str
    rows: tuple[Row, ...]


def inventory(options: Options, node: Node, life: Life) -> Iterator[Event]:
    """The inventory, sent whenever the node starts; nothing from a node without one."""
    if not node.inventory:
        return
    acquired = options.start_ms - (180 + 90 * (node.index % 5)) * DAY_MS
    whole: Row = {
        "node": node.name, "site": node.site, "asset": f"SIM-{node.index:05d}", "sku": hardware("node").sku, "ownership": "owned",
        "acquired_on_ms": acquired,
    }
    rows: list[Row] = [whole]
    for device in node.devices:
        if device.kind == "node":
            rows.append({"node": node.name, "device": device.name, "device_kind": "node", "domain": device.domain, "sensor_class": "bmc"})
            continue
        model = hardware(device.kind)
        row: Row = {
            "node": node.name, "device": device.name, "device_kind": device.kind, "device_sku": model.sku, "domain": device.domain,
            "max_power_mw": round(model.max_w * 1000), "idle_power_mw": round(model.idle_w * 1000), "acquired_on_ms": acquired,
            "sensor_class": "nvml" if device.kind == "gpu" else "rapl",
        }
        if node.wall is not None:
            row["parent"] = node.devices[node.wall].name
        rows.append(row)
    at = life.start_ms
    # each life repeats what the last one said, as an agent that starts again does
    told: Row = {"valid_from_ms": options.start_ms, "event": "inventory", "event_ms": at, "simulated": True}
    yield Event(at, "nodes", tuple({**row, **told} for row in rows))


def job_edges(options: Options, node: Node, runs: list[Run], life: Life) -> Iterator[Event]:
    """Starts and stops of a life's runs. What a crash cut off is never stopped."""
    lease = _LEASE_RENEWALS * options.renew_ms
    for run in runs:
        if not life.start_ms <= run.start_ms < life.end_ms:
            continue
        yield Event(run.start_ms, "jobs", (_job_row(node, run, run.start_ms, lease),))
        if run.closed:
            closed = {**_job_row(node, run, run.end_ms, lease), "end_ms": run.end_ms, "status": run.status}
            yield Event(run.end_ms, "jobs", (closed,))


def renewals(options: Options, node: Node, runs: list[Run], life: Life, start_ms: int) -> Iterator[Event]:
    """The renewals of all that is open, due within an hour of a life; runs: those that the hour may concern."""
    lease = _LEASE_RENEWALS * options.renew_ms
    mine = [r for r in runs if life.start_ms <= r.start_ms < life.end_ms and r.start_ms < start_ms + HOUR_MS and r.end_ms > start_ms]
    first = max(1, -(-(start_ms - life.start_ms) // options.renew_ms))
    for at in range(life.start_ms + first * options.renew_ms, min(life.end_ms, start_ms + HOUR_MS), options.renew_ms):
        rows = tuple(_job_row(node, r, at, lease) for r in mine if r.start_ms < at < r.end_ms)
        if rows:
            yield Event(at, "jobs", rows)


#: Known only when a job ends.
_RESULTS = ("tokens", "flop", "examples", "quality_metric", "quality_value")


def _job_row(node: Node, run: Run, at_ms: int, lease_ms: int) -> Row:
    job = run.job
    row: Row = {"job": job.name, "node": node.name, "start_ms": run.start_ms, "phase": job.phase, "event_ms": at_ms, "lease_ms": lease_ms,
                "simulated": True}
    row |= {k: v for k, v in job.about.items() if at_ms >= run.end_ms or k not in _RESULTS}
    if job.gpu is not None:
        row["device"] = node.devices[job.gpu].name
    return row


def transfers(node: Node, runs: list[Run], site_of: dict[int, str]) -> Iterator[Event]:
    """A dataset fetched before data jobs, gradients' shards between nodes, a checkpoint sent off, a model handed out."""
    for run in runs:
        job = run.job
        if job.nodes[0] != node.index:
            continue
        gigabytes = 2 * int(str(job.about.get("params", 0))) / 1e9
        made: list[tuple[str, int, float, str, str]] = []
        if job.phase == "data":
            made.append(("fetch", run.start_ms, 400.0, "object", "sim-store"))
        elif job.phase == "train" and run.closed and run.status == "ok":
            made.append(("checkpoint", run.end_ms, 8 * gigabytes, "lan", node.site))
            away = site_of[(node.index + 1) % len(site_of)]
            made.append(("replica", run.end_ms, gigabytes, "wan", away))
        elif job.phase == "finetune" and run.closed and run.status == "ok":
            made.append(("release", run.end_ms, gigabytes, "cdn", "sim-edge"))
        for what, at, gb, medium, other in made:
            here = what == "fetch"
            row: Row = {
                "id": f"{what}-{job.name}", "ts_ms": at, "bytes": round(gb * 1e9), "medium": medium, "job": job.name,
                "from_site": other if here else node.site, "to_site": node.site if here else other,
                "duration_ms": round(gb * 2000), "simulated": True,
            }
            row |= {k: job.about[k] for k in ("model", "dataset") if k in job.about}
            yield Event(at, "transfers", (row,))


class Service:
    """The cumulative counters of a node's services, hour after hour; a new life begins at zero."""

    def __init__(self, options: Options, node: Node, runs: list[Run]) -> None:
        self._options, self._node = options, node
        self._runs = [r for r in runs if r.job.service]
        self._totals: dict[tuple[str, int], np.ndarray] = {}

    def hour(self, life: Life, start_ms: int) -> Iterator[Event]:
        """One record per service with its counters of the hour, every five minutes."""
        for run in self._runs:
            at = np.arange(start_ms, start_ms + HOUR_MS, SERVING_EVERY_MS, dtype=np.int64)
            at = at[(at >= max(run.start_ms, life.start_ms)) & (at < min(run.end_ms, life.end_ms))]
            if not len(at):
                continue
            random = self._options.random(SERVING, self._node.index, (start_ms - self._options.start_ms) // HOUR_MS)
            asked = random.poisson(daily_load(at) * _REQUESTS_PER_S * SERVING_EVERY_MS / 1000)
            read = np.rint(asked * random.normal(_TOKENS_IN, _TOKENS_IN / 50, len(at))).astype(np.int64)
            written = np.rint(asked * random.normal(_TOKENS_OUT, _TOKENS_OUT / 50, len(at))).astype(np.int64)
            key = (run.job.name, life.number)
            totals = np.cumsum([asked, read, written, read // 4], axis=1) + self._totals.get(key, np.zeros(4, np.int64))[:, None]
            self._totals[key] = totals[:, -1]
            name = self._options.name("serving", self._node.index, life.number)[:12]
            fixed: Row = {"model": run.job.about["model"], "epoch": name, "job": run.job.name, "node": self._node.name}
            if self._node.inventory:
                fixed["site"] = self._node.site
            rows = tuple(
                {**fixed, "ts_ms": ts, "requests": n, "tokens_in": i, "tokens_out": o, "tokens_cached": c, "simulated": True}
                for ts, n, i, o, c in zip(at.tolist(), *totals.tolist(), strict=True)
            )
            yield Event(int(at[-1]) + 1, "serving", rows)
