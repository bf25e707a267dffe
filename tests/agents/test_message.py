"""Readings as Arrow messages, read back by another Arrow."""

from __future__ import annotations

import io
from array import array

import pyarrow as pa

from wattlake_agents.message import Run, messages
from wattlake_agents.sensors.sensor import Device
from wattlake_contracts.kinds import READINGS

GPU = Device("gpu0", "gpu", "GPU-a", "counter", "nvml-energy")
CPU = Device("cpu-package-0", "cpu", "zone", "estimated", "cpu-model")


def run(device: Device, epoch: str, rows: int) -> Run:
    return Run(device, epoch, array("q", range(1_700_000_000_000, 1_700_000_000_000 + rows)), array("q", range(rows)))


def table(payload: bytes) -> pa.Table:
    return pa.ipc.open_stream(io.BytesIO(payload)).read_all()


def test_rows_are_grouped_by_device_with_the_contracts_columns() -> None:
    [(payload, rows)] = messages("nœud", [run(GPU, "e1", 2), run(CPU, "e2", 1)])
    assert rows == 3
    read = table(payload)
    assert set(read.column_names) <= {c.name for c in READINGS.columns}
    assert {f.name: str(f.type) for f in read.schema} == {
        "node": "string", "device": "string", "device_kind": "string", "epoch": "string", "method": "string", "boundary": "string",
        "ts_ms": "int64", "energy_mj": "int64",
    }
    assert read.to_pylist()[1:] == [
        {"node": "nœud", "device": "gpu0", "device_kind": "gpu", "epoch": "e1", "method": "counter", "boundary": "component",
         "ts_ms": 1_700_000_000_001, "energy_mj": 1},
        {"node": "nœud", "device": "cpu-package-0", "device_kind": "cpu", "epoch": "e2", "method": "estimated", "boundary": "component",
         "ts_ms": 1_700_000_000_000, "energy_mj": 0},
    ]


def test_nothing_read_is_no_message() -> None:
    assert list(messages("n1", [])) == []


def test_what_would_be_too_large_for_a_record_is_split_and_nothing_is_lost() -> None:
    limit = 100_000
    made = list(messages("n1", [run(GPU, "e1", 1500), run(CPU, "e2", 1500)], limit))
    assert len(made) > 1
    assert all(len(payload) < limit - 1000 for payload, _ in made)
    whole = pa.concat_tables([table(payload) for payload, _ in made])
    assert whole.num_rows == sum(rows for _, rows in made) == 3000
    assert whole["energy_mj"].to_pylist() == [*range(1500), *range(1500)]
    assert whole["device"].to_pylist() == ["gpu0"] * 1500 + ["cpu-package-0"] * 1500
    whole.validate(full=True)
