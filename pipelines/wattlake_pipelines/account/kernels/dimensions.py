"""The dimensions of models, nodes and devices: the latest word on each."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_contracts.kinds import NODES
from wattlake_contracts.tables import DIM_DEVICES, DIM_MODELS, DIM_NODES
from wattlake_pipelines.account.kernels.latest import latest
from wattlake_pipelines.account.kernels.ordering import EVER_MS, integers, tuple_ranks
from wattlake_pipelines.account.kernels.ranges import Ints
from wattlake_pipelines.arrow_schema import conform, kind_schema, table_schema

#: What an inventory row says of the machine even where the row itself is about a device of it.
_OF_THE_MACHINE = ("site", "asset", "sku")


def model_dimension(jobs: pa.Table) -> pa.Table:
    """dim_models from dim_jobs: one row per model that a job worked on; what it was made from as the job that ended last says."""
    jobs = jobs.filter(pc.is_valid(jobs["model"]))
    model = tuple_ranks([jobs["model"]])
    order = np.lexsort((tuple_ranks([jobs["job"]]), integers(jobs["start_ms"]), integers(jobs["end_ms"], EVER_MS), model))
    values = latest(jobs, model, order)
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
    return conform(pa.table(latest(nodes, node, _inventory_order(nodes, node))), table_schema(DIM_NODES))


def device_dimension(nodes: pa.Table) -> pa.Table:
    """dim_devices from the columns of raw_nodes: one row per device of the inventory, sorted by node and device."""
    nodes = _inventory(nodes)
    nodes = nodes.filter(pc.is_valid(nodes["device"]))
    device = tuple_ranks([nodes["node"], nodes["device"]])
    return conform(pa.table(latest(nodes, device, _inventory_order(nodes, device))), table_schema(DIM_DEVICES))


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
