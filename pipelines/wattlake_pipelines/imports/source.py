"""An import file as chunks of text columns, each row with its line number."""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from wattlake_contracts.errors import WattlakeError
from wattlake_pipelines.imports.quotes import open_quote

_BLOCK = 4 * 2**20
_PARQUET = (".parquet", ".pq")
_CSV = (".csv", ".csv.gz")
#: What parts the cells, by what people call it; a comma unless the header has none.
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}


class BadLine(NamedTuple):
    """A line that is no row: it has too few or too many cells."""

    line: int
    reason: str
    body: str


class Chunk(NamedTuple):
    """Rows of a file. text: one string column per column of the file. lines: the line of each (int64)."""

    text: pa.Table
    lines: np.ndarray
    bad: list[BadLine]


@dataclass
class Source:
    """A file that can be read: its path, the sha256 of its (unpacked) bytes and its columns."""

    path: Path
    sha256: str
    names: list[str]
    parquet: bool
    quoted: bool = False
    #: lines that the header takes (a quoted name may hold a line break, and blank lines may stand before it)
    header_lines: int = 1
    header_rows: int = 1
    stat: tuple[int, int] = (0, 0)
    separator: str = ","

    @property
    def line_word(self) -> str:
        """What a row is found by in this file."""
        return "row" if self.parquet else "line"


def open_source(path: Path) -> Source:
    """Look a file through: it must be there, readable, not empty, and (CSV) UTF-8. WattlakeError otherwise."""
    lower = path.name.lower()
    if not lower.endswith((*_PARQUET, *_CSV)):
        raise WattlakeError("is neither .csv, .csv.gz nor .parquet", subject=str(path),
                            next_step="convert it, or give it its proper suffix")
    try:
        stat = path.stat()
        if path.is_dir():
            raise WattlakeError("is a folder", subject=str(path), next_step="name the files in it")
        if not stat.st_size:
            raise WattlakeError("is empty", subject=str(path), next_step="check what should have written it")
        made = _look_parquet(path) if lower.endswith(_PARQUET) else _look_csv(path)
    except OSError as error:
        raise WattlakeError(f"cannot be read: {error.strerror or error}", subject=str(path),
                            next_step="check the name and the permissions") from error
    made.stat = (stat.st_size, stat.st_mtime_ns)
    return made


def check_unchanged(source: Source) -> None:
    """WattlakeError if the file was written to since it was looked through."""
    try:
        found = source.path.stat()
    except OSError:
        found = None  # moved away or deleted: what was read may be a part of it
    if found is None or (found.st_size, found.st_mtime_ns) != source.stat:
        raise WattlakeError("was changed while it was read", subject=str(source.path), next_step="import it again once it is complete")


