"""Two versions as real processes, one after the other and back, over spools that are not drained and one lake: each record counts once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import later
from at_work import WATTLAKE, Agent, Follower, until, until_live
from oracles import accepted
from topics import Topics
from wattlake_contracts.errors import INCOMPLETE, OK
from wattlake_contracts.filelog.partition import partitions
from wattlake_contracts.kafkalog.unknown import UNKNOWN
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.dev.ports import free_ports
from wattlake_warehouse.lake import open_lake

SUPPORT = Path(later.__file__).parent
EARLIER: dict[str, str] = {}
#: Records of one life of a hook; a third each is of a kind that the earlier version knows, and of two that it does not.
COUNT = 30
#: What takes seconds takes minutes on a machine that runs other tests too.
LONG_S = 300


def told(agent: Agent, name: str) -> int:
    """A figure of `agent status`; 0 before the agent has said anything."""
    return int(agent.status()[0].get(name) or 0)


def called(arguments: list[str], version: Mapping[str, str], folder: Path, *more: int, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of a version, which must end with OK or with one of these."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("WATTLAKE_") and key != "PYTHONPATH"}
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=folder, env={**clean, "HOME": str(folder), **version, **environment})
    assert done.returncode in (OK, *more), done.stderr[-3000:]
    return done


def hook(version: Mapping[str, str], folder: Path, spool: Path, boot: str) -> None:
    """A job's hook of a version writes to a node's spool."""
    called([sys.executable, str(SUPPORT / "later.py"), "write", str(spool), f"job.{boot}", boot, "0", str(COUNT)], version, folder)


def books(version: Mapping[str, str], folder: Path, lake: Path) -> dict[str, Any]:
    return dict(json.loads(called([sys.executable, str(SUPPORT / "later.py"), "books", str(lake)], version, folder).stdout))


def kept(version: Mapping[str, str], folder: Path, lake: Path, log: str, prefix: str = "") -> dict[str, Any]:
    """The same once the lake has landed the log, and after another run and upkeep."""
    return dict(json.loads(called([sys.executable, str(SUPPORT / "later.py"), "kept", str(lake), log, prefix], version, folder).stdout))


def check_conserved(found: Mapping[str, Any], spools: list[Path], boots: list[str]) -> None:
    """Every record that the spools accepted is in the lake once, as a later version has it; and all of the hooks' rows."""
    assert {tuple(one) for one in found["seen"]} == accepted(spools)
    assert len(found["seen"]) == len(accepted(spools))
    assert (found["readings_twice"], found["set_aside"], found["rejects"], found["faults"]) == (0, [], [], [])
    wanted = sorted([f"raw_{later.KINDS_IN_TURN[seq % 3]}", boot, seq, 1] for boot in boots for seq in range(COUNT))
    assert [row for row in found["rows"] if row[1] in boots] == wanted


def jobs(lake: Path, boot: str) -> int:
    """How many of a hook's life have landed; read beside the pipelines that are at work."""
    with open_lake(lake) as connection:
        [(found,)] = connection.execute("SELECT count(*) FROM raw_jobs WHERE boot = ?", [boot]).fetchall()
    return int(found)


