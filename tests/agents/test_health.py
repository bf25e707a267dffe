"""An agent that lives but sends nothing is unhealthy, and says why: to `agent status` and on its page."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from wattlake_agents.agent import Agent
from wattlake_agents.health import CAUSES, Heartbeat, ReaderHealth, ailments, asked_ms, running
from wattlake_agents.metrics import AgentCollector
from wattlake_agents.process import machine_boot, up_s
from wattlake_agents.sensors.nvml import NvmlSensor
from wattlake_agents.silence import Listening, Silences
from wattlake_agents.state import HEARTBEAT
from wattlake_contracts.config import AgentConfig, Config
from wattlake_contracts.kafkalog.standing import HeldTopic, ShippingState

NOW = 1_700_000_000_000
RAPL = ReaderHealth("rapl", "reading", ["cpu-package-0"], NOW, 100, 0, [])


def beat_at(now_ms: int, **changes: object) -> Heartbeat:
    """The heartbeat of a healthy agent that has run for an hour, but for the changes. Those named *_s are ages in seconds."""
    ages = {name: now_ms - 1000 * changes.pop(f"{name}_s", age) for name, age in  # type: ignore[operator]
            (("started_ms", 3600), ("beat_ms", 1), ("last_reading_ms", 1), ("last_sync_ms", 20))}
    well = Heartbeat(node="n1", pid=os.getpid(), boot="b", log="/log", beat_s=10, interval_s=1, flush_s=60, records=1, rows=1, pending_records=0,
                     lost_records=0, lost_rows=0, write_error="", cpu_s=0.0, rss_bytes=1, readers=[RAPL], **ages)  # type: ignore[arg-type]
    return msgspec.structs.replace(well, **changes)


def gone() -> int:
    """The id of a process that is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


FAILING = ReaderHealth("rapl", "failing", [], 0, 0, 9, ["zone: energy_uj may not be read by this user\n  next: run as root"])
CASES: list[tuple[dict[str, Any], list[str], str]] = [
    ({}, [], ""),
    ({"pid": 0}, ["not_running"], "is not running, and was not stopped; its last sign of life was at 2023-11-14T22:13:19Z: start it"),
    # that nothing is read, written or sent since is no other illness; what was wrong before is
    ({"pid": 0, "beat_ms_s": 3600, "last_reading_ms_s": 3600, "last_sync_ms_s": 3620, "started_ms_s": 7200, "pending_records": 2}, ["not_running"], "start it"),
    ({"pid": 0, "beat_ms_s": 3600, "last_reading_ms_s": 3601, "last_sync_ms_s": 3620, "started_ms_s": 7200, "write_error": "no space"},
     ["not_running", "write_failed"], "the last write failed: no space"),
    ({"pid": 0, "pid_namespace": 1, "beat_ms_s": 3600, "last_reading_ms_s": 3600, "last_sync_ms_s": 3620, "started_ms_s": 7200}, ["hangs"],
     "it no longer runs, or hangs"),
    # one that was stopped is neither well nor ill
    ({"pid": 0, "stopped_ms": NOW, "pending_records": 3, "write_error": "no space"}, [], ""),
    # in another namespace no process id means anything, and only signs of life tell
    ({"pid": 0, "pid_namespace": 1}, [], ""),
    ({"pid": 0, "pid_namespace": 1, "beat_ms_s": 36, "last_reading_ms_s": 36, "last_sync_ms_s": 36}, ["hangs"], "or hangs"),
    ({"beat_ms_s": 36, "last_reading_ms_s": 36}, ["hangs"], "36 s old: it hangs"),
    ({"beat_ms_s": 34}, [], ""),
    ({"last_reading_ms_s": 41}, ["reads_nothing"], "it reads nothing (rapl reading)"),
    ({"last_reading_ms_s": 39}, [], ""),
    # never read since its start an hour ago; nothing is read, so nothing is there to write
    ({"last_reading_ms_s": NOW / 1000, "last_sync_ms_s": 3600, "readers": [FAILING]}, ["reads_nothing"],
     "(rapl failing: zone: energy_uj may not be read by this user)"),
    ({"last_reading_ms_s": NOW / 1000, "started_ms_s": 30}, [], ""),
    ({"last_sync_ms_s": 156, "pending_records": 3}, ["writes_nothing"], "3 records wait): check the disk and /log"),
    ({"last_sync_ms_s": 154, "pending_records": 3}, [], ""),
    ({"last_sync_ms_s": 156}, ["writes_nothing"], "it writes nothing to the log"),
    ({"last_sync_ms_s": NOW / 1000, "started_ms_s": 100, "write_error": "no space"}, ["write_failed"], "the last write failed: no space"),
    ({"last_sync_ms_s": 156, "last_reading_ms_s": 41, "write_error": "no space"}, ["reads_nothing", "writes_nothing", "write_failed"], "no space"),
]


