"""Job events become job records: who held what, from when to when (docs/accounting.md, section 4)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_contracts.kinds import JOBS
from wattlake_contracts.tables import DIM_JOBS
from wattlake_pipelines.account.kernels.latest import latest
from wattlake_pipelines.account.kernels.ordering import integers, tuple_ranks
from wattlake_pipelines.account.kernels.ranges import Bools, Ints
from wattlake_pipelines.arrow_schema import conform, kind_schema, table_schema

#: A job without a share holds the device whole.
WHOLE_PPM = 1_000_000


def closed(events: pa.Table) -> Bools:
    """Which events say when the job ended."""
    return np.asarray(pc.is_valid(events["end_ms"]).to_numpy().astype(bool))


def ends_ms(events: pa.Table) -> Ints:
    """When the record of each event ends: as told, else at its last renewal + lease, but never before its start."""
    lease = integers(events["event_ms"]) + integers(events["lease_ms"])
    open_end = np.maximum(integers(events["start_ms"]), lease)
    return np.where(closed(events), integers(events["end_ms"]), open_end)


def winning_order(events: pa.Table, group: Ints) -> Ints:
    """The rows sorted by group and, within it, from the event that gives way to the one that wins:
    open before closed, earlier before later event_ms, smaller before greater content."""
    content = tuple_ranks(conform(events, kind_schema(JOBS)).columns)
    return np.lexsort((content, integers(events["event_ms"]), closed(events), group))


def resolve_jobs(events: pa.Table) -> pa.Table:
    """One record per (job, node, device, start), of the event that wins.

    events: the columns of raw_jobs, in any order, repeated or not; event_ms and lease_ms given where
    end_ms is not. Returns job, node, device (NULL: the whole node), start_ms, end_ms, share_ppm and
    open (bool: no end was told), sorted by the first four.
    """
    group = tuple_ranks(events[name] for name in ("job", "node", "device", "start_ms"))
    order = winning_order(events, group)
    last = np.ones(len(order), bool)
    last[:-1] = group[order[1:]] != group[order[:-1]]
    won = events.take(pa.array(order[last], pa.int64()))
    return pa.table({
        "job": won["job"], "node": won["node"], "device": won["device"], "start_ms": won["start_ms"],
        "end_ms": pa.array(ends_ms(won), pa.int64()),
        "share_ppm": won["share_ppm"].fill_null(WHOLE_PPM),
        "open": pa.array(~closed(won), pa.bool_()),
    })


def job_dimension(events: pa.Table) -> pa.Table:
    """dim_jobs from the columns of raw_jobs: one row per job, sorted by it.

    A job's attributes are those of its winning event over all nodes (closed before open, later
    event_ms, greater content). `open`: none of its records has an end.
    """
    events = conform(events, kind_schema(JOBS))
    job = tuple_ranks([events["job"]])
    values = latest(events, job, winning_order(events, job))
    spans = resolve_jobs(events).group_by("job").aggregate(
        [("start_ms", "min"), ("end_ms", "max"), ("open", "all"), ("node", "count_distinct")]
    ).sort_by("job")
    for name, found in (("start_ms", "start_ms_min"), ("end_ms", "end_ms_max"), ("open", "open_all"), ("nodes", "node_count_distinct")):
        values[name] = spans[found]
    return conform(pa.table(values), table_schema(DIM_JOBS))
