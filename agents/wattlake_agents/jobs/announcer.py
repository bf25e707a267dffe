"""Writing job rows to the log from a short-lived process."""

from __future__ import annotations

import secrets
from pathlib import Path

from wattlake_agents.json_message import json_payloads
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog.format import MAX_RECORD_BYTES, record_bytes
from wattlake_contracts.filelog.partition import LogError
from wattlake_contracts.filelog.writer import open_pooled
from wattlake_contracts.log_address import SPOOL_DIR
from wattlake_contracts.record import Meta


class TooMuchTextError(WattlakeError):
    """A row is larger than the log takes, from whoever would write it."""


class Announcer:
    """One life of a writer that has something to say now and then.

    It holds a partition only while it writes, so that many such writers share a few. root: the
    log's folder. node: this node. stem: the partitions' common name. limit_bytes: the largest record that the log takes.
    """

    def __init__(self, root: Path, node: str, stem: str = "job", limit_bytes: int = MAX_RECORD_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._root, self._node, self._stem = root, node, f"{stem}.{node}"
        self._boot = secrets.token_hex(8)
        self._seq = 0

    def write(self, kind: str, rows: list[dict[str, object]]) -> None:
        """Write rows of a JSON kind durably, all or none, as one record or several where one would be too large.

        WattlakeError if the log cannot be written, TooMuchTextError if it does not take one of the rows.
        """
        meta = Meta(kind, self._node, self._boot)
        # before any of them is written
        payloads = self._payloads(meta, rows)
        try:
            with open_pooled(self._root, self._stem, max_record_bytes=self._limit_bytes) as log:
                for payload in payloads:
                    # each try has a number of its own: one that failed may be found all the same, where not even what it left could be cut off
                    self._seq += 1
                    log.append(meta, self._seq - 1, payload)
                log.sync()
        except (LogError, OSError) as error:
            cause = error.__cause__ if isinstance(error, LogError) else error
            why = cause.strerror if isinstance(cause, OSError) and cause.strerror else error
            raise WattlakeError(f"the log cannot be written: {why}", subject=str(self._root),
                                next_step="check the folder's owner and the disk, or name another: "
                                          f"by --log, or where the log is on Kafka by {SPOOL_DIR}") from error

    def _payloads(self, meta: Meta, rows: list[dict[str, object]]) -> list[bytes]:
        def fits(payload: bytes) -> bool:
            return record_bytes(meta, payload) <= self._limit_bytes

        found = [payload for payload, _ in json_payloads(rows, fits)]
        if large := next((payload for payload in found if not fits(payload)), None):
            raise TooMuchTextError(f"a {meta.kind} record of {len(large)} bytes is over the limit of {self._limit_bytes}", subject=str(self._root),
                                   next_step="shorten its texts, or raise kafka.max_record_bytes")
        return found
