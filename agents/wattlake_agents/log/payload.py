"""The rows in a record's payload, as far as somebody wants to see them."""

from __future__ import annotations

import struct
import subprocess
import sys
import threading
from typing import Any

import msgspec

from wattlake_contracts.kind import accepts
from wattlake_contracts.kinds import KINDS
from wattlake_contracts.record import ARROW, Record

Row = dict[str, Any]
Rows = tuple[int | None, list[Row], str]
#: The largest payload is read in far less.
_PATIENCE_S = 20.0
_decode = msgspec.json.Decoder(tuple[int | None, list[Row], str]).decode


class PayloadReader:
    """Reads payloads of whoever. Arrow is read in a process of its own, made when it is first needed: wrong bytes may end that one, and no other."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def first_rows(self, record: Record, count: int) -> Rows:
        """(rows in all, the first of them, why it cannot be read or ''). Rows in all is None where that is not known."""
        meta = record.meta
        if meta.kind not in KINDS:
            return None, [], f"this version knows no kind {meta.kind[:100]!r}"
        if why := accepts(meta.version):
            return None, [], why
        arrow = meta.content_type.partition(";")[0].strip().lower() == ARROW
        total, rows, why = (self._arrow if arrow else _json)(bytes(record.payload), count)
        return total, rows, f"its payload cannot be read: {why}" if why else ""

    def _arrow(self, payload: bytes, count: int) -> Rows:
        if self._child is None:
            self._child = subprocess.Popen([sys.executable, "-P", "-m", "wattlake_agents.log.arrow_child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                           stderr=subprocess.DEVNULL, start_new_session=True)
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        late = threading.Timer(_PATIENCE_S, child.kill)
        late.start()
        try:
            child.stdin.write(struct.pack(">II", count, len(payload)) + payload)
            child.stdin.flush()
            head = child.stdout.read(4)
            answer = child.stdout.read(struct.unpack(">I", head)[0]) if len(head) == 4 else b""
        except BrokenPipeError:
            answer = b""
        finally:
            late.cancel()
        if not answer:
            self.close()
            return None, [], "an Arrow stream that ends whoever reads it"
        return _decode(answer)

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            child, self._child = self._child, None
            child.kill()
            child.wait()
            for end in (child.stdin, child.stdout):
                if end is not None:
                    # what was not taken is nobody's any more
                    try:
                        end.close()
                    except BrokenPipeError:
                        continue


def _json(payload: bytes, count: int) -> Rows:
    try:
        found = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return None, [], said(error)
    rows = found if isinstance(found, list) else [found]
    if not all(isinstance(row, dict) for row in rows):
        return None, [], "neither a JSON object nor an array of objects"
    return len(rows), rows[:count], ""


def said(error: BaseException) -> str:
    """An error in a few words."""
    return str(error).strip()[:300] or type(error).__name__
