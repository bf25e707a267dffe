"""The book of commits: old ones become a row per day and stage, and all that is derived from the book stays as it was."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakes import dump_of, run
from logs import Log
from wattlake_contracts.kafkalog.signing import public_text
from wattlake_contracts.layout import DAY_MS, data_file
from wattlake_contracts.tables import COMMITS
from wattlake_pipelines.account.account import account
from wattlake_pipelines.account.spread_elements import accounted_until, landed_until
from wattlake_pipelines.arrow_schema import table_schema
from wattlake_pipelines.lake import fold_commits as folding
from wattlake_pipelines.lake import keys
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.fold_commits import fold_commits
from wattlake_pipelines.lake.maintain import _first_remembered, maintain
from wattlake_pipelines.lake.manifest import Manifest, parquet_options
from wattlake_pipelines.lake.verify import verify
from wattlake_pipelines.land.land import land

T0 = 1_760_000_000_000 // DAY_MS * DAY_MS
STAGES = ("land", "account", "maintain", "seed", "key")


def add(committer: Committer, stages: list[str], committed_ms: list[int], watermarks: list[int | None]) -> None:
    """Rows of commits that others have made."""
    first, count = committer.next_batch(), len(stages)
    columns = {"batch": list(range(first, first + count)), "stage": stages, "attempt": [uuid4().hex[:12] for _ in stages],
               "rows": list(range(count)), "rejects": [n % 3 for n in range(count)], "watermark_ms": watermarks, "committed_ms": committed_ms}
    schema = table_schema(COMMITS)
    path = data_file(committer.lake, COMMITS.name, f"{uuid4().hex}.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({f.name: pa.array(columns.get(f.name, [None] * count), f.type) for f in schema}, schema=schema), path, **parquet_options(schema))
    with committer.transaction(uuid4().hex):
        committer._add(COMMITS.name, [path])


def derived(committer: Committer) -> dict[str, object]:
    """What others take from the book."""
    asked = {
        "sums": """SELECT stage, sum(rows), sum(rejects), count(*) + coalesce(sum(folded), 0) FROM lake.commits WHERE stage != 'maintain'
                   GROUP BY stage ORDER BY 1""",
        "latest": "SELECT max(watermark_ms) FROM lake.commits",
        "kept": "FROM lake.commits WHERE stage IN ('key', 'seed') ORDER BY batch",
        "days": """SELECT DISTINCT stage, committed_ms // 86400000, max(batch) FROM lake.commits WHERE stage IN ('land', 'account')
                   GROUP BY ALL ORDER BY ALL""",
    }
    return {**{name: committer.query(sql).fetchall() for name, sql in asked.items()}, "landed": landed_until(committer.connection),
            "accounted": accounted_until(committer.connection), "remembered": _first_remembered(committer)}


@pytest.mark.parametrize("seed", range(6))
def test_what_is_derived_from_the_book_stays_whatever_the_clock_did(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "DETAILED_DAYS", 3)
    monkeypatch.setattr(folding, "DETAILED", 40)
    random = np.random.default_rng(seed)
    count = 600
    stages = [STAGES[i] for i in random.choice(len(STAGES), count, p=(0.45, 0.42, 0.1, 0.01, 0.02))]
    # the clock goes on, stands, and steps by days in either direction
    committed = T0 + np.cumsum(random.integers(0, DAY_MS // 20, count)) + np.where(random.random(count) < 0.02, random.integers(-9, 300, count) * DAY_MS, 0)
    watermarks = [None if random.random() < 0.2 else int(T0 + random.integers(0, 90 * DAY_MS)) for _ in range(count)]
    with Committer(tmp_path / "lake") as committer:
        add(committer, stages, committed.tolist(), watermarks)
        before, last = derived(committer), committer.next_batch() - 1
        detailed = committer.query(f"FROM lake.commits WHERE batch > {last - 40} ORDER BY batch").fetchall()
        gone = fold_commits(committer, 0)
        assert gone > folding.WORTHWHILE
        assert committer.query(f"FROM lake.commits WHERE batch BETWEEN {last - 39} AND {last} ORDER BY batch").fetchall() == detailed
        assert derived(committer) == before
        assert committer.query("SELECT count(*), max(batch) FROM lake.commits").fetchall() == [(count - gone + 1, last + 1)]
        # what it has done is not done again, and numbers go on
        assert (fold_commits(committer, 0), committer.next_batch()) == (0, last + 2)
        # as time goes on, what stands for several is folded with others
        add(committer, ["land"] * 500, [int(committed[-1]) + n * DAY_MS // 60 for n in range(500)], [None] * 500)
        before = derived(committer)
        assert fold_commits(committer, 0) > folding.WORTHWHILE
        assert derived(committer) == before
        assert verify(committer)[1] == []


def test_each_commit_of_a_month_and_the_last_thousand_have_rows_of_their_own(tmp_path: Path) -> None:
    with Committer(tmp_path / "lake") as committer:
        add(committer, ["land"] * 2000, [T0 + n * DAY_MS // 50 for n in range(2000)], [None] * 2000)
        assert fold_commits(committer, 365) == 0, "snapshots of a year name them"
        # 40 days of 50: the last 30 are whole
        assert fold_commits(committer, 7) == 500 - 10
        assert committer.query("SELECT min(batch), count(*) FROM lake.commits WHERE folded IS NULL AND stage = 'land'").fetchall() == [(501, 1500)]
    with Committer(tmp_path / "few") as committer:
        add(committer, ["land"] * 900, [T0 + n * DAY_MS for n in range(450) for _ in range(2)], [None] * 900)
        assert fold_commits(committer, 7) == 0


def test_a_lake_goes_on_after_its_old_commits_are_folded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its keys, its requests that were done, and facts that are those of one run."""
    monkeypatch.setattr(folding, "DETAILED_DAYS", 0)
    monkeypatch.setattr(folding, "DETAILED", 1)
    monkeypatch.setattr(folding, "WORTHWHILE", 1)
    log, name = Log(tmp_path / "log"), "0" * 16

    def reading(i: int) -> None:
        log.put("readings", [{"node": "n1", "device": "gpu0", "device_kind": "gpu", "ts_ms": T0 + 60_000 * i, "energy_mj": 5000 * i}], node="n1")

    with Committer(tmp_path / "lake") as committer:
        keys.make(committer, keys.Add("n2", public_text(bytes(32)), None, None), name)
        for number in range(4):
            reading(number)
            land(committer, log.root, round_bytes=2**26)
            account(committer)
            maintain(committer, keep_days=0)
        assert committer.query("SELECT count(*) FROM lake.commits WHERE stage = 'land'").fetchall()[0][0] == 2
        # what was accounted for is not again
        assert account(committer).elements == 0
        assert keys.is_made(committer, name)
        assert committer.query("SELECT count(*) FROM lake.node_keys JOIN lake.commits USING (batch) WHERE stage = 'key'").fetchall() == [(1,)]
        reading(4)
        land(committer, log.root, round_bytes=2**26)
        account(committer)
        assert committer.commit(Manifest("maintain", uuid4().hex[:12])) == committer.next_batch() - 1
        facts = dump_of(committer)
        assert verify(committer)[1] == []
    run(tmp_path / "once", log.root)
    with Committer(tmp_path / "once") as committer:
        assert dump_of(committer) == facts
