"""Readings as Arrow messages, read back by another Arrow."""

from __future__ import annotations

import io
from array import array
from itertools import islice, pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from how_many import examples
from wattlake_agents.message import Run, messages
from wattlake_agents.sensors.sensor import Device
from wattlake_contracts.column import MAX_TEXT_BYTES
from wattlake_contracts.config import LEAST_RECORD_BYTES
from wattlake_contracts.filelog.format import HEADER_BYTES, encode_meta
from wattlake_contracts.kafkalog.message import MAX_NAME_BYTES
from wattlake_contracts.kinds import READINGS
from wattlake_contracts.record import ARROW, Meta

GPU = Device("gpu0", "gpu", "GPU-a", "counter", "nvml-energy")
CPU = Device("cpu-package-0", "cpu", "zone", "estimated", "cpu-model")


def run(device: Device, epoch: str, rows: int) -> Run:
    return Run(device, epoch, array("q", range(1_700_000_000_000, 1_700_000_000_000 + rows)), array("q", range(rows)))


def table(payload: bytes) -> pa.Table:
    return pa.ipc.open_stream(io.BytesIO(payload)).read_all()


def record_bytes(node: str, payload: bytes) -> int:
    """The size of a record as a log counts it."""
    return HEADER_BYTES + len(encode_meta(Meta("readings", node, "b" * 16, content_type=ARROW))) + len(payload)


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
    assert all(record_bytes("n1", payload) <= limit for payload, _ in made)
    whole = pa.concat_tables([table(payload) for payload, _ in made])
    assert whole.num_rows == sum(rows for _, rows in made) == 3000
    assert whole["energy_mj"].to_pylist() == [*range(1500), *range(1500)]
    assert whole["device"].to_pylist() == ["gpu0"] * 1500 + ["cpu-package-0"] * 1500
    whole.validate(full=True)


_NAMES = st.text(max_size=40) | st.integers(0, 3000).map(lambda n: "x" * n)


@given(st.integers(1, 30_000), _NAMES, st.lists(st.tuples(_NAMES, _NAMES, st.integers(0, 80)), max_size=4))
@settings(max_examples=examples(40), deadline=None)
def test_whatever_the_limit_each_row_is_in_one_message_and_only_one_that_is_too_large_alone_passes_it(
        limit: int, node: str, parts: list[tuple[str, str, int]]) -> None:
    runs = [run(Device(device, "gpu", "GPU-a", "counter", "nvml-energy"), epoch, rows) for device, epoch, rows in parts]
    total = sum(rows for *_, rows in parts)
    made = list(islice(messages(node, runs, limit), total + 1))
    assert sum(rows for _, rows in made) == total
    assert all(rows > 0 for _, rows in made)
    assert all(rows == 1 or record_bytes(node, payload) <= limit for payload, rows in made)
    found = [(row["device"], row["epoch"], row["ts_ms"], row["energy_mj"]) for payload, _ in made for row in table(payload).to_pylist()]
    assert found == [(r.device.name, r.epoch, ts, value) for r in runs for ts, value in zip(r.ts_ms, r.energy_mj, strict=True)]
    # a limit is used: two that follow one another would not fit in one
    pairs = pairwise(made)
    assert all(len(a) + len(b) > limit - 5000 - 8 * len(node) for (a, _), (b, _) in pairs)


@pytest.mark.parametrize("node", ["n" * MAX_NAME_BYTES, "\x01" * MAX_NAME_BYTES])
def test_the_largest_reading_fits_where_the_limit_is_the_least(node: str) -> None:
    longest = run(Device("d" * MAX_TEXT_BYTES, "accelerator", "GPU-a", "integrated", "nvml-energy"), "e" * MAX_TEXT_BYTES, 3)
    made = list(messages(node, [longest], LEAST_RECORD_BYTES))
    assert [rows for _, rows in made] == [1, 1, 1]
    assert all(record_bytes(node, payload) <= LEAST_RECORD_BYTES for payload, _ in made)
