"""Elements that are not days of readings: embodied days, transfers, serving, dimensions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wattlake_contracts.layout import HOUR_MS
from wattlake_contracts.tables import FACT_EMBODIED, TABLES
from wattlake_pipelines.account.kernels.dimensions import device_dimension, model_dimension, node_dimension
from wattlake_pipelines.account.kernels.jobs import job_dimension
from wattlake_pipelines.arrow_schema import conform, table_schema, widened
from wattlake_pipelines.lake.committed import committed
from wattlake_pipelines.lake.manifest import StagedFile, stage


@dataclass(frozen=True)
class SpreadElement:
    """kind: a name in MAKERS.

    Of what accrues by days: days_ms, the days to make anew in the file that begins at file_ms; old,
    the file as it is committed, or ''; watermark_ms, to where it accrues.
    """

    kind: str
    days_ms: tuple[int, ...] = ()
    watermark_ms: int = -1
    file_ms: int = 0
    old: str = ""


def _whole(name: str, rows: pa.Table, staging: Path, attempt: str) -> StagedFile:
    """A table that is one file."""
    return stage(name, conform(rows, table_schema(TABLES[name])), staging, f"{attempt}.parquet", day_ms=0, shard=0)


def _embodied(element: SpreadElement, staging: Path, attempt: str) -> list[StagedFile]:
    from wattlake_pipelines.account.kernels.embodied import embodied_facts

    schema = table_schema(FACT_EMBODIED)
    items, jobs = pq.read_table(staging / "items.parquet"), pq.read_table(staging / "jobs.parquet")
    made = conform(embodied_facts(items, jobs, np.array(element.days_ms, np.int64), element.watermark_ms), schema)
    if element.old:
        with committed(element.old):
            old = pq.read_table(element.old, page_checksum_verification=True)
        made = widened([old.filter(pc.invert(pc.is_in(old["start_ms"], pa.array(element.days_ms, pa.int64())))), made], schema)
    made = made.sort_by([(name, "ascending") for name in FACT_EMBODIED.key])
    return [stage(FACT_EMBODIED.name, made, staging, f"{element.file_ms}-0-{attempt}.parquet", day_ms=element.file_ms, shard=0)]


def _transfers(element: SpreadElement, staging: Path, attempt: str) -> list[StagedFile]:
    from wattlake_pipelines.account.kernels.transfers import transfer_facts
    del element
    tables = {name: pq.read_table(staging / f"{name}.parquet") for name in ("transfers", "network", "sites", "transfer_grid")}
    return [_whole("fact_transfers", transfer_facts(tables["transfers"], tables["network"], tables["sites"], tables["transfer_grid"]), staging, attempt)]


def _serving(element: SpreadElement, staging: Path, attempt: str) -> list[StagedFile]:
    from wattlake_pipelines.account.kernels.serving import serving_facts
    del element
    rows = pq.read_table(staging / "serving.parquet")
    low, high = pc.min(rows["ts_ms"]).as_py(), pc.max(rows["ts_ms"]).as_py()
    hours = np.arange(low // HOUR_MS, high // HOUR_MS + 1) * HOUR_MS
    return [_whole("fact_serving", serving_facts(rows, hours), staging, attempt)]


def _dimensions(element: SpreadElement, staging: Path, attempt: str) -> list[StagedFile]:
    del element
    events, inventory = pq.read_table(staging / "job_events.parquet"), pq.read_table(staging / "inventory.parquet")
    jobs = job_dimension(events)
    made = {"dim_jobs": jobs, "dim_models": model_dimension(jobs), "dim_nodes": node_dimension(inventory), "dim_devices": device_dimension(inventory)}
    return [_whole(name, rows, staging, attempt) for name, rows in made.items()]


MAKERS: dict[str, Callable[[SpreadElement, Path, str], list[StagedFile]]] = {
    "embodied": _embodied, "transfers": _transfers, "serving": _serving, "dimensions": _dimensions,
}
