"""How many bytes a reading takes on disk and on the log."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
from figures import Figure, alone
from fleet import landed, reading_files, write_log

#: Bytes per reading at 1 Hz, in ms and mJ.
GOAL = 2.9


def bench(folder: Path, quick: bool) -> list[Figure]:
    """The raw_readings files of the landed fleet, beside the same rows as DuckDB writes them by itself, and the log's files."""
    lake = landed(folder, quick)
    files = reading_files(lake)
    stored = sum(f.stat().st_size for f in files)
    names = [str(f) for f in files]
    plain = folder / "plain.parquet"
    with duckdb.connect() as connection:
        rows = connection.execute("SELECT count(*) FROM read_parquet(?)", [names]).fetchall()[0][0]
        connection.execute("COPY (SELECT * REPLACE (energy_mj / 1000.0 AS energy_mj) FROM read_parquet(?)) "
                           f"TO '{plain}' (FORMAT parquet, COMPRESSION zstd)", [names])
    each, peer = stored / rows, plain.stat().st_size / rows
    plain.unlink()
    logged = sum(f.stat().st_size for f in write_log(folder, quick).rglob("*") if f.is_file()) / rows
    return [
        Figure("a stored reading", each, "bytes", f"the same rows in J as DuckDB's zstd Parquet, {peer:.2f}", peer / each, f"<= {GOAL} bytes", each <= GOAL),
        Figure("a reading on the log", logged, "bytes", f"a stored reading, {each:.2f}", each / logged, "none", None),
    ]


if __name__ == "__main__":
    os.environ.setdefault("NO_COLOR", "1")
    alone(bench)
