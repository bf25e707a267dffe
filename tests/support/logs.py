"""Writing records to a file log as an agent or a hook would."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kinds import KINDS
from wattlake_contracts.record import ARROW, JSON, Meta
from wattlake_pipelines.arrow_schema import kind_schema

Row = Mapping[str, object]


def payload(kind: str, rows: Sequence[Row]) -> tuple[bytes, str]:
    """(payload, content type) of rows of a kind."""
    if KINDS[kind].carrier == "json":
        return json.dumps([dict(r) for r in rows]).encode(), JSON
    schema = kind_schema(KINDS[kind])
    table = pa.Table.from_pylist([dict(r) for r in rows], schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes(), ARROW


class Log:
    """A log under construction: `put` appends one record, identities count up per (node, boot)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._next: dict[tuple[str, str], int] = {}

    def put(self, kind: str, rows: Sequence[Row], *, node: str = "w", boot: str = "b", partition: str = "p",
            appended_ms: int | None = None, seq: int | None = None) -> None:
        """Append one record of rows and make it durable."""
        with LogWriter(self.root, partition) as writer:
            self._append(writer, kind, rows, node, boot, appended_ms, seq)
            writer.sync()

    def put_each(self, kind: str, records: Sequence[Sequence[Row]], *, node: str = "w", boot: str = "b", partition: str = "p") -> None:
        """Append a record of each of these rows, and make them durable at once."""
        with LogWriter(self.root, partition) as writer:
            for rows in records:
                self._append(writer, kind, rows, node, boot)
            writer.sync()

    def _append(self, writer: LogWriter, kind: str, rows: Sequence[Row], node: str, boot: str, appended_ms: int | None = None, seq: int | None = None) -> None:
        number = self._next.get((node, boot), 0) if seq is None else seq
        self._next[node, boot] = number + 1
        body, content_type = payload(kind, rows)
        latest = max((int(str(v)) for r in rows for k, v in r.items() if k in {"ts_ms", "end_ms", "start_ms"} and v is not None and kind != "grid"), default=0)
        writer.append(Meta(kind, node, boot, content_type=content_type), number, body, appended_ms or max(latest, 1_700_000_000_000))