@pytest.mark.parametrize(("changes", "causes", "says"), CASES)
def test_each_cause_is_found_and_no_other(changes: dict[str, Any], causes: list[str], says: str) -> None:
    given = {**changes, "pid": gone()} if "pid" in changes else dict(changes)
    found = ailments(beat_at(NOW, **given), NOW)
    assert [ailment.cause for ailment in found] == causes
    assert says in " ".join(ailment.text for ailment in found)
    assert set(causes) <= set(CAUSES)


@pytest.mark.parametrize(("changes", "says"), [
    ({}, None), ({"beat_ms_s": 3600, "last_reading_ms_s": 3600}, "60 min old: it hangs"), ({"last_reading_ms_s": 300}, "it reads nothing"),
    ({"last_sync_ms_s": 300, "pending_records": 1}, "it writes nothing"), ({"write_error": "disk on fire"}, "disk on fire"),
])
def test_status_ends_with_1_and_says_why(wattlake: Path, machine: Any, state: Path, changes: dict[str, Any], says: str | None) -> None:
    state.mkdir()
    (state / HEARTBEAT).write_bytes(msgspec.json.encode(beat_at(time.time_ns() // 1_000_000, **changes)))
    done = subprocess.run([wattlake, "agent", "status", "--format", "json"], env=machine.environment(state), capture_output=True, text=True)
    assert done.returncode == (0 if says is None else 1)
    assert json.loads(done.stdout)[0]["state"] == ("healthy" if says is None else "unhealthy")
    assert (says or "") in done.stderr
    assert bool(done.stderr) == (says is not None)


SHIPPING = ShippingState(beat_ms=0, log="kafka:k1:9092", state="shipping", backlog_records=0, backlog_bytes=0, oldest_unacked_ms=0, acked_records=7,
                          damaged_records=0, refused_records=0, rebuilt=0, last_ack_ms=0, error="")


@pytest.mark.parametrize(("ages_s", "changes", "since_s"), [
    ({"last_ack_ms": 60}, {"state": "idle"}, None),
    ({"last_ack_ms": 60, "oldest_unacked_ms": 5}, {"backlog_records": 1}, None),
    # an agent sends what it reads each minute: the brokers are silent since there was something to be acknowledged
    ({"last_ack_ms": 100, "oldest_unacked_ms": 40}, {"backlog_records": 1}, 40),
    ({"last_ack_ms": 40, "oldest_unacked_ms": 100}, {"backlog_records": 90}, 40),
    ({"last_ack_ms": 2, "oldest_unacked_ms": 100}, {"backlog_records": 90}, None),
    ({"last_ack_ms": 60, "oldest_unacked_ms": 5}, {"backlog_records": 1, "state": "cannot ship", "error": "tcp of k1:9092: refuses"}, 5),
])
def test_status_says_since_when_nothing_is_acknowledged_before_it_is_an_illness(wattlake: Path, machine: Any, state: Path, ages_s: dict[str, int],
                                                                              changes: dict[str, Any], since_s: int | None) -> None:
    now_ms = time.time_ns() // 1_000_000
    shipping = msgspec.structs.replace(SHIPPING, beat_ms=now_ms, **{name: now_ms - 1000 * age_s for name, age_s in ages_s.items()}, **changes)
    state.mkdir()
    (state / HEARTBEAT).write_bytes(msgspec.json.encode(beat_at(now_ms, shipping=shipping)))
    done = subprocess.run([wattlake, "agent", "status", "--format", "json"], env=machine.environment(state), capture_output=True, text=True)
    [said] = json.loads(done.stdout)
    assert (done.returncode, said["state"], done.stderr) == (0, "healthy", "")
    expected = None if since_s is None else datetime.fromtimestamp((now_ms - 1000 * since_s) / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert said["nothing_acknowledged_since"] == expected
    assert said["shipping_error"] == (shipping.error or None)


def test_of_an_agent_that_died_what_it_told_last_is_past(wattlake: Path, machine: Any, state: Path) -> None:
    state.mkdir()
    shipping = msgspec.structs.replace(SHIPPING, beat_ms=NOW, last_ack_ms=NOW - 3_000_000, oldest_unacked_ms=NOW - 3_000_000, backlog_records=1,
                                       error="a broker cannot be reached")
    (state / HEARTBEAT).write_bytes(msgspec.json.encode(beat_at(NOW, pid=gone(), shipping=shipping)))
    done = subprocess.run([wattlake, "agent", "status", "--format", "json"], env=machine.environment(state), capture_output=True, text=True)
    assert done.returncode == 1
    first, then = done.stderr.splitlines()
    assert first.startswith("unhealthy: the agent (pid ")
    assert "is not running, and was not stopped; its last sign of life was at 2023-11-14T22:13:19Z: start it" in first
    assert then == "it told before that: it sends nothing to kafka:k1:9092 (1 record waits): a broker cannot be reached"


@pytest.mark.parametrize(("waiting", "says"), [(0, ""), (7, "7 records were not written: no space")])
def test_an_agent_that_was_stopped_is_called_so(wattlake: Path, machine: Any, state: Path, waiting: int, says: str) -> None:
    state.mkdir()
    beat = beat_at(NOW, stopped_ms=NOW, pid=gone(), pending_records=waiting, write_error="no space" if waiting else "")
    (state / HEARTBEAT).write_bytes(msgspec.json.encode(beat))
    done = subprocess.run([wattlake, "agent", "status", "--format", "json"], env=machine.environment(state), capture_output=True, text=True)
    assert done.returncode == 1
    [said] = json.loads(done.stdout)
    assert (said["state"], said["pid"], said["stopped"]) == ("stopped", None, "2023-11-14T22:13:20Z")
    assert done.stderr.startswith("stopped at 2023-11-14T22:13:20Z: start it")
    assert says in done.stderr
    assert "unhealthy" not in done.stderr


def test_a_heartbeat_that_cannot_be_read_is_not_healthy(wattlake: Path, machine: Any, state: Path) -> None:
    state.mkdir()
    (state / HEARTBEAT).write_text("{")
    done = subprocess.run([wattlake, "agent", "status"], env=machine.environment(state), capture_output=True, text=True)
    assert (done.returncode, "cannot be read" in done.stderr) == (1, True)


WELL = Silences(reading_ms=200, sync_ms=4000, acked_ms=4000, shipped_ms=300, lost_records_ms=9_000_000, lost_rows_ms=9_000_000)
#: The instants of an agent that was started while its clock was an hour ahead, and of one whose clock has been set forward by two.
AHEAD = {"started_ms_s": -3000, "last_reading_ms_s": -2900, "last_sync_ms_s": -2900}
BEHIND = {"started_ms_s": 9000, "last_reading_ms_s": 7201, "last_sync_ms_s": 7204}


@pytest.mark.parametrize("instants", [{}, AHEAD, BEHIND])
@pytest.mark.parametrize(("changes", "causes"), [
    ({}, []),
    ({"acked_ms": 50_000}, []),
    ({"acked_ms": 55_000}, ["sends_nothing"]),
    ({"reading_ms": 36_000}, ["reads_nothing"]),
    ({"sync_ms": 45_000}, ["writes_nothing"]),
    ({"shipped_ms": 61_000}, ["sends_nothing"]),
])
def test_a_clock_that_was_set_hides_no_silence_and_makes_none(instants: dict[str, Any], changes: dict[str, int], causes: list[str]) -> None:
    shipping = msgspec.structs.replace(SHIPPING, beat_ms=NOW - 1000, backlog_records=3)
    beat = beat_at(NOW, shipping=shipping, flush_s=5, beat_s=5, silences=msgspec.structs.replace(WELL, **changes), **instants)
    # a second has passed since
    assert [ailment.cause for ailment in ailments(beat, NOW)] == causes


@pytest.mark.parametrize("ahead_s", [3000, 0, -3000])
def test_an_agent_that_hangs_is_told_and_one_that_does_not_is_not_however_the_clock_was_set_meanwhile(ahead_s: int) -> None:
    now_ms = time.time_ns() // 1_000_000
    fresh = beat_at(now_ms, beat_ms=now_ms + 1000 * ahead_s, machine_boot=machine_boot(), beat_up_s=up_s() - 2, silences=WELL)
    hung = msgspec.structs.replace(fresh, beat_up_s=up_s() - 120)
    assert asked_ms(hung) - hung.beat_ms == pytest.approx(120_000, abs=5000)
    assert "its last sign of life is 2 min old: it hangs; restart it" in [ailment.text for ailment in ailments(hung, asked_ms(hung))]
    assert not running(hung, asked_ms(hung))
    assert ailments(fresh, asked_ms(fresh)) == []
    assert running(fresh, asked_ms(fresh))


def test_of_another_life_of_the_machine_no_agent_runs() -> None:
    now_ms = time.time_ns() // 1_000_000
    before = beat_at(now_ms, beat_ms=now_ms + 60_000, machine_boot="another", beat_up_s=1e6, silences=WELL)
    assert asked_ms(before) == pytest.approx(now_ms, abs=5000)
    assert ailments(before, asked_ms(before))[0].cause == "not_running"
    assert not running(before, asked_ms(before))


def test_silence_is_counted_from_the_last_change_that_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    up = [100.0]
    monkeypatch.setattr("wattlake_agents.process.up_s", lambda: up[0])
    listening = Listening()
    told = []
    for at_s, value in ((100, 0), (105, 0), (110, 7), (111.5, 7), (112, 3)):
        up[0] = at_s
        told.append((listening.silent_ms("a", value), listening.silent_ms("b", None)))
    assert told == [(0, 0), (5000, 5000), (0, 10_000), (1500, 11_500), (0, 12_000)]


@pytest.mark.parametrize(("changes", "ages_ms", "says"), [
    ({"lost_records": 3, "shipping": SHIPPING}, {"lost_records_ms": 59_000}, "3 records were deleted before the brokers had them, for the spool was full "
                                                                            "(last 60 s ago)"),
    ({"lost_rows": 1}, {"lost_rows_ms": 599_000}, "1 row was given up in memory, for the disk took none, or a row was over its limit (last 10 min ago)"),
    ({"lost_records": 1, "lost_rows": 9, "shipping": SHIPPING}, {"lost_records_ms": 0, "lost_rows_ms": 0}, "for the spool was full (last 1 s ago) and 9 rows"),
    # an hour later it is past, whatever else is lost; and a file log that has a bound keeps to it
    ({"lost_rows": 1}, {"lost_rows_ms": 3_700_000, "lost_records_ms": 0}, ""),
    ({"lost_records": 3}, {"lost_records_ms": 0}, ""),
    ({}, {"lost_records_ms": 0, "lost_rows_ms": 0}, ""),
])
def test_what_was_lost_lately_is_an_illness(changes: dict[str, Any], ages_ms: dict[str, int], says: str) -> None:
    if "shipping" in changes:
        changes = {**changes, "shipping": msgspec.structs.replace(SHIPPING, beat_ms=NOW, last_ack_ms=NOW)}
    found = ailments(beat_at(NOW, silences=msgspec.structs.replace(WELL, **ages_ms), **changes), NOW)
    assert [ailment.cause for ailment in found] == (["loses"] if says else [])
    assert says in " ".join(ailment.text for ailment in found)


# The same with agents that really live and send nothing. It takes them 6 s to be sure.


def unhealthy(wattlake: Path, machine: Any, state: Path, says: str) -> None:
    """Until `agent status` ends with 1 for this reason."""
    deadline = time.monotonic() + 30
    while True:
        done = subprocess.run([wattlake, "agent", "status"], env=machine.environment(state), capture_output=True, text=True)
        if done.returncode == 1 and says in done.stderr:
            return
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.2)


def causes_of(agent: Agent) -> set[str]:
    return {sample.labels["cause"] for family in AgentCollector(agent).collect() if family.name == "wattlake_agent_unhealthy"
            for sample in family.samples if sample.value}


def started(machine: Any, state: Path, log: Path, sensors: list[Any]) -> tuple[Agent, Callable[[], None]]:
    config = AgentConfig(node="n1", state_dir=str(state), proc_root=str(machine.proc), interval_s=0.05, flush_s=0.2)
    agent = Agent(Config(agent=config), f"file:{log}", sensors)
    thread = threading.Thread(target=agent.run)
    thread.start()
    deadline = time.monotonic() + 10
    while not agent.spool.rows:
        assert time.monotonic() < deadline
        time.sleep(0.01)

    def stop() -> None:
        agent.stop.set()
        thread.join(5)

    return agent, stop


@pytest.mark.slow
def test_an_agent_whose_only_device_fails_reads_nothing(wattlake: Path, machine: Any, state: Path, tmp_path: Path, nvml: Any, gpu: Any) -> None:
    card = gpu("GPU-a", energy_mj=1000)
    agent, stop = started(machine, state, tmp_path / "log", [NvmlSensor(nvml(card))])
    assert causes_of(agent) == set()
    card.energy_mj = nvml.NVMLError(nvml.NVML_ERROR_UNKNOWN)
    unhealthy(wattlake, machine, state, "it reads nothing (nvml failing: gpu0: NVML error 999)")
    assert causes_of(agent) == {"reads_nothing"}
    card.energy_mj = 2000
    deadline = time.monotonic() + 10
    while causes_of(agent):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    stop()


@pytest.mark.slow
def test_an_agent_whose_values_are_never_believed_sends_nothing(wattlake: Path, machine: Any, state: Path, tmp_path: Path, nvml: Any, gpu: Any) -> None:
    values = iter([1000, 1000, 1000, *(10**9 * (100 - i) for i in range(100)), *(10**7 * (100_000 - i) for i in range(90_000))])
    agent, stop = started(machine, state, tmp_path / "log", [NvmlSensor(nvml(gpu("GPU-a", energy_mj=lambda: next(values))))])
    unhealthy(wattlake, machine, state, "it reads nothing")
    assert causes_of(agent) == {"reads_nothing"}
    stop()


@pytest.mark.slow
def test_an_agent_whose_loop_hangs_says_so_on_its_page(wattlake: Path, machine: Any, state: Path, tmp_path: Path, nvml: Any, gpu: Any) -> None:
    agent, stop = started(machine, state, tmp_path / "log", [NvmlSensor(nvml(gpu("GPU-a", energy_mj=1000)))])
    with agent.readers[0]._lock:
        unhealthy(wattlake, machine, state, "it hangs; restart it")
        assert "hangs" in causes_of(agent)
    stop()


@pytest.mark.slow
def test_a_stopped_process_hangs(wattlake: Path, machine: Any, state: Path, tmp_path: Path) -> None:
    machine.zone("intel-rapl:0", "package-0")
    agent = subprocess.Popen([wattlake, "agent", "run", "--log", f"file:{tmp_path / 'log'}", "--interval", "0.05", "--flush", "0.2"],
                             env=machine.environment(state), stderr=subprocess.DEVNULL, cwd=tmp_path)
    try:
        while not (state / HEARTBEAT).exists():
            assert agent.poll() is None
            time.sleep(0.02)
        agent.send_signal(signal.SIGSTOP)
        unhealthy(wattlake, machine, state, "it hangs; restart it")
    finally:
        agent.kill()
        agent.wait()


@pytest.mark.slow
def test_an_agent_whose_clock_is_set_back_sends_nothing_all_the_same(wattlake: Path, machine: Any, state: Path, tmp_path: Path, wrong_clock: Path) -> None:
    machine.zone("intel-rapl:0", "package-0")
    clock = tmp_path / "clock"

    def set_to(off_ms: int) -> None:
        (tmp_path / "new").write_text(str(off_ms))
        (tmp_path / "new").replace(clock)

    set_to(7_200_000)
    environment = machine.environment(state, LD_PRELOAD=str(wrong_clock), WRONG_CLOCK_FILE=str(clock), WATTLAKE_KAFKA_SPOOL_DIR=str(tmp_path / "spool"))
    agent = subprocess.Popen([wattlake, "agent", "run", "--log", "kafka:127.0.0.1:1", "--interval", "0.05", "--flush", "0.2"], env=environment,
                             stderr=subprocess.DEVNULL, cwd=tmp_path)

    def asked() -> tuple[int, str]:
        done = subprocess.run([wattlake, "agent", "status"], env=environment, capture_output=True, text=True)
        return done.returncode, done.stderr

    try:
        deadline = time.monotonic() + 30
        while asked()[0]:
            assert time.monotonic() < deadline, asked()
        for off_ms in (4 * 3_600_000, 0):
            set_to(off_ms)
            assert asked() == (0, ""), "that nothing has been sent yet is no illness, whatever the clock shows"
        deadline = time.monotonic() + 60
        while "it sends nothing to kafka:127.0.0.1:1" not in asked()[1]:
            assert time.monotonic() < deadline, asked()
            time.sleep(1)
    finally:
        agent.kill()
        agent.wait()


@pytest.mark.slow
def test_an_agent_that_may_not_write_more_writes_nothing(wattlake: Path, machine: Any, state: Path, tmp_path: Path) -> None:
    machine.zone("intel-rapl:0", "package-0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [str(wattlake), "agent", "run", "--log", f"file:{tmp_path / 'log'}", "--interval", "0.05", "--flush", "0.2"]
    # no file may grow beyond 16 KiB
    agent = subprocess.Popen(["bash", "-c", f"ulimit -f 16; exec {shlex.join(command)}"], env=machine.environment(state, WATTLAKE_AGENT_METRICS=address),
                             stderr=subprocess.DEVNULL, cwd=tmp_path)
    try:
        unhealthy(wattlake, machine, state, "it writes nothing to the log")
        unhealthy(wattlake, machine, state, "the last write failed: cannot write the log: File too large")
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as page:
            lines = page.read().decode().splitlines()
        shown = {line for line in lines if line.startswith("wattlake_agent_unhealthy{") and line.endswith(" 1.0")}
        assert shown == {f'wattlake_agent_unhealthy{{cause="{cause}",node="n1"}} 1.0' for cause in ("writes_nothing", "write_failed")}
    finally:
        agent.terminate()
        assert agent.wait(10) == 1


def test_a_topic_that_takes_nothing_is_an_illness_though_the_others_flow() -> None:
    held = [HeldTopic("w.jobs", NOW - 300_000, 12, "it is not there"), HeldTopic("w.nodes", NOW - 1000, 1, "it is not granted")]
    shipping = msgspec.structs.replace(SHIPPING, beat_ms=NOW, last_ack_ms=NOW, oldest_unacked_ms=NOW - 300_000, backlog_records=13, held=held,
                                       state="holds back")
    found = ailments(beat_at(NOW, shipping=shipping), NOW)
    assert [ailment.cause for ailment in found] == ["holds_back", "holds_back"]
    assert found[0].text == "12 records wait for w.jobs, and only these, the oldest for 5 min: it is not there"
    assert found[1].text == "1 record waits for w.nodes, and only this for 1 s: it is not granted"
    kept = msgspec.structs.replace(shipping, held=[], error="records of w.jobs, which takes none, cannot be set apart: No space left on device")
    assert ailments(beat_at(NOW, shipping=kept), NOW) == [("holds_back", f"some records wait, and only these: {kept.error}")]
    assert msgspec.json.decode(msgspec.json.encode(shipping), type=ShippingState) == shipping
