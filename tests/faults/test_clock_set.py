"""An agent whose time of day is wrong, and set forth and back while it reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from at_work import until, until_live
from lakes import rows
from oracles import check_conserved, latest_ms
from topics import Topics
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_warehouse.lake import open_lake

HOUR = 3_600_000
#: What the processor draws, and where its counter goes back to 0, as with real ones.
_POWER_W, _RANGE_UJ = 20, 262_143_328_850


@contextmanager
def processor(sys_root: Path) -> Iterator[None]:
    """A powercap zone whose counter rises with the steady clock until the block ends."""
    zone = sys_root / "class" / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    for name, text in (("name", "package-0"), ("max_energy_range_uj", _RANGE_UJ), ("energy_uj", 0)):
        (zone / name).write_text(f"{text}\n")
    ended, began = threading.Event(), time.monotonic()

    def count() -> None:
        with (zone / "energy_uj").open("r+b", buffering=0) as file:
            while not ended.wait(0.02):
                file.seek(0)
                file.write(b"%-20d\n" % round((time.monotonic() - began) * _POWER_W * 1e6))

    thread = threading.Thread(target=count)
    thread.start()
    yield
    ended.set()
    thread.join()


@pytest.mark.slow
def test_an_agent_whose_clock_steps_an_hour_or_comes_from_1970_counts_each_joule_once_in_the_hour_its_clock_showed(
        kafka: Kafka, topic_prefix: str, world: Callable[..., Any], wrong_clock: Path, tmp_path: Path) -> None:
    clock, sys_root = tmp_path / "clock", tmp_path / "sys"
    now_ms = time.time_ns() // 1_000_000
    # twenty minutes past an hour, so that no step but those of the test leads to another one
    right_ms = now_ms // HOUR * HOUR + HOUR // 3 - now_ms

    def set_to(off_ms: int) -> int:
        fresh = clock.with_name("clock.new")
        fresh.write_text(str(off_ms))
        fresh.replace(clock)
        return time.time_ns() // 1_000_000 + off_ms

    here = world(Topics(kafka.address, topic_prefix))
    set_to(60_000 - now_ms)  # a minute past midnight on 1 January 1970
    with processor(sys_root):
        agent = here.agent(environment={"LD_PRELOAD": str(wrong_clock), "WRONG_CLOCK_FILE": str(clock), "WATTLAKE_AGENT_READERS": "rapl",
                                        "WATTLAKE_AGENT_SYS_ROOT": str(sys_root)})
        here.follow()

        def rejects() -> list[str]:
            with open_lake(here.lake) as connection:
                return [str(reason) for (reason,) in connection.execute("SELECT reason FROM rejects WHERE kind = 'readings'").fetchall()]

        until(rejects, "what was read in 1970 is rejected")
        assert all("ts_ms" in reason for reason in rejects())
        assert latest_ms(here.lake, "n1") == 0
        shown: list[tuple[int, int]] = []
        for off_ms in (0, HOUR, 0):
            begun = set_to(right_ms + off_ms)

            def landed(begun: int = begun) -> bool:
                """Whether two seconds of what is read by this clock are there."""
                with open_lake(here.lake) as connection:
                    found = connection.execute("SELECT count(*) FROM raw_readings WHERE ts_ms BETWEEN ? AND ?", [begun + 2000, begun + HOUR // 2]).fetchone()
                return bool(found and found[0])

            until_live(landed, f"what is read {off_ms // HOUR} h off landed")
            shown.append((begun, time.time_ns() // 1_000_000 + right_ms + off_ms))
        assert agent.stop() == 0
    assert here.follower.stop() == 0, here.follower.said.read_text()[-3000:]
    assert {str(reason).split()[0] for (reason,) in rows(here.lake, "SELECT reason FROM lake.rejects")} <= {"ts_ms", "event_ms"}
    [(rejected,)] = rows(here.lake, "SELECT count(*) FROM lake.rejects")
    check_conserved(here.lake, here.topics, [agent.spool], tmp_path, rejected=int(str(rejected)))

    # each step begins an epoch; the counter itself went on, so that all epochs are parts of one rise
    lives = [tuple(map(int, map(str, life))) for life in rows(here.lake, """
        SELECT min(ts_ms), max(ts_ms), min(energy_mj), max(energy_mj) FROM lake.raw_readings GROUP BY epoch ORDER BY 3""")]
    assert len(lives) == len(shown)
    # it has read on for a moment when the next step came, or its end
    assert all(begun <= first < last <= ended + 1000 for (begun, ended), (first, last, _, _) in zip(shown, lives, strict=True)), (shown, lives)
    assert all(before[3] < after[2] for before, after in pairwise(lives)), "no joule is in two of them"
    rises = [high - low for _, _, low, high in lives]
    by_hour = rows(here.lake, f"SELECT start_ms // {HOUR}, sum(energy_mj)::BIGINT FROM lake.fact_energy GROUP BY ALL ORDER BY 1")
    hour = shown[0][0] // HOUR
    assert by_hour == [(hour, rises[0] + rises[2]), (hour + 1, rises[1])]
    # a device that is known, by the inventory that waited for a clock that can be
    assert {device for (device,) in rows(here.lake, "SELECT device FROM lake.raw_nodes WHERE event = 'inventory'")} == {None, "cpu-package-0"}
