"""A quoted cell that is never closed: the file broke off within it, and a reader takes what is left for its text."""

from __future__ import annotations

import io
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv as pacsv

#: The cells of a row put after the file's last one: only where no quote is open is it a row of its own.
_MARK = "\x02wattlake: end of file\x03"


class _Marked(io.RawIOBase):
    """A file, and after it a line break and the mark."""

    def __init__(self, file: BinaryIO, end: bytes) -> None:
        self._file, self._end = file, end

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        found = self._file.read(size)
        if not found:
            found, self._end = (self._end, b"") if size < 0 else (self._end[:size], self._end[size:])
        return found


def open_quote(file: BinaryIO, columns: int, separator: str, block_size: int) -> int | None:
    """How many line breaks there are from the start of the row in which a quote stays open to the file's end; None if none does.

    file: a CSV at its start. columns: of its header. Errors of Arrow are passed on: it cannot read the file either.
    """
    broken: list[str] = []

    def keep(row: pacsv.InvalidRow) -> str:
        broken[:] = [row.text]
        return "skip"

    names = [str(i) for i in range(columns)]
    stream = pa.PythonFile(_Marked(file, f"\n{separator.join([_MARK] * columns)}\n".encode()), mode="r")
    last: pa.RecordBatch | None = None
    with pacsv.open_csv(
        stream,
        read_options=pacsv.ReadOptions(use_threads=False, column_names=names, skip_rows=1, block_size=block_size),
        parse_options=pacsv.ParseOptions(delimiter=separator, newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=keep),
        convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    ) as reader:
        for batch in reader:
            last = batch if batch.num_rows else last
    if broken and _MARK in broken[0]:
        return _breaks(broken[0])
    cells = [column[-1].as_py() or "" for column in last.columns] if last is not None else [_MARK] * columns
    return None if cells == [_MARK] * columns else sum(map(_breaks, cells))


def _breaks(text: str) -> int:
    """The line breaks of the file in a text that runs on into the mark, which has one before it."""
    before, mark, _ = text.partition(_MARK)
    return before.count("\n") - len(mark[:1])
