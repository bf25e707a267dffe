"""Whether every file of a lake is there and holds the bytes that were committed."""

from __future__ import annotations

from dataclasses import dataclass

from wattlake_contracts.layout import ALIAS
from wattlake_contracts.tables import TABLES
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.connection import quoted
from wattlake_pipelines.lake.manifest import file_sha256


@dataclass(frozen=True)
class Fault:
    """A file that is not as it was committed."""

    path: str
    what: str


def verify(committer: Committer) -> tuple[int, list[Fault]]:
    """(files checked, faults). Compares books, catalogue and disk: presence, size and sha256 of each file."""
    booked = committer.query(f"SELECT path, table_name, rows, bytes, sha256 FROM {ALIAS}.files ORDER BY path").fetchall()
    faults = []
    listed: dict[str, set[str]] = {}
    # also those of a later version
    for name in sorted({table.name for table in TABLES.values() if table.files}.union(row[1] for row in booked)):
        listed[name] = {row[0] for row in committer.query(f"SELECT data_file FROM ducklake_list_files('{ALIAS}', {quoted(name)})").fetchall()}
    for path, table_name, _, size, sha256 in booked:
        full = committer.lake / path
        if str(full) not in listed.get(table_name, set()):
            faults.append(Fault(path, "the books name it, the catalogue does not"))
        elif not full.is_file():
            faults.append(Fault(path, "is gone from the disk"))
        elif full.stat().st_size != size or file_sha256(full) != sha256:
            faults.append(Fault(path, "is not what was committed: its bytes have changed"))
    known = {str(committer.lake / row[0]) for row in booked}
    faults += [Fault(path, "the catalogue names it, the books do not")
               for name, paths in listed.items() if name != "dirty" for path in sorted(paths - known)]
    return len(booked), faults