def _plain_bytes(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")  # type: ignore[return-value]  # GzipFile reads like one


def _look_csv(path: Path) -> Source:
    digest, utf8, quoted, start, at, breaks = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")(), False, b"", 0, 0
    try:
        with _plain_bytes(path) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                if not at:
                    start = block
                quoted = quoted or b'"' in block
                utf8.decode(block)
                at += len(block)
                breaks += block.count(b"\n")
            utf8.decode(b"", final=True)
    except UnicodeDecodeError as error:
        utf16 = start[:2] in {b"\xff\xfe", b"\xfe\xff"}
        line = breaks + error.object.count(b"\n", 0, error.start) + 1
        where = "it looks like UTF-16" if utf16 else f"line {line} holds the byte 0x{error.object[error.start]:02x}"
        code = "UTF-16" if utf16 else "WINDOWS-1252"
        raise WattlakeError(f"is not UTF-8: {where}", subject=str(path),
                            next_step=f"save it as UTF-8; of what Excel or Windows wrote: iconv -f {code} -t UTF-8 OLD.csv > NEW.csv") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise WattlakeError(f"is not a whole gzip file: {error}", subject=str(path), next_step="fetch it again") from error
    text = codecs.decode(start, "utf-8-sig", "ignore")
    first = text.partition("\n")[0]
    separator = next((s for s in _SEPARATORS if s in first), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    names = [name.strip() for name in next(reader, [])]
    if not any(names):
        raise WattlakeError("has no header", subject=str(path), next_step="name the columns in its first line")
    if quoted:
        _refuse_open_quote(path, len(names), separator, breaks)
    return Source(path, digest.hexdigest(), names, parquet=False, quoted=quoted, header_lines=reader.line_num, header_rows=1,
                  separator=separator)


def _refuse_open_quote(path: Path, columns: int, separator: str, breaks: int) -> None:
    """WattlakeError if a quoted cell is never closed: it would swallow the rows after it, and the file is most likely cut off.

    breaks: line breaks in the file.
    """
    try:
        with _plain_bytes(path) as file:
            after = open_quote(file, columns, separator, _BLOCK)
    except pa.ArrowException as error:
        raise WattlakeError(f"cannot be read to its end: {_line(error)}", subject=str(path), next_step="write it anew, or fetch it again") from error
    if after is not None:
        raise WattlakeError(f"a quote is opened in line {breaks + 1 - after} and never closed: the file seems to be cut off", subject=str(path),
                            next_step="fetch it again, or close the quote; a quote within a quoted cell is written twice")


def _look_parquet(path: Path) -> Source:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    try:
        with pq.ParquetFile(path) as parquet:
            schema = parquet.schema_arrow
    except (pa.ArrowException, OSError, ValueError) as error:
        raise WattlakeError(f"is no readable Parquet: {_line(error)}", subject=str(path),
                            next_step="write it anew, or fetch it again") from error
    for column in schema:
        _check_type(column, path)
    return Source(path, digest.hexdigest(), list(schema.names), parquet=True)


def _check_type(column: pa.Field, path: Path) -> None:
    """WattlakeError if a Parquet column is of a type that no column of a kind can be made from."""
    kind, is_ = column.type, pa.types
    if is_.is_dictionary(kind):
        kind = kind.value_type
    if (is_.is_timestamp(kind) and kind.tz is None) or is_.is_date(kind):
        raise WattlakeError(f"column {column.name} is {kind}, a time with no zone", subject=str(path),
                            next_step="write it as a timestamp in UTC, or as epoch milliseconds")
    text = is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind)
    number = is_.is_integer(kind) or is_.is_floating(kind) or is_.is_decimal(kind)
    if not (text or number or is_.is_timestamp(kind) or is_.is_boolean(kind) or is_.is_null(kind)):
        raise WattlakeError(f"column {column.name} is {kind}, which is no text, number or time", subject=str(path),
                            next_step="write it as one of these")


def chunks(source: Source, rows: int | None) -> Iterator[Chunk]:
    """The file in chunks of exactly that many rows (the last one has fewer); None: in one.

    Blank lines are left out. WattlakeError if the file breaks off.
    """
    held: list[Chunk] = []
    count = 0
    try:
        for chunk in _parquet_chunks(source) if source.parquet else _csv_chunks(source):
            held.append(chunk)
            count += len(chunk.lines)
            while rows is not None and count >= rows:
                whole = _joined(held)
                yield Chunk(whole.text.slice(0, rows), whole.lines[:rows], whole.bad)
                held, count = [Chunk(whole.text.slice(rows), whole.lines[rows:], [])], count - rows
    except (pa.ArrowException, OSError, ValueError, EOFError, zlib.error) as error:
        raise WattlakeError(f"cannot be read to its end: {_line(error)}", subject=str(source.path),
                            next_step="write it anew, or fetch it again") from error
    if held:
        yield _joined(held)


def _joined(held: list[Chunk]) -> Chunk:
    if len(held) == 1:
        return held[0]
    return Chunk(pa.concat_tables([c.text for c in held]), np.concatenate([c.lines for c in held]), [b for c in held for b in c.bad])


def _csv_chunks(source: Source) -> Iterator[Chunk]:
    # filled by the reader, which may be ahead of the batch that it hands over
    seen: deque[pacsv.InvalidRow] = deque()

    def keep(row: pacsv.InvalidRow) -> str:
        seen.append(row)
        return "skip"

    names = source.names
    stream = pa.input_stream(str(source.path), compression="gzip" if source.path.name.lower().endswith(".gz") else None)
    reader = pacsv.open_csv(
        stream,
        # one thread, as only then a bad line knows its number
        read_options=pacsv.ReadOptions(use_threads=False, column_names=names, skip_rows=source.header_rows, block_size=_BLOCK),
        parse_options=pacsv.ParseOptions(delimiter=source.separator, newlines_in_values=source.quoted, ignore_empty_lines=False, invalid_row_handler=keep),
        convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True),
    )
    lines = _Lines(source)
    waiting: list[pacsv.InvalidRow] = []
    with reader:
        for batch in reader:
            while seen:
                waiting.append(seen.popleft())
            table = pa.Table.from_batches([batch])
            at, told = lines.of(table, waiting)
            waiting = waiting[len(told) :]
            yield _without_blank(table, at, told)
    waiting += seen
    if waiting:
        empty = pa.table({n: pa.array([], pa.string()) for n in names})
        yield Chunk(empty, np.empty(0, dtype=np.int64), lines.of(empty, waiting, last=True)[1])


