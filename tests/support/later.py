"""A later version of Wattlake: the same code with contracts that declare more, put first on the path of the processes that are to be of it.

It knows a column more of `jobs`, a kind with a topic of its own (`meters`), one on a topic that the version before knows (`shifts`), a table
for each, and a column more of a book.

As a program, with the contracts of whatever version is on its path:
python later.py write ROOT PARTITION BOOT FIRST COUNT   append records of these kinds in turn, as a job's hook does
python later.py books LAKE                              what the lake holds, as JSON
python later.py kept LAKE LOG PREFIX                    the same once it has landed the log, unless another run or upkeep changes it
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

#: The kinds of the records that are written, in turn.
KINDS_IN_TURN = ("jobs", "meters", "shifts")
#: Of one life of a hook; its start.
T0 = 1_760_054_400_000

_KINDS = '''

METERS = Kind(
    "meters", "meters", "json", "A kind of a later version.",
    (text("meter", "its name", required=True), instant("ts_ms", "when it was read", required=True), count("energy_mj", "its counter", "mJ")),
    ("meter", "ts_ms"), "raw_meters",
)
SHIFTS = Kind(
    "shifts", "jobs", "json", "A kind of a later version, on a topic that was there before.",
    (text("shift", "its name", required=True), instant("start_ms", "when it began", required=True)), ("shift",), "raw_shifts",
)
JOBS = __import__("dataclasses").replace(JOBS, columns=(*JOBS.columns[:3], text("queue", "where it waited"), *JOBS.columns[3:]))
'''


def make(folder: Path) -> dict[str, str]:
    """Make the later contracts in a folder; give the environment of a process that is to have them."""
    from wattlake_contracts import __file__ as here

    shutil.copytree(Path(here).parent, folder / "wattlake_contracts", ignore=shutil.ignore_patterns("__pycache__"))
    _insert(folder / "wattlake_contracts" / "kinds.py", "KINDS: dict[str, Kind] = {", _KINDS, "READINGS, USAGE, JOBS,", "METERS, SHIFTS, ")
    tables = '''RAW_METERS = _landed(METERS, "Of a later version.")\nRAW_SHIFTS = _landed(SHIFTS, "Of a later version.")\n'''
    _insert(folder / "wattlake_contracts" / "tables.py", "TABLES: dict[str, Table] = {", tables, "RAW_READINGS, RAW_USAGE,", "RAW_METERS, RAW_SHIFTS, ")
    where = folder / "wattlake_contracts" / "tables.py"
    source = where.read_text().replace("    INSTRUMENTS,\n", "    INSTRUMENTS,\n    METERS,\n    SHIFTS,\n", 1)
    book = 'text("attempt", "attempt id, in the names of its files", required=True),'
    assert source.count(book) == 1
    where.write_text(source.replace(book, f'{book} text("later", "of a later version"),'))
    return {"PYTHONPATH": str(folder)}


def _insert(path: Path, before: str, text: str, names: str, more: str) -> None:
    """Put text before a line, and more before some names after it."""
    head, found, tail = path.read_text().partition(before)
    assert found
    assert names in tail
    path.write_text(f"{head}{text}\n{found}{tail.replace(names, f'{more}{names}', 1)}")


def write(root: Path, partition: str, boot: str, first: int, count: int) -> None:
    """See above; the records of `jobs` have the later column."""
    from wattlake_contracts.filelog.writer import LogWriter
    from wattlake_contracts.record import Meta

    made = {"jobs": lambda n: {"job": f"{boot}-{n}", "node": "hook", "start_ms": T0, "end_ms": T0 + 60_000, "queue": "q"},
            "meters": lambda n: {"meter": boot, "ts_ms": T0 + n, "energy_mj": n}, "shifts": lambda n: {"shift": f"{boot}-{n}", "start_ms": T0 + n}}
    with LogWriter(root, partition) as log:
        for seq in range(first, first + count):
            kind = KINDS_IN_TURN[seq % len(KINDS_IN_TURN)]
            log.append(Meta(kind, "hook", boot, version="1.1"), seq, json.dumps(made[kind](seq)).encode(), T0 + 120_000 + seq)


def books(lake: Path) -> dict[str, object]:
    """What a lake holds. rows: (table, boot, seq, how many) of each record that has any."""
    from lakes import dump_of
    from wattlake_contracts.kinds import KINDS
    from wattlake_pipelines.lake.committer import Committer
    from wattlake_pipelines.lake.verify import verify

    with Committer(lake) as committer:
        def ask(sql: str) -> list[tuple[object, ...]]:
            return committer.query(sql).fetchall()

        raw = [kind.table for kind in KINDS.values() if kind.table.startswith("raw_")]
        counts = " UNION ALL ".join(f"SELECT '{table}' AS name, boot, seq, count(*) AS n FROM lake.{table} GROUP BY ALL" for table in raw)
        [(given, distinct)] = ask("SELECT count(*), count(DISTINCT (node, device, epoch, ts_ms)) FROM lake.raw_readings")
        return {
            "seen": ask("SELECT node, boot, unnest(range(from_seq, to_seq)) FROM lake.seen ORDER BY ALL"), "rows": ask(f"FROM ({counts}) ORDER BY ALL"),
            "readings_twice": int(str(given)) - int(str(distinct)), "set_aside": ask("SELECT kind, count(*) FROM lake.set_aside GROUP BY ALL ORDER BY ALL"),
            "rejects": ask("SELECT kind, reason FROM lake.rejects ORDER BY ALL"), "facts": dump_of(committer), "faults": [f.what for f in verify(committer)[1]],
            "columns": ask("SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = 'lake' AND NOT internal ORDER BY ALL"),
            "queues": ask("SELECT queue, count(*) FROM lake.raw_jobs WHERE node = 'hook' GROUP BY ALL ORDER BY ALL") if "meters" in KINDS else []}


def kept(lake: Path, log: str, prefix: str) -> dict[str, object]:
    """What a lake holds once it has landed a log (as --log takes it), and after another run, and after all that may be deleted is."""
    from lakes import run
    from wattlake_contracts.config import Config, KafkaConfig
    from wattlake_contracts.log_address import log_address
    from wattlake_pipelines.lake.committer import Committer
    from wattlake_pipelines.lake.maintain import maintain
    from wattlake_pipelines.land.open_source import open_source

    source = open_source(log_address(Config(), log), KafkaConfig(prefix=prefix))
    run(lake, source, shipped=True)
    found = books(lake)
    run(lake, source, shipped=True)
    assert books(lake) == found, "another run changes nothing"
    with Committer(lake) as committer:
        maintain(committer, keep_days=0)
    assert books(lake) == found, "upkeep changes nothing"
    return found


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
    elif sys.argv[1] == "kept":
        print(json.dumps(kept(Path(sys.argv[2]), *sys.argv[3:])))
    else:
        print(json.dumps(books(Path(sys.argv[2]))))
