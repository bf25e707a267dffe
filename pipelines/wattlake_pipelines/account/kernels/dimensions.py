"""The dimensions: the latest word on each job, model, node and device.

Where several rows speak of one thing, each column has the value of the winning row among those where
it is given: a later message that leaves a column out does not wipe it.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from wattlake_contracts.kinds import JOBS, NODES
from wattlake_contracts.tables import DIM_DEVICES, DIM_JOBS, DIM_MODELS, DIM_NODES

from wattlake_pipelines.account.kernels.jobs import resolve_jobs, winning_order
from wattlake_pipelines.account.kernels.ordering import EVER_MS, integers, tuple_ranks
from wattlake_pipelines.account.kernels.ranges import Ints
from wattlake_pipelines.arrow_schema import conform, kind_schema, table_schema

#: What an inventory row says of the machine even where the row itself is about a device of it.
_OF_THE_MACHINE = ("site", "asset", "sku")


def job_dimension(events: pa.Table) -> pa.Table:
    """dim_jobs from the columns of raw_jobs: one row per job, sorted by it.

    A job's attributes are those of its winning event over all nodes (closed before open, later
    event_ms, greater content). `open`: none of its records has an end.
    """
    events = conform(events, kind_schema(JOBS))
    job = tuple_ranks([events["job"]])
    values = _latest(events, job, winning_order(events, job))
    spans = resolve_jobs(events).group_by("job").aggregate(
        [("start_ms", "min"), ("end_ms", "max"), ("open", "all"), ("node", "count_distinct")]
    ).sort_by("job")
    for name, found in (("start_ms", "start_ms_min"), ("end_ms", "end_ms_max"), ("open", "open_all"), ("nodes", "node_count_distinct")):
        values[name] = spans[found]
    return conform(pa.table(values), table_schema(DIM_JOBS))


def model_dimension(jobs: pa.Table) -> pa.Table:
    """dim_models from dim_jobs: one row per model that a job worked on; what it was made from as the job that ended last says."""
    jobs = jobs.filter(pc.is_valid(jobs["model"]))
    model = tuple_ranks([jobs["model"]])
    order = np.lexsort((tuple_ranks([jobs["job"]]), integers(jobs["start_ms"]), integers(jobs["end_ms"], EVER_MS), model))
    values = _latest(jobs, model, order)
    values["jobs"] = pa.chunked_array([pa.array(np.bincount(model).astype(np.int64), pa.int64())])
    return conform(pa.table(values), table_schema(DIM_MODELS))


def node_dimension(nodes: pa.Table) -> pa.Table:
    """dim_nodes from the columns of raw_nodes: one row per node of the inventory, sorted by it.

    Rows about a device tell the machine's site, asset and sku too; its dates and owner come from
    rows about the machine itself.
    """
    nodes = _inventory(nodes)
    of_device = pc.is_valid(nodes["device"])
    for name in (c.name for c in DIM_NODES.columns if c.name not in {"node", "simulated", *_OF_THE_MACHINE}):
        own = pc.if_else(of_device, pa.scalar(None, nodes[name].type), nodes[name])
        nodes = nodes.set_column(nodes.column_names.index(name), name, own)
    node = tuple_ranks([nodes["node"]])
    return conform(pa.table(_latest(nodes, node, _inventory_order(nodes, node))), table_schema(DIM_NODES))


def device_dimension(nodes: pa.Table) -> pa.Table:
    """dim_devices from the columns of raw_nodes: one row per device of the inventory, sorted by node and device."""
    nodes = _inventory(nodes)
    nodes = nodes.filter(pc.is_valid(nodes["device"]))
    device = tuple_ranks([nodes["node"], nodes["device"]])
    return conform(pa.table(_latest(nodes, device, _inventory_order(nodes, device))), table_schema(DIM_DEVICES))


def _inventory(nodes: pa.Table) -> pa.Table:
    """The rows that describe; heartbeats and mishaps of devices do not."""
    nodes = conform(nodes, kind_schema(NODES))
    return nodes.filter(pc.equal(nodes["event"].fill_null("inventory"), "inventory"))


def _inventory_order(nodes: pa.Table, group: Ints) -> Ints:
    """Sorted by group, the winning row last: one without an end before one that has ended, then the
    later event_ms, the later valid_from, the greater content."""
    content = tuple_ranks(nodes.columns)
    lasting = pc.is_null(nodes["valid_to_ms"]).to_numpy().astype(bool)
    return np.lexsort((content, integers(nodes["valid_from_ms"], EVER_MS), integers(nodes["event_ms"]), lasting, group))


def _latest(rows: pa.Table, group: Ints, order: Ints) -> dict[str, pa.ChunkedArray]:
    """Per column and group (0, 1, … all present) the last value in `order` that is given, else NULL.

    order: the rows sorted by group.
    """
    groups = int(group.max(initial=-1)) + 1
    return {name: rows[name].take(_last_given(rows[name], group, order, groups)) for name in rows.column_names}


def _last_given(column: pa.ChunkedArray, group: Ints, order: Ints, groups: int) -> pa.Array:
    given = order[pc.is_valid(column).to_numpy().astype(bool)[order]]
    found = np.full(groups, -1, np.int64)
    last = np.ones(len(given), bool)
    last[:-1] = group[given[1:]] != group[given[:-1]]
    found[group[given[last]]] = given[last]
    return pa.array(found, pa.int64(), mask=found < 0)