@pytest.mark.slow
def test_a_lake_goes_to_a_later_version_and_back_over_a_file_log(tmp_path: Path) -> None:
    version, log, lake = later.make(tmp_path / "later"), tmp_path / "log", tmp_path / "lake"

    def run(of: Mapping[str, str], *more: int) -> str:
        return called([WATTLAKE, "run", "--log", f"file:{log}", "--lake", str(lake)], of, tmp_path, *more).stderr

    called([WATTLAKE, "simulate", "--nodes", "2", "--days", "0.05", "--seed", "7", "--log", f"file:{log}"], EARLIER, tmp_path)
    run(EARLIER)
    assert "raw_meters" not in {table for table, _ in books(EARLIER, tmp_path, lake)["columns"]}
    hook(version, tmp_path, log, "b1")
    said = run(EARLIER, INCOMPLETE)
    assert "'queue' of 10 rows" in said, "the earlier version tells what it leaves out"
    assert books(EARLIER, tmp_path, lake)["set_aside"] == [["meters", 10], ["shifts", 10]]
    run(version)
    wide = books(version, tmp_path, lake)
    assert {("raw_jobs", "queue"), ("commits", "later"), ("raw_meters", "meter"), ("raw_shifts", "shift")} < {tuple(one) for one in wide["columns"]}
    follower = Follower(lake, f"file:{log}", version)
    follower.start()
    try:
        until(lambda: "following:" in follower.says(), "it follows", LONG_S)
        hook(version, tmp_path, log, "b2")
        until_live(lambda: jobs(lake, "b2") == COUNT // 3, "fresh data landed")
        assert follower.stop() == 0, follower.says()
    finally:
        follower.end()
    # back, with more of what it does not know, and with upkeep of what it does not know
    hook(version, tmp_path, log, "b3")
    run(EARLIER, INCOMPLETE)
    called([WATTLAKE, "lake", "maintain", "--keep-days", "0", "--lake", str(lake)], EARLIER, tmp_path)
    called([WATTLAKE, "lake", "verify", "--lake", str(lake)], EARLIER, tmp_path)
    assert books(EARLIER, tmp_path, lake)["columns"] == wide["columns"], "nothing is dropped"
    found = kept(version, tmp_path, lake, f"file:{log}")
    check_conserved(found, [log], ["b1", "b2", "b3"])
    assert found["queues"] == [["q", COUNT // 3], [None, 2 * COUNT // 3]], "what an earlier version landed lacks the column, what a later one did has it"
    anew = kept(version, tmp_path, tmp_path / "anew", f"file:{log}")
    check_conserved(anew, [log], ["b1", "b2", "b3"])
    assert anew["queues"] == [["q", COUNT]], "a second lake from the log has all"
    assert found["facts"] == anew["facts"]


@pytest.mark.slow
def test_a_spool_that_is_not_drained_goes_to_an_earlier_version_and_back(kafka: Kafka, topic_prefix: str, world: Callable[..., Any], tmp_path: Path) -> None:
    version, lake = later.make(tmp_path / "later"), tmp_path / "lake"
    topics = Topics(kafka.address, topic_prefix)
    topics.create("meters")
    here = world(topics)

    def run(of: Mapping[str, str], *more: int) -> None:
        called([WATTLAKE, "run", "--log", kafka.address, "--lake", str(lake)], of, tmp_path, *more, **here.environment)

    def follow(of: Mapping[str, str]) -> None:
        """Pipelines of a version at work beside both agents, each of its own version."""
        here.follower.environment = {**{k: v for k, v in here.follower.environment.items() if k != "PYTHONPATH"}, **of}
        here.follow()
        here.alive()
        assert here.follower.stop() == 0, here.follower.says()

    def become(agent: Agent, of: Mapping[str, str]) -> None:
        agent.kill()
        agent.environment = {**{k: v for k, v in agent.environment.items() if k != "PYTHONPATH"}, **of}
        agent.start()

    # a later agent that no broker answers: all stays in its spool, with what a hook of its version writes there
    nowhere = f"kafka:127.0.0.1:{free_ports(1)[0]}"
    agent = here.agent("n1", nowhere, environment=version)
    hook(version, tmp_path, agent.spool, "b1")
    until(lambda: told(agent, "backlog_records") > COUNT + 5, "the spool fills", LONG_S)
    # beside it, one of the later version that ships
    other = here.agent("n2", environment=version)
    hook(version, tmp_path, other.spool, "b2")
    until(lambda: told(other, "records_acknowledged") > COUNT and not told(other, "backlog_records"), "it ships what it knows", LONG_S)

    # the earlier agent on that spool, killed while it sets aside and while it ships
    agent._arguments[agent._arguments.index(nowhere)] = kafka.address
    become(agent, EARLIER)
    until((agent.spool / UNKNOWN).exists, "it sets something aside", LONG_S)
    become(agent, EARLIER)
    until(lambda: told(agent, "records_acknowledged") and not told(agent, "backlog_records"), "nothing sticks", LONG_S)
    shown, said = agent.status()
    assert (shown["state"], shown["records_refused"]) == ("unhealthy", 0)
    assert COUNT * 2 // 3 <= shown["records_unknown"] <= COUNT * 4 // 3, "what it was killed over may be there twice"
    assert "(meters, shifts)" in said
    assert "upgrade this agent" in said
    assert f"wattlake_ship_unknown_records{{node=\"n1\"}} {shown['records_unknown']}" in agent.metrics().replace(".0\n", "\n")
    # earlier pipelines, then later ones, then the earlier ones again, while n1 still holds back
    follow(EARLIER)
    assert books(EARLIER, tmp_path, lake)["set_aside"] == [["shifts", COUNT // 3]]
    run(version)

    # upgraded again: what waited goes by itself
    become(agent, version)
    until(lambda: told(agent, "records_acknowledged") > COUNT // 2 and not told(agent, "backlog_records"), "what waited is shipped", LONG_S)
    until(lambda: agent.status()[0]["state"] == "healthy", "and it is healthy", LONG_S)
    assert told(agent, "records_unknown") == 0
    run(EARLIER, INCOMPLETE)
    follow(version)
    for one in here.agents:
        assert one.stop() == 0, one.said.read_text()[-3000:]
    spools = [agent.spool, other.spool]
    assert partitions(agent.spool / UNKNOWN / "meters") == ["job.b1"]
    found = kept(version, tmp_path, lake, kafka.address, topic_prefix)
    check_conserved(found, spools, ["b1", "b2"])
    anew = kept(version, tmp_path, tmp_path / "anew", kafka.address, topic_prefix)
    check_conserved(anew, spools, ["b1", "b2"])
    assert found["facts"] == anew["facts"]
