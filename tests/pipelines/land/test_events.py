"""CloudEvents of other programs: each counts once, whatever its key and however it is read, and a lake that has seen many is no slower."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakes import rows, run
from logs import Log
from wattlake_contracts.layout import ALIAS, DAY_MS
from wattlake_contracts.tables import COMMITS, SEEN, SEEN_EVENTS
from wattlake_pipelines.arrow_schema import table_schema
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.maintain import EVENT_DAYS, maintain
from wattlake_pipelines.lake.manifest import Manifest, stage
from wattlake_pipelines.land.land import land
from wattlake_pipelines.land.piece import RECORDS
from wattlake_pipelines.land.seen import ANYBODY, SCHEMA, fresh, merged, stage_events

T0 = 1_760_054_400_000


def _usage(workload: str, usage_ms: int = 1) -> list[dict[str, object]]:
    return [{"node": "n", "device": "gpu0", "workload": workload, "ts_ms": T0, "usage_ms": usage_ms, "simulated": False}]


def _put(log: Log, event: str, workload: str, *, node: str = "sensor", partition: str = "p", kind: str = "usage") -> None:
    log.put(kind, _usage(workload), node=node, boot=event, seq=0, partition=partition, appended_ms=T0)


def _workloads(lake: Path) -> list[tuple[object, ...]]:
    return rows(lake, "SELECT workload FROM lake.raw_usage ORDER BY ALL")


def test_an_event_counts_once_whatever_its_key_and_in_whichever_round(tmp_path: Path) -> None:
    log, lake = Log(tmp_path / "log"), tmp_path / "lake"
    _put(log, "ce-1", "a")
    run(lake, log.root)
    _put(log, "ce-1", "a", node="another key", partition="q")
    _put(log, "ce-2", "b")
    run(lake, log.root)
    assert _workloads(lake) == [("a",), ("b",)]
    assert rows(lake, "SELECT event FROM lake.seen_events ORDER BY ALL") == [("ce-1",), ("ce-2",)]
    assert rows(lake, "FROM lake.seen") == []


@pytest.mark.parametrize("nodes", [("sensor", "sensor"), ("sensor", "other")], ids=["one key", "two keys"])
@pytest.mark.parametrize("turned", [False, True])
def test_of_two_events_of_one_name_that_differ_one_lands_and_the_other_is_told(tmp_path: Path, nodes: tuple[str, str], turned: bool) -> None:
    told = [("x" * 5, nodes[0], "p"), ("y" * 5, nodes[1], "q")]
    for number, order in enumerate((told, told[::-1]) if turned else (told,)):
        log, lake = Log(tmp_path / f"log-{number}"), tmp_path / f"lake-{number}"
        for at, (workload, node, _) in enumerate(order):
            _put(log, "ce-1", workload, node=node, partition="pq"[at])
        _put(log, "ce-1", order[0][0], node=order[0][1], partition="r")
        run(lake, log.root)
    lakes = sorted(tmp_path.glob("lake-*"))
    assert all(len(_workloads(lake)) == 1 for lake in lakes)
    assert len({str(_workloads(lake)) for lake in lakes}) == 1, "whichever came first"
    for lake in lakes:
        refused = rows(lake, "SELECT kind, reason, body IS NOT NULL, seq FROM lake.rejects")
        assert refused
        assert {(kind, body, seq) for kind, _, body, seq in refused} == {("usage", True, 0)}
        assert all("same source and id" in str(reason) for _, reason, _, _ in refused)


def test_readings_that_come_as_an_event_count_once(tmp_path: Path) -> None:
    log, lake = Log(tmp_path / "log"), tmp_path / "lake"
    reading = [{"node": "n", "device": "gpu0", "ts_ms": T0, "energy_mj": 5}]
    for partition in ("p", "q"):
        log.put("readings", reading, node=partition, boot="ce-1", seq=0, partition=partition, appended_ms=T0)
        run(lake, log.root)
    assert rows(lake, "SELECT count(*) FROM lake.raw_readings") == [(1,)]


def test_what_is_known_by_its_place_takes_one_interval() -> None:
    records = pa.Table.from_pylist([{"kind": "jobs", "writer": w, "boot": b, "seq": s, "appended_ms": 0, "crc": 0}
                                    for w, b, s in (("k1", "at-1", 4), ("k2", "at-1", 9), ("k1", "at-2", 3), ("n1", "b", 4), ("n1", "b", 9))], RECORDS)
    seen = merged(merged(SCHEMA.empty_table(), records.slice(0, 1)), records)
    assert [tuple(r.values()) for r in seen.to_pylist()] == [(ANYBODY, "at-1", 4, 10), (ANYBODY, "at-2", 3, 4), ("n1", "b", 4, 5), ("n1", "b", 9, 10)]
    assert not fresh(records, seen).any()


def test_events_are_found_in_files_of_many(tmp_path: Path) -> None:
    names = [f"ce-{i:024x}" for i in random.Random(1).sample(range(10**6), 120_000)]
    files = [stage_events(pa.chunked_array([pa.array(part)]), 1, tmp_path, f"{n}.parquet").staged for n, part in enumerate((names[:100_000], names[100_000:]))]
    assert pq.read_metadata(files[0]).num_row_groups > 1
    asked = [*random.Random(2).sample(names, 50), *(f"ce-{i:024x}" for i in range(10**6, 10**6 + 50)), "ce-"]
    records = pa.Table.from_pylist([{"kind": "jobs", "writer": "w", "boot": b, "seq": 0, "appended_ms": 0, "crc": 0} for b in asked], RECORDS)
    assert fresh(records, SCHEMA.empty_table(), files).tolist() == [False] * 50 + [True] * 51


def _written_round(committer: Committer, log: Log, name: str) -> int:
    """Land one record of ours, and give the bytes that the round wrote."""
    before = set(committer.lake.glob("data/**/*.parquet"))
    log.put("usage", _usage(name), appended_ms=T0)
    land(committer, log.root, round_bytes=2**28)
    return sum(p.stat().st_size for p in set(committer.lake.glob("data/**/*.parquet")) - before)


def test_a_lake_of_an_earlier_layout_remembers_its_events_and_writes_them_no_more(tmp_path: Path) -> None:
    log, lake = Log(tmp_path / "log"), tmp_path / "lake"
    count = 20_000
    with Committer(lake) as committer, committer.attempt() as (attempt, folder):
        seen = pa.table({"node": ["sensor"] * count + ["w", "w"], "boot": [f"ce-{i:024x}" for i in range(count)] + ["own", "at-9"],
                         "from_seq": [0] * (count + 2), "to_seq": [1] * (count + 2)}).cast(table_schema(SEEN))
        committer.commit(Manifest("land", attempt, (stage(SEEN.name, seen, folder, f"{attempt}.parquet", day_ms=0, shard=0),)))
    _put(log, f"ce-{7:024x}", "again", node="another key")
    log.put("usage", _usage("again"), node="w", boot="own", seq=0, appended_ms=T0)
    log.put("usage", _usage("new"), node="w", boot="own", seq=1, appended_ms=T0)
    run(lake, log.root)
    assert _workloads(lake) == [("new",)]
    assert rows(lake, "SELECT count(*), count(DISTINCT event) FROM lake.seen_events") == [(count, count)]
    assert rows(lake, "SELECT node, boot, from_seq, to_seq FROM lake.seen ORDER BY ALL") == [("kafka", "at-9", 0, 1), ("w", "own", 0, 2)]
    with Committer(lake) as committer:
        assert _written_round(committer, log, "small") < 100_000, "a round of no event writes none"
    with Committer(lake) as committer:
        maintain(committer, keep_days=0, thorough=True)
    _put(log, f"ce-{8:024x}", "again", node="another key", partition="q")
    run(lake, log.root)
    assert _workloads(lake) == [("new",), ("small",)]


def _commits_on_days(committer: Committer, days: list[int]) -> None:
    """As if so many landings had been made, each on its day."""
    first = committer.next_batch()
    path = committer.lake / "data" / "main" / COMMITS.name / f"days-{first}.parquet"
    table = pa.Table.from_pylist([{"batch": first + n, "stage": "land", "attempt": str(first + n), "rows": 0, "rejects": 0, "watermark_ms": None,
                                   "committed_ms": day * DAY_MS} for n, day in enumerate(days)], table_schema(COMMITS))
    pq.write_table(table, path)
    with committer.transaction(f"days-{first}"):
        committer.query(f"CALL ducklake_add_data_files('{ALIAS}', '{COMMITS.name}', ['{path}'])")


def test_an_event_is_forgotten_after_a_hundred_days_with_commits_and_by_no_clock(tmp_path: Path) -> None:
    log, lake = Log(tmp_path / "log"), tmp_path / "lake"
    _put(log, "ce-1", "a")
    run(lake, log.root)
    held = f"SELECT event FROM {ALIAS}.{SEEN_EVENTS.name} ORDER BY ALL"
    with Committer(lake) as committer:
        # clocks that step back and far ahead, and many commits a day
        _commits_on_days(committer, [d for day in [0, 40_000, *range(10_000, 10_000 + EVENT_DAYS - 3)] for d in (day, day)])
        maintain(committer, keep_days=0)
        assert committer.query(held).fetchall() == [("ce-1",)]
    _put(log, "ce-2", "b")
    run(lake, log.root)
    with Committer(lake) as committer:
        _commits_on_days(committer, [9_000])
        maintain(committer, keep_days=0)
        assert committer.query(held).fetchall() == [("ce-2",)]


def test_upkeep_joins_the_files_of_events_and_leaves_out_the_old(tmp_path: Path) -> None:
    with Committer(tmp_path / "lake") as committer:
        for n in range(20):
            with committer.attempt() as (attempt, folder):
                file = stage_events(pa.chunked_array([[f"ce-{99 - n:02}"]]), committer.next_batch(), folder, f"{attempt}.parquet")
                committer.commit(Manifest("land", attempt, (file,)))
        maintain(committer, keep_days=0)
        assert committer.query(f"SELECT count(*), count(DISTINCT filename), min(batch), max(batch) FROM {ALIAS}.seen_events").fetchall() == [(20, 1, 1, 20)]
        [(path,)] = committer.query(f"SELECT path FROM {ALIAS}.files WHERE table_name = 'seen_events'").fetchall()
        events = pq.read_table(committer.lake / path)["event"].to_pylist()
        assert events == sorted(events)


@pytest.mark.parametrize(("node", "boot"), [("n\0", "b"), ("n", "b\0x"), ("n\x1b[2J", "b")])
def test_a_record_whose_name_holds_a_control_character_is_rejected_and_ends_nothing(tmp_path: Path, node: str, boot: str) -> None:
    log, lake = Log(tmp_path / "log"), tmp_path / "lake"
    for kind, told in (("usage", _usage("ill")), ("readings", [{"node": "n", "device": "gpu0", "ts_ms": T0, "energy_mj": 5}])):
        log.put(kind, told, node=node, boot=boot, appended_ms=T0)
    log.put("usage", _usage("well"), appended_ms=T0)
    run(lake, log.root)
    assert _workloads(lake) == [("well",)]
    told = rows(lake, "SELECT place, reason, body IS NOT NULL FROM lake.rejects ORDER BY ALL")
    assert [(place, body) for place, _, body in told] == [("p offset 0", True), ("p offset 1", True)]
    assert all("holds a control character" in str(reason) for _, reason, _ in told)
    log.put("usage", _usage("after"), appended_ms=T0)
    run(lake, log.root)
    assert _workloads(lake) == [("after",), ("well",)]


def test_what_a_reject_quotes_may_hold_a_nul(tmp_path: Path) -> None:
    log, lake = Log(tmp_path / "log"), tmp_path / "lake"
    log.put("jobs", [{"job": "j", "node": "n", "start_ms": T0, "phase": "tr\0ain"}], appended_ms=T0)
    run(lake, log.root)
    log.put("usage", _usage("after"), appended_ms=T0)
    run(lake, log.root)
    assert _workloads(lake) == [("after",)]
    [(reason,)] = rows(lake, "SELECT reason FROM lake.rejects")
    assert r"tr\x00ain" in str(reason)
