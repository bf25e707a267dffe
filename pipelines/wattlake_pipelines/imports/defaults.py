"""What an imported row is taken to be where its file does not say."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from wattlake_contracts.kind import Kind
from wattlake_contracts.kinds import JOBS

#: kinds that a device's name may begin with
_NAMED = r"^(?P<kind>gpu|cpu|dram|node|psu|switch|psys)"


def fill(table: pa.Table, kind: Kind) -> pa.Table:
    """Readings with device_kind, epoch, method and boundary filled in where they are null, jobs without an end with event_ms; others as they are.

    device_kind: what the device's name begins with, else `other`. epoch: 0. method: counter where
    there is a counter, integrated where there is a power. boundary: node_ac for what meters a whole
    machine or its supply, component for the rest. event_ms: the start, for nothing says that the job
    was renewed after it; so it ends at its start + lease, whenever the file is imported.
    """
    if kind is JOBS:
        ended = table.column("end_ms").is_valid()
        return _put(table, "event_ms", lambda: pc.if_else(ended, pa.scalar(None, pa.int64()), table.column("start_ms")))
    if kind.name != "readings":
        return table
    device = table.column("device").combine_chunks()
    table = _put(table, "device_kind", lambda: _kinds(device))
    device_kind = table.column("device_kind")
    table = _put(table, "epoch", lambda: _all(table, "0"))
    table = _put(table, "method", lambda: pc.if_else(table.column("energy_mj").is_valid(), "counter", "integrated"))
    return _put(table, "boundary", lambda: pc.if_else(pc.is_in(device_kind, value_set=pa.array(["node", "psu"])), "node_ac", "component"))


def _kinds(device: pa.Array) -> pa.Array:
    # a file has few devices: each name is looked at once
    encoded = device.dictionary_encode()
    named = pc.fill_null(pc.struct_field(pc.extract_regex(encoded.dictionary, _NAMED), "kind"), "other")
    return pc.fill_null(named.take(encoded.indices), "other")


def _all(table: pa.Table, value: str) -> pa.Array:
    return pa.repeat(pa.scalar(value), table.num_rows)


def _put(table: pa.Table, name: str, make: Callable[[], pa.Array | pa.ChunkedArray]) -> pa.Table:
    column = table.column(name)
    if not column.null_count:
        return table
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), pc.coalesce(column, make()))
