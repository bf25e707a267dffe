"""The largest record that a log takes: told before anything goes there, and without a bearing on a file's identities."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattlake_contracts.config import LEAST_RECORD_BYTES
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog.format import MAX_RECORD_BYTES
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kinds import KINDS
from wattlake_contracts.record import Stored
from wattlake_pipelines.imports.run import import_file, open_file
from wattlake_pipelines.simulate.options import Options
from wattlake_pipelines.simulate.write import simulate

Told = list[tuple[str, int, bytes]]


@pytest.fixture
def sites(tmp_path: Path) -> Path:
    """A file of which a block of the usual number of rows is 1 MB."""
    path = tmp_path / "in.csv"
    path.write_text("site,zone,pue\n" + "".join(f"{i:04d}{'s' * 990},{'z' * 999},1.1\n" for i in range(600)))
    return path


def told(path: Path, root: Path, limit: int) -> Told:
    """(boot, seq, payload) of what an import writes to a log of that limit; a dry run must say the same."""
    opened = open_file(path, KINDS["sites"])
    with LogWriter(root, "import.0", max_record_bytes=limit) as writer:
        done = import_file(opened, writer, limit_bytes=limit)
    dry = import_file(open_file(path, KINDS["sites"]), None, limit_bytes=limit)
    assert (dry.boot, dry.records) == (done.boot, done.records)
    found = [item for item in read(root, "import.0", *bounds(root, "import.0")) if isinstance(item, Stored)]
    return [(item.record.meta.boot, item.record.seq, bytes(item.record.payload)) for item in found]


def test_another_limit_gives_a_file_that_is_told_again_no_other_identities(sites: Path, tmp_path: Path) -> None:
    small = [told(sites, tmp_path / str(limit), limit) for limit in (LEAST_RECORD_BYTES, 400_000, MAX_RECORD_BYTES - 1)]
    assert small[0] == small[1] == small[2]
    assert len(small[0]) > 6
    usual = [told(sites, tmp_path / str(limit), limit) for limit in (MAX_RECORD_BYTES, 4 * MAX_RECORD_BYTES)]
    assert usual[0] == usual[1]
    assert len(usual[0]) < 5
    # other blocks are other records, and none is taken for another
    assert {boot for boot, *_ in small[0]}.isdisjoint(boot for boot, *_ in usual[0])


def test_a_row_that_the_log_does_not_take_is_told_by_a_dry_run_too(sites: Path, tmp_path: Path) -> None:
    why = r"in\.csv: a row of sites takes [0-9]+ bytes, and the log no record of more than 1500\n.*raise kafka\.max_record_bytes"
    opened = open_file(one_row(sites), KINDS["sites"])
    with LogWriter(tmp_path / "log", "import.0", max_record_bytes=1500) as writer, pytest.raises(WattlakeError, match=why):
        import_file(opened, writer, limit_bytes=1500)
    assert bounds(tmp_path / "log", "import.0") == (0, 0)
    with pytest.raises(WattlakeError, match=why):
        import_file(opened, None, limit_bytes=1500)


def one_row(path: Path) -> Path:
    """The same file with its first row only."""
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:2]))
    return path


def test_a_simulation_of_larger_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WattlakeError, match=r"over the limit of 2000\n  next: raise kafka\.max_record_bytes"):
        simulate(tmp_path, Options(nodes=1, days=0.05, seed=1), limit_bytes=2000)
