"""What an Arrow message asks for is known before it is unpacked; what it holds is the same as ever."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattlake_pipelines.arrow_bounds import TooMuchError, refuse_swollen

MIB = 2**20
#: Decodes a file's bytes, and prints what came of it and by how many MiB its memory grew at most.
GROWTH = """
import sys
from pathlib import Path
from wattlake_contracts.record import ARROW, Meta, Record
from wattlake_pipelines.decode import DecodeError, decode
payload = Path(sys.argv[1]).read_bytes()
def peak_kib():
    # of this program alone: what getrusage tells may be its parent's
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
before = peak_kib()
try:
    said = f"{decode(Record(Meta('readings', 'n1', 'b1', '1.0', ARROW), 0, 1_700_000_000_000, payload)).table.num_rows} rows"
except DecodeError as error:
    said = error.reason
print(said)
print((peak_kib() - before) // 1024)
"""


def stream(*batches: pa.RecordBatch | pa.Table, compression: str | None = None, deltas: bool = False) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(compression=compression, emit_dictionary_deltas=deltas)) as writer:
        for batch in batches:
            writer.write(batch)
    return sink.getvalue()


def of_many_rows() -> pa.Buffer:
    return stream(pa.table({"ts_ms": np.zeros(40_000_000, np.int64)}), compression="zstd")


def of_few_rows_of_long_texts() -> pa.Buffer:
    return stream(pa.table({"node": ["n" * (400 * MIB)]}), compression="zstd")


def of_a_dictionary() -> pa.Buffer:
    return stream(pa.table({"node": pa.DictionaryArray.from_arrays([0], ["n" * (400 * MIB)])}), compression="lz4")


def of_a_dictionary_that_is_added_to() -> pa.Buffer:
    words = ["n" * (4 * MIB), *map(str, range(200))]
    return stream(*(pa.record_batch({"node": pa.DictionaryArray.from_arrays([0], words[: 1 + i])}) for i in range(200)), deltas=True)


@pytest.mark.parametrize("made", [of_many_rows, of_few_rows_of_long_texts, of_a_dictionary, of_a_dictionary_that_is_added_to])
def test_a_small_message_that_asks_for_much_memory_gets_none(made: Callable[[], pa.Buffer], tmp_path: Path) -> None:
    payload = tmp_path / "payload"
    payload.write_bytes(made())
    said, growth_mib = subprocess.run([sys.executable, "-c", GROWTH, str(payload)], capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    assert said in {"its columns unpack to more than 64 MiB", "more than 2000000 rows in one record"}
    assert int(growth_mib) < 40


COLUMNS = st.sampled_from([
    pa.array([1, None, 3, 4], pa.int64()), pa.array([1.5, 2.0, None, 4.0]), pa.array(["a", None, "ccc", ""]), pa.array([True, False, None, True]),
    pa.array(["a", "b", "a", None]).dictionary_encode(), pa.array([[1], [], None, [2, 3]]), pa.array([{"x": 1, "y": "z"}] * 4), pa.nulls(4),
    pa.array(["n" * 40, "b", None, ""], pa.string_view()), pa.array([b"1", None, b"", b"22"], pa.large_binary()), pa.array(range(4), pa.int8()),
    pa.RunEndEncodedArray.from_arrays(pa.array([2, 4], pa.int32()), pa.array(["n1", "n2"])), pa.array([1, 2, None, 4], pa.decimal128(9, 2)),
])


@settings(deadline=None)
@given(columns=st.lists(COLUMNS, max_size=6), times=st.integers(1, 50), batches=st.integers(1, 3), compression=st.sampled_from([None, "lz4", "zstd"]))
def test_what_a_stream_asks_for_is_what_arrow_gives_it(columns: list[pa.Array], times: int, batches: int, compression: str | None) -> None:
    table = pa.table({f"c{i}": pa.concat_arrays([column] * times) for i, column in enumerate(columns)})
    batch = table.combine_chunks().to_batches()[0] if table.num_rows else pa.record_batch({})
    whole = stream(*[batch] * batches, compression=compression)
    read = list(pa.ipc.open_stream(whole))
    rows, taken = sum(b.num_rows for b in read), sum(b.get_total_buffer_size() for b in read)
    refuse_swollen(whole, rows, taken)
    if rows:
        with pytest.raises(TooMuchError, match="rows"):
            refuse_swollen(whole, rows - 1, taken)
    if taken and batches == 1:
        with pytest.raises(TooMuchError, match="unpack"):
            refuse_swollen(whole, rows, taken - 1)
