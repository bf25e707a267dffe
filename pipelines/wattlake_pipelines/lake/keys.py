"""The book of the keys that nodes sign their records with: rows are added to it, and none is ever changed or taken out."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from wattlake_contracts.errors import UsageError
from wattlake_contracts.kafkalog.message import MAX_NAME_BYTES
from wattlake_contracts.kafkalog.signing import need_cryptography, public_key
from wattlake_contracts.layout import ALIAS
from wattlake_contracts.record import control_character
from wattlake_contracts.tables import NODE_KEYS
from wattlake_pipelines.arrow_schema import table_schema
from wattlake_pipelines.lake import meta
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.connection import attach
from wattlake_pipelines.lake.manifest import Manifest, stage

COLUMNS = ("node", "public_key", "valid_from", "valid_to", "added", "must_sign")
_ISO = "%Y-%m-%dT%H:%M:%S.%f"


def add(committer: Committer, node: str, public: str, valid_from_ms: int | None, valid_to_ms: int | None) -> None:
    """From now on the node's records must be signed, and may be with this key where they were written down in [valid_from_ms, valid_to_ms).

    None: without bound. UsageError if the node's name or the key is none, or the span is empty.
    """
    if not node or len(node.encode()) > MAX_NAME_BYTES or control_character(node) is not None:
        raise UsageError("is no name of a node", subject=repr(node[:100]), next_step="give it as agent.node has it")
    public_key(public)
    if valid_from_ms is not None and valid_to_ms is not None and valid_from_ms >= valid_to_ms:
        raise UsageError("a key that ends before it begins signs nothing", subject=public, next_step="give another --from or --to")
    # what is landed from now on is checked here
    need_cryptography()
    _write(committer, node, public, valid_from_ms, valid_to_ms, required=True)


def end(committer: Committer, node: str, public: str | None, at_ms: int | None) -> None:
    """The node's key is good for no record that was written down at `at_ms` (None: now) or later.

    public: None where the node has one key only that has not ended. UsageError if there is no such key.
    """
    at_ms = _now_ms() if at_ms is None else at_ms
    found = committer.query(f"""
        SELECT public_key, valid_from_ms FROM {ALIAS}.{NODE_KEYS.name} WHERE node = ? AND public_key IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY public_key ORDER BY batch DESC) = 1 AND coalesce(valid_to_ms > ?, true) ORDER BY ALL""",
                            [node, at_ms]).fetchall()
    chosen = [row for row in found if public in (None, row[0])]
    if not chosen:
        raise UsageError("has no such key that holds then" if found or public else "has no key that holds then", subject=f"node {node}",
                         next_step="see `wattlake lake key list`")
    if len(chosen) > 1:
        raise UsageError(f"has {len(chosen)} keys that hold then", subject=f"node {node}", next_step="say which: `wattlake lake key list` has them")
    [(text, valid_from_ms)] = chosen
    _write(committer, node, text, valid_from_ms, at_ms, required=True)


def waive(committer: Committer, node: str) -> None:
    """From now on the node's records are taken as they come, signed or not. UsageError if it need not sign now."""
    row = committer.query(f"SELECT arg_max(required, batch) FROM {ALIAS}.{NODE_KEYS.name} WHERE node = ?", [node]).fetchone()
    if row is None or not row[0]:
        raise UsageError("need not sign its records as it is", subject=f"node {node}", next_step="see `wattlake lake key list`")
    _write(committer, node, None, None, None, required=False)


def listed(lake: Path, node: str | None = None) -> list[list[object]]:
    """What holds now of each node and key, as COLUMNS: times in ISO 8601, None where there is no bound. node: of this one only."""
    meta.read(lake)
    connection = attach(lake.resolve())
    try:
        found = connection.execute(f"""
            SELECT node, public_key, valid_from_ms, valid_to_ms, added_ms, last(required) OVER (
                PARTITION BY node ORDER BY batch ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
            FROM {ALIAS}.{NODE_KEYS.name} WHERE coalesce(node = ?, true)
            QUALIFY row_number() OVER (PARTITION BY node, public_key ORDER BY batch DESC) = 1 AND public_key IS NOT NULL
            ORDER BY node, valid_from_ms NULLS FIRST, public_key""", [node]).fetchall()
    except duckdb.CatalogException:  # a lake of an earlier Wattlake, in which nothing has been written since
        return []
    finally:
        connection.close()
    return [[name, public, *map(_iso, times), required] for name, public, *times, required in found]


def _write(committer: Committer, node: str, public: str | None, valid_from_ms: int | None, valid_to_ms: int | None, *, required: bool) -> None:
    row = {"node": node, "public_key": public, "valid_from_ms": valid_from_ms, "valid_to_ms": valid_to_ms, "required": required, "added_ms": _now_ms(),
           "batch": committer.next_batch()}
    with committer.attempt() as (attempt, staging):
        file = stage(NODE_KEYS.name, pa.Table.from_pylist([row], table_schema(NODE_KEYS)), staging, f"{attempt}.parquet")
        committer.commit(Manifest("key", attempt, (file,), rows=1))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _iso(ms: int | None) -> str | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime(_ISO)[:-3] + "Z"
