"""Attribution from Parquet: raw readings → energy of each job, hour and device, beside the same in plain SQL."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from figures import Figure, alone, middle, spending
from fleet import landed, reading_files

from wattlake_contracts.layout import HOUR_MS
from wattlake_pipelines.account.day_elements import day_elements, stage_references
from wattlake_pipelines.account.dirty import find_dirty
from wattlake_pipelines.account.element import DayElement, DayReferences, day_energy
from wattlake_pipelines.account.references import gather
from wattlake_pipelines.lake.committer import Committer

#: Times faster than the query.
GOAL = 8.0

#: What one would write without Wattlake: intervals by a window, the counter looked up and interpolated at both ends of
#: every piece of time between hours and job edges, and the difference given to the jobs that hold the machine then.
_QUERY = f"""
CREATE OR REPLACE TABLE attributed AS
WITH intervals AS MATERIALIZED (
    SELECT node, device, epoch, ts_ms, energy_mj, lead(ts_ms) OVER w AS next_ms, lead(energy_mj) OVER w AS next_mj
    FROM read_parquet(getvariable('files')) WHERE energy_mj IS NOT NULL WINDOW w AS (PARTITION BY node, device, epoch ORDER BY ts_ms)),
series AS (SELECT node, device, epoch, min(ts_ms) AS first_ms, max(ts_ms) AS last_ms FROM intervals GROUP BY ALL),
job_edges AS (SELECT node, start_ms AS edge_ms FROM jobs UNION SELECT node, end_ms FROM jobs),
edges AS (
    SELECT node, device, epoch, unnest(range((first_ms // {HOUR_MS} + 1) * {HOUR_MS}, last_ms, {HOUR_MS})) AS edge_ms FROM series
    UNION SELECT node, device, epoch, edge_ms FROM series JOIN job_edges USING (node) WHERE edge_ms > first_ms AND edge_ms < last_ms
    UNION SELECT node, device, epoch, first_ms FROM series
    UNION SELECT node, device, epoch, last_ms FROM series),
cells AS (
    SELECT * FROM (SELECT node, device, epoch, edge_ms AS start_ms, lead(edge_ms) OVER (PARTITION BY node, device, epoch ORDER BY edge_ms) AS end_ms FROM edges)
    WHERE end_ms IS NOT NULL),
begun AS (
    SELECT c.*, coalesce(energy_mj + round((next_mj - energy_mj) * ((c.start_ms - ts_ms) / (next_ms - ts_ms)))::BIGINT, energy_mj) AS start_mj
    FROM cells c ASOF JOIN intervals i ON c.node = i.node AND c.device = i.device AND c.epoch = i.epoch AND c.start_ms >= i.ts_ms),
ended AS (
    SELECT b.*, coalesce(energy_mj + round((next_mj - energy_mj) * ((b.end_ms - ts_ms) / (next_ms - ts_ms)))::BIGINT, energy_mj) AS end_mj
    FROM begun b ASOF JOIN intervals i ON b.node = i.node AND b.device = i.device AND b.epoch = i.epoch AND b.end_ms >= i.ts_ms),
held AS (
    SELECT e.node, e.device, e.start_ms // {HOUR_MS} * {HOUR_MS} AS hour_ms, job, end_mj - start_mj AS cell_mj,
           count(*) OVER (PARTITION BY e.node, e.device, e.epoch, e.start_ms) AS holders
    FROM ended e LEFT JOIN jobs j ON j.node = e.node AND (j.device IS NULL OR j.device = e.device) AND j.start_ms <= e.start_ms AND j.end_ms >= e.end_ms)
SELECT hour_ms, node, device, job, sum(cell_mj / holders) AS energy_mj FROM held GROUP BY ALL
"""


def bench(folder: Path, quick: bool) -> list[Figure]:
    """The shipped element (files → rows of fact_energy) and the query, in turn on the same files."""
    lake = landed(folder, quick)
    files = [str(f) for f in reading_files(lake)]
    rows = sum(pq.read_metadata(f).num_rows for f in files)
    with Committer(lake) as committer:
        staging = committer.staging("bench")
        elements, jobs = _elements(committer, staging)
    own, peer = [], []
    for number in range(2 if quick else 4):
        with spending() as spent:
            facts = [_attribute(element, staging) for element in elements]
        own.append((number, spent))
        with _connection(jobs, files) as connection, spending() as spent:
            connection.execute(_QUERY)
            theirs = connection.execute("SELECT sum(energy_mj) FROM attributed WHERE device LIKE 'gpu%'").fetchall()[0][0]
        peer.append((number, spent))
    ours = sum(_gpus(f) for f in facts)
    if abs(ours - theirs) > 1e-3 * theirs:
        raise AssertionError(f"the two disagree on the energy: {ours} and {theirs} mJ")
    fast, slow = (middle([s() for n, s in found if n]) for found in (own, peer))
    ratio = slow.cpu_s / fast.cpu_s
    return [
        Figure("attribution, per core", rows / fast.cpu_s, "readings/CPU-s", f"DuckDB: window and two ASOF joins, {rows / slow.cpu_s:,.0f}",
               ratio, f">= {GOAL:g} times", ratio >= GOAL),
        Figure("attribution, as the clock has it", rows / fast.wall_s, "readings/s", f"the same on 2 threads, {rows / slow.wall_s:,.0f}",
               slow.wall_s / fast.wall_s,
               "none: others share this machine", None),
    ]


def _elements(committer: Committer, staging: Path) -> tuple[list[DayElement], pa.Table]:
    """What `wattlake account` would give its workers, and the jobs."""
    now = gather(committer.connection)
    dirty = find_dirty(committer.connection, now)
    stage_references(committer.connection, staging, now, dirty)
    return day_elements(committer, staging, dirty), now.jobs.select(["job", "node", "device", "start_ms", "end_ms"])


def _attribute(element: DayElement, staging: Path) -> pa.Table:
    """Files to the rows of fact_energy: the part of the element that the query does too."""
    references = DayReferences.read(staging, element)
    return pa.concat_tables([day_energy(stretch, staging, references, element.long_gap_ms) for stretch in element.stretches])


def _gpus(facts: pa.Table) -> int:
    """The energy of the GPUs, which neither side counts within another device."""
    return int(pc.sum(facts.filter(pc.field("device_kind") == "gpu")["energy_mj"]).as_py())


def _connection(jobs: pa.Table, files: list[str]) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(config={"threads": 2})
    connection.execute("SET VARIABLE files = ?", [files])
    connection.register("jobs_in", jobs)
    connection.execute("CREATE TABLE jobs AS FROM jobs_in")
    return connection


if __name__ == "__main__":
    alone(bench)