class _Lines:
    """Line numbers: the reader counts rows, and a quoted cell may hold line breaks."""

    def __init__(self, source: Source) -> None:
        self.quoted, self.separator = source.quoted, source.separator
        self.row = source.header_rows + 1
        self.extra = source.header_lines - source.header_rows

    def of(self, table: pa.Table, waiting: list[pacsv.InvalidRow], *, last: bool = False) -> tuple[np.ndarray, list[BadLine]]:
        """The line of each row of the next batch, and the bad lines before its end."""
        # the reader gives the rows of bad lines; the good rows have the numbers between
        wide = np.arange(self.row, self.row + table.num_rows + len(waiting))
        rows = np.setdiff1d(wide, [row.number for row in waiting])[: table.num_rows]
        after = int(rows[-1]) + 1 if len(rows) else self.row
        found = [row for row in waiting if last or row.number < after]
        breaks = [(row.number, row.text.count("\n")) for row in found if "\n" in row.text]
        if self.quoted:
            counts = np.sum([pc.fill_null(pc.count_substring(c, "\n"), 0).to_numpy() for c in table.columns], axis=0)
            breaks = sorted(breaks + [(int(rows[i]), int(counts[i])) for i in np.flatnonzero(counts)])
        at = np.array([row for row, _ in breaks], dtype=np.int64)
        before = np.concatenate([[0], np.cumsum([count for _, count in breaks])]).astype(np.int64) + self.extra
        told = [_bad_line(row, int(row.number + before[np.searchsorted(at, row.number)]), self.separator) for row in found]
        self.row, self.extra = after, int(before[-1])
        return rows + before[np.searchsorted(at, rows)], told


def _bad_line(row: pacsv.InvalidRow, line: int, separator: str) -> BadLine:
    cells = f"has {row.actual_columns} cells, not {row.expected_columns}"
    return BadLine(line, f"{cells}; quote a cell that holds a {_SEPARATORS[separator]}{', and write decimals with a point' if separator == ',' else ''}",
                   row.text)


def _without_blank(table: pa.Table, lines: np.ndarray, bad: list[BadLine]) -> Chunk:
    trimmed = pa.table({n: _trimmed(table.column(n)) for n in table.schema.names})
    given = trimmed.column(0).is_valid()
    if pc.all(given).as_py() is not True:
        for column in trimmed.columns[1:]:
            given = pc.or_(given, column.is_valid())
        if not pc.all(given).as_py():
            return Chunk(trimmed.filter(given), lines[given.to_numpy()], bad)
    return Chunk(trimmed, lines, bad)


def _trimmed(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without white space around; what is then empty is null."""
    plain = pc.utf8_trim_whitespace(values)
    if pc.min(pc.binary_length(plain)).as_py() == 0:
        plain = pc.if_else(pc.equal(plain, ""), pa.scalar(None, pa.string()), plain)
    return plain


def _parquet_chunks(source: Source) -> Iterator[Chunk]:
    first = 1
    with pq.ParquetFile(source.path) as parquet:
        for batch in parquet.iter_batches(batch_size=131_072):
            table = pa.table({n: _as_text(c) for n, c in zip(batch.schema.names, batch.columns, strict=True)})
            yield Chunk(table, np.arange(first, first + batch.num_rows), [])
            first += batch.num_rows


def _as_text(values: pa.Array) -> pa.ChunkedArray:
    """A Parquet column as text: times as epoch ms, numbers in their shortest exact form."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("ms", values.type.tz), safe=False).cast(pa.int64())
    return _trimmed(pa.chunked_array([values.cast(pa.string())]))


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 200 else f"{text[:200]}…"
