"""The process that runs other people's SQL: it locks itself in, opens the lake and answers, line by line.

Started as `python -I -m wattlake_warehouse.sql.child` with a Setup as its first line of input.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
from pathlib import Path
from typing import IO

import duckdb
import msgspec

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.layout import data
from wattlake_warehouse.lake import attach, quoted
from wattlake_warehouse.sql import landlock
from wattlake_warehouse.sql.limits import Limits
from wattlake_warehouse.sql.messages import Answer, Columns, End, Failure, Question, Ready, Rows, Setup, plain_rows
from wattlake_warehouse.sql.statements import RefusedError, checked

_MIB = 1 << 20
#: what is said of `FROM '/some/file'`
_FILE = re.compile(r"Table with name \S*[/\\]\S* does not exist")
#: rows that travel together
_BATCH = 1000
_PR_SET_PDEATHSIG = 1
#: libraries, time zones, and where DuckDB asks how many processors and how much memory there are
_SYSTEM = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib", "/usr/share/zoneinfo", "/dev/null", "/dev/urandom",
           "/proc/meminfo", "/proc/self", "/sys/fs/cgroup", "/sys/devices/system/cpu")


def main() -> None:
    """Answer until the input ends."""
    # whatever a library prints must not mix with the answers
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    setup = msgspec.json.decode(sys.stdin.buffer.readline(), type=Setup)
    lake, scratch, limits = Path(setup.lake), Path(setup.scratch), setup.limits
    _bound(limits)
    code = {Path(p) for p in (*sys.path, sys.prefix, sys.base_prefix, *_SYSTEM) if p}
    in_force = landlock.restrict(readable=(*sorted(code), data(lake), Path(setup.copy)), writable=(scratch,))
    try:
        connection = attach(lake, Path(setup.copy), scratch)
        lock(connection, lake, limits)
    except WattlakeError as error:
        _say(answers, Failure(str(error.what), error.next_step))
        return
    _say(answers, Ready(in_force))
    for line in sys.stdin.buffer:
        try:
            _answer(connection, msgspec.json.decode(line, type=Question).sql, limits, answers)
        except RefusedError as error:
            _say(answers, Failure(error.what, error.next_step, usage=True))
        except (duckdb.Error, MemoryError) as error:
            _say(answers, _failure(error, limits))


def lock(connection: duckdb.DuckDBPyConnection, lake: Path, limits: Limits) -> None:
    """Bound the connection and shut its doors; nothing that SQL can say opens them again."""
    for setting in (
        f"memory_limit = '{limits.memory_mib}MiB'", f"threads = {limits.threads}",
        f"max_temp_directory_size = '{limits.spill_mib}MiB'",
        # the lake's files and no others; a table name is never taken for a Python variable
        f"allowed_directories = [{quoted(f'{data(lake).absolute()}/')}]", "python_enable_replacements = false",
        "enable_external_access = false", "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")


def _bound(limits: Limits) -> None:
    """Bounds that the kernel keeps, behind those that DuckDB keeps; where the system has them."""
    try:
        import resource
    except ImportError:
        return  # Windows: DuckDB's own bounds, and the parent's clock
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.spill_mib * _MIB, limits.spill_mib * _MIB))
    if sys.platform == "linux":
        # DuckDB's limit leaves out its allocator's slack, the libraries and the rows in Python
        room = (limits.memory_mib * 2 + 2048 + limits.result_mib * 4) * _MIB
        resource.setrlimit(resource.RLIMIT_DATA, (room, room))
        # it must not outlive the process that asked
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _answer(connection: duckdb.DuckDBPyConnection, sql: str, limits: Limits, answers: IO[bytes]) -> None:
    # the result streams: what lies beyond the limit is never made
    result = connection.execute(checked(sql))
    _say(answers, Columns([column[0] for column in result.description]))
    left, size = limits.rows, 0
    while left:
        rows = result.fetchmany(min(left, _BATCH))
        if not rows:
            _say(answers, End(cut=False))
            return
        size += _say(answers, Rows(plain_rows(rows)), most=limits.result_mib * _MIB - size)
        left -= len(rows)
    _say(answers, End(cut=result.fetchone() is not None))


class _TooLargeError(MemoryError):
    """The result is larger than may travel."""


def _say(answers: IO[bytes], answer: Answer, most: int | None = None) -> int:
    line = msgspec.json.encode(answer) + b"\n"
    if most is not None and len(line) > most:
        raise _TooLargeError
    answers.write(line)
    answers.flush()
    return len(line)


def _failure(error: Exception, limits: Limits) -> Failure:
    if isinstance(error, _TooLargeError):
        return Failure(f"the result is larger than {limits.result_mib} MiB", "select fewer columns or rows")
    if isinstance(error, duckdb.OutOfMemoryException | MemoryError):
        return Failure(f"it needs more memory than {limits.memory_mib} MiB", "ask for less at once, or raise --memory")
    if _FILE.search(str(error)):
        # DuckDB takes the path for a table and proposes one that sounds like it
        return Failure("files are out of reach: a statement can read the lake and nothing else", "`SHOW TABLES` lists what there is")
    if isinstance(error, duckdb.IOException):
        return Failure(str(error), "`wattlake lake verify` says which files of the lake are gone or altered")
    return Failure(str(error), "mend the statement; `SHOW TABLES` lists what there is, `DESCRIBE name` its columns")


if __name__ == "__main__":
    main()
