"""A process that reads Arrow streams of whoever: wrong bytes can make the reader crash, and then it is this one that ends.

Takes (rows wanted, length, payload) on stdin, each number in 4 bytes; answers with a length and JSON: [rows, first rows, why not].
"""

from __future__ import annotations

import io
import resource
import struct
import sys
from itertools import islice

import msgspec

from wattlake_agents.log.payload import Row, said

#: What a payload may take to be read; one of the largest size takes some tens of MiB.
_MEMORY_BYTES = 2 * 2**30


def read(payload: bytes, count: int) -> tuple[int, list[Row]]:
    """(rows in all, the first of them) of an Arrow IPC stream. Raises, or crashes, where it is none."""
    import nanoarrow as na
    from nanoarrow.ipc import InputStream

    total, rows = 0, list[Row]()
    with InputStream.from_readable(io.BytesIO(payload)) as stream:
        for batch in na.ArrayStream(stream):
            total += len(batch)
            rows += islice(batch.iter_py(), count - len(rows))
    return total, rows


def main() -> None:
    """Answer until stdin ends."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    encode = msgspec.json.Encoder(enc_hook=str).encode
    while head := sys.stdin.buffer.read(8):
        count, size = struct.unpack(">II", head)
        payload = sys.stdin.buffer.read(size)
        try:
            answer = encode((*read(payload, count), ""))
        except Exception as error:  # what somebody else's payload holds is unknown; what is wrong with it is told
            answer = encode((None, [], said(error)))
        sys.stdout.buffer.write(struct.pack(">I", len(answer)) + answer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
