"""The book of the keys that nodes sign their records with: rows are added to it, and none is ever changed or taken out."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import duckdb
import msgspec
import pyarrow as pa

from wattlake_contracts.column import EARLIEST_MS, LATEST_MS
from wattlake_contracts.errors import UsageError
from wattlake_contracts.kafkalog.message import MAX_NAME_BYTES
from wattlake_contracts.kafkalog.signing import need_cryptography, public_key
from wattlake_contracts.layout import ALIAS
from wattlake_contracts.record import control_character
from wattlake_contracts.tables import COMMITS, NODE_KEYS
from wattlake_pipelines.arrow_schema import table_schema
from wattlake_pipelines.lake import meta
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.connection import attach
from wattlake_pipelines.lake.manifest import Manifest, stage

#: What commits of keys are called in the book of commits.
STAGE = "key"
COLUMNS = ("node", "public_key", "valid_from", "valid_to", "added", "must_sign")
_ISO = "%Y-%m-%dT%H:%M:%S.%f"
_Instant = Annotated[int, msgspec.Meta(ge=EARLIEST_MS, le=LATEST_MS)]


class Add(msgspec.Struct, tag="add", forbid_unknown_fields=True, frozen=True):
    """As `add` does it."""

    node: str
    public_key: str
    valid_from_ms: _Instant | None
    valid_to_ms: _Instant | None


class End(msgspec.Struct, tag="end", forbid_unknown_fields=True, frozen=True):
    """As `end` does it."""

    node: str
    public_key: str | None
    at_ms: _Instant


class Waive(msgspec.Struct, tag="waive", forbid_unknown_fields=True, frozen=True):
    """As `waive` does it."""

    node: str


#: A change of the book, as one process asks it of another.
Change = Add | End | Waive


def check(change: Change) -> None:
    """UsageError if it makes no sense, whatever the lake holds: the node's name or the key is none, or the span is empty."""
    if not change.node or len(change.node.encode()) > MAX_NAME_BYTES or control_character(change.node) is not None:
        raise UsageError("is no name of a node", subject=repr(change.node[:100]), next_step="give it as agent.node has it")
    if isinstance(change, Waive):
        return
    if change.public_key is not None:
        public_key(change.public_key)
    if isinstance(change, Add) and change.valid_from_ms is not None and change.valid_to_ms is not None and change.valid_from_ms >= change.valid_to_ms:
        raise UsageError("a key that ends before it begins signs nothing", subject=change.public_key, next_step="give another --from or --to")


def make(committer: Committer, change: Change, request: str = "") -> None:
    """Make a change. request: by which its commit is told from others, where it is asked for by another process. Errors as of add, end and waive."""
    if isinstance(change, Add):
        add(committer, change.node, change.public_key, change.valid_from_ms, change.valid_to_ms, request=request)
    elif isinstance(change, End):
        end(committer, change.node, change.public_key, change.at_ms, request=request)
    else:
        waive(committer, change.node, request=request)


def is_made(committer: Committer, request: str) -> bool:
    """Whether the change of that request is in the lake."""
    row = committer.query(f"SELECT count(*) FROM {ALIAS}.{COMMITS.name} WHERE stage = '{STAGE}' AND starts_with(attempt, ?)", [request]).fetchone()
    return row is not None and row[0] > 0


def add(committer: Committer, node: str, public: str, valid_from_ms: int | None, valid_to_ms: int | None, *, request: str = "") -> None:
    """From now on the node's records must be signed, and may be with this key where they were written down in [valid_from_ms, valid_to_ms).

    None: without bound. UsageError as of check.
    """
    check(Add(node, public, valid_from_ms, valid_to_ms))
    # what is landed from now on is checked here
    need_cryptography()
    _write(committer, node, public, valid_from_ms, valid_to_ms, required=True, request=request)


def end(committer: Committer, node: str, public: str | None, at_ms: int | None, *, request: str = "") -> None:
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
    _write(committer, node, text, valid_from_ms, at_ms, required=True, request=request)


def waive(committer: Committer, node: str, *, request: str = "") -> None:
    """From now on the node's records are taken as they come, signed or not. UsageError if it need not sign now."""
    row = committer.query(f"SELECT arg_max(required, batch) FROM {ALIAS}.{NODE_KEYS.name} WHERE node = ?", [node]).fetchone()
    if row is None or not row[0]:
        raise UsageError("need not sign its records as it is", subject=f"node {node}", next_step="see `wattlake lake key list`")
    _write(committer, node, None, None, None, required=False, request=request)


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


def _write(committer: Committer, node: str, public: str | None, valid_from_ms: int | None, valid_to_ms: int | None, *, required: bool,
           request: str) -> None:
    row = {"node": node, "public_key": public, "valid_from_ms": valid_from_ms, "valid_to_ms": valid_to_ms, "required": required, "added_ms": _now_ms(),
           "batch": committer.next_batch()}
    with committer.attempt(request and f"{request}-") as (attempt, staging):
        file = stage(NODE_KEYS.name, pa.Table.from_pylist([row], table_schema(NODE_KEYS)), staging, f"{attempt}.parquet")
        committer.commit(Manifest(STAGE, attempt, (file,), rows=1))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _iso(ms: int | None) -> str | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime(_ISO)[:-3] + "Z"
