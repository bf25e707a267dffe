"""The agent as a real process on a fake machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wattlake_agents.agent import Agent
from wattlake_agents.jobs.registration import Registration, path_of, write
from wattlake_agents.sensors.nvml import NvmlSensor
from wattlake_agents.sensors.rapl import RaplSensor
from wattlake_contracts.config import AgentConfig, Config

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(machine: Any, state: Path, tmp_path: Path, wattlake: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def begin(*options: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [wattlake, "agent", "run", "--log", f"file:{tmp_path / 'log'}", "--interval", "0.05", "--flush", "0.2", *options],
            env=machine.environment(state, **environment), stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()


def beat(state: Path, holds: Callable[[dict[str, Any]], bool], seconds: float = 15) -> dict[str, Any]:
    """The heartbeat file, once it says what is awaited."""
    deadline = time.monotonic() + seconds
    while True:
        file = state / "agent.json"
        if file.exists() and holds(found := json.loads(file.read_text())):
            return found
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def until(holds: Callable[[], Any], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def in_process(machine: Any, state: Path, log: Path, sensors: list[Any]) -> Agent:
    """An agent in this process, reading 50 times a second."""
    config = AgentConfig(node="n1", state_dir=str(state), proc_root=str(machine.proc), interval_s=0.02, flush_s=0.1)
    return Agent(Config(agent=config), f"file:{log}", sensors, discover_s=0.1)


def status(wattlake: Path, machine: Any, state: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([wattlake, "agent", "status", *options], env=machine.environment(state), capture_output=True, text=True)


def test_sigterm_flushes_what_was_read_and_ends_within_5_s(start: Start, machine: Any, state: Path, tmp_path: Path, log_book: Any) -> None:
    zone = machine.zone("intel-rapl:0", "package-0", 5_000_000)
    agent = start("--flush", "30", "--site", "lab")
    beat(state, lambda b: b["rows"] > 0)
    zone.set(8_000_000)
    time.sleep(0.3)
    agent.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    assert agent.wait(5) == 0
    assert time.monotonic() - begun < 5
    rows = log_book(tmp_path / "log").rows("readings")
    assert rows[0]["energy_mj"] == 5000
    assert rows[-1]["energy_mj"] == 8000
    assert {(r["node"], r["device"], r["device_kind"], r["method"], r["boundary"]) for r in rows} == {
        ("n1", "cpu-package-0", "cpu", "counter", "component")}
    assert len({r["epoch"] for r in rows}) == 1
    inventory = [r for r in log_book(tmp_path / "log").rows("nodes") if r["event"] == "inventory"]
    assert [(r.get("device"), r["site"]) for r in inventory] == [(None, "lab"), ("cpu-package-0", "lab")]
    assert inventory[0]["valid_from_ms"] <= rows[0]["ts_ms"]


def free_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def test_a_second_agent_is_told_of_the_first(start: Start, machine: Any, state: Path, tmp_path: Path) -> None:
    machine.zone("intel-rapl:0", "package-0")
    address = free_address()
    first = start(WATTLAKE_AGENT_METRICS=address)
    beat(state, lambda b: b["rows"] > 0)
    elsewhere = ("--log", f"file:{tmp_path / 'elsewhere'}")
    other = {"WATTLAKE_AGENT_STATE_DIR": str(tmp_path / "other"), "WATTLAKE_AGENT_METRICS": address}
    for options, environment, says in (
        # whatever else is taken too, such as the address of the page
        ((), {"WATTLAKE_AGENT_METRICS": address}, f"{state}: an agent runs already (pid {first.pid}, log {tmp_path / 'log'})\n  next: stop it first"),
        (elsewhere, {}, f"an agent runs already (pid {first.pid}"),
        ((), other, f"{tmp_path / 'log'}: an agent of node n1 writes this log already\n  next: stop that agent, or give this one another --log"),
        (elsewhere, other, f"{address}: cannot show the metrics: another program has this address"),
    ):
        second = start(*options, **environment)
        assert second.wait(10) == 1
        assert second.stderr is not None
        assert says in second.stderr.read()
    assert first.poll() is None
    assert beat(state, lambda b: True)["pid"] == first.pid


def test_after_its_end_or_its_death_another_agent_may_start(start: Start, machine: Any, state: Path, wattlake: Path) -> None:
    machine.zone("intel-rapl:0", "package-0")
    for end in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
        agent = start()
        beat(state, lambda b, pid=agent.pid: b["pid"] == pid and b["rows"] > 0)
        agent.send_signal(end)
        agent.wait(5)
        found = beat(state, lambda b: True)
        assert (found["pid"], found["stopped_ms"] > 0) == (agent.pid, end != signal.SIGKILL)


def refused(wattlake: Path, machine: Any, state: Path, log: Path, *options: str) -> str:
    """What an agent says that ends at once with 1. Root may write anywhere, so it runs without that right."""
    bounds = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"] if os.geteuid() == 0 else []
    if bounds and not shutil.which("setpriv"):
        pytest.skip("only setpriv(1) lets root give up its right to write anywhere")
    done = subprocess.run([*bounds, wattlake, "agent", "run", "--log", f"file:{log}", *options], env=machine.environment(state),
                          capture_output=True, text=True, timeout=20)
    assert done.returncode in (1, 2)
    assert "stop" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("closed", ["", "log", "log/agent.n1", "log/agent.n1/lock", "log/agent.n1/durable"])
def test_a_log_that_may_not_be_written_is_named_with_what_to_do(wattlake: Path, machine: Any, state: Path, tmp_path: Path, closed: str) -> None:
    state.mkdir()
    above = tmp_path / "above"
    path = above / closed
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name in ("lock", "durable"):
        path.touch()
    else:
        path.mkdir(exist_ok=True)
    path.chmod(0o444 if path.is_file() else 0o555)
    said = refused(wattlake, machine, state, above / "log")
    path.chmod(0o755)
    assert f"{above}" in said
    assert "the log cannot be written: Permission denied" in said
    assert "next: run as its owner, or let " in said


def test_a_file_in_the_place_of_the_log_is_named(wattlake: Path, machine: Any, state: Path, tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    said = refused(wattlake, machine, state, tmp_path / "log")
    assert f"{tmp_path / 'log'}" in said
    assert "next: a file stands where a folder must be" in said


def test_a_place_where_no_folder_can_be_made_is_named(wattlake: Path, machine: Any, state: Path) -> None:
    said = refused(wattlake, machine, state, Path("/proc/foo"))
    assert said == "wattlake: /proc/foo: the log cannot be written: No such file or directory\n  next: no folder can be made there: give another --log\n"


@pytest.mark.parametrize(("place", "says"), [
    ("afile", "the spool cannot be written: Not a directory\n  next: a file stands where a folder must be: move it away, or "),
    ("/proc/foo", "the spool cannot be written: No such file or directory\n  next: no folder can be made there: "),
])
def test_a_spool_that_cannot_be_written_is_put_elsewhere_by_its_own_setting(wattlake: Path, machine: Any, state: Path, tmp_path: Path, place: str,
                                                                            says: str) -> None:
    (tmp_path / "afile").touch()
    done = subprocess.run([wattlake, "agent", "run", "--log", "kafka:127.0.0.1:1"], capture_output=True, text=True, timeout=20,
                          env={**machine.environment(state), "WATTLAKE_KAFKA_SPOOL_DIR": str(tmp_path / place)})
    assert done.returncode == 1
    assert done.stderr.endswith(f"{says}set kafka.spool_dir (WATTLAKE_KAFKA_SPOOL_DIR) to another folder\n"), done.stderr
    assert "--log" not in done.stderr


@pytest.mark.parametrize("node", ["a/b", "../../evil", "x" * 181, "a b"])
def test_a_node_that_cannot_name_a_part_of_the_log_is_refused(wattlake: Path, machine: Any, state: Path, tmp_path: Path, node: str) -> None:
    said = refused(wattlake, machine, state, tmp_path / "log", "--node", node)
    assert said == f"wattlake: {node!r} cannot name a node\n  next: use letters, digits and . _ - @ =, at most 180, in its name\n"
    assert list(tmp_path.glob("log*")) == []


def test_the_epoch_outlives_a_restart_and_not_a_reboot(start: Start, machine: Any, state: Path, tmp_path: Path, log_book: Any) -> None:
    machine.zone("intel-rapl:0", "package-0")
    for boot in ("boot-1", "boot-1", "boot-2"):
        machine.boot(boot)
        (state / "agent.json").unlink(missing_ok=True)
        agent = start()
        beat(state, lambda b: b["rows"] > 0)
        agent.terminate()
        assert agent.wait(5) == 0
    rows = log_book(tmp_path / "log").rows("readings")
    epochs = list(dict.fromkeys(r["epoch"] for r in rows))
    assert len(epochs) == 2
    boots = {r.meta.boot for r in log_book(tmp_path / "log").records()}
    assert len(boots) == 3, "each start is a writer of its own"


def test_status_is_healthy_while_it_writes_and_not_when_it_is_gone(start: Start, machine: Any, state: Path, wattlake: Path) -> None:
    assert status(wattlake, machine, state).returncode == 1
    machine.zone("intel-rapl:0", "package-0")
    agent = start()
    beat(state, lambda b: b["rows"] > 0)
    well = status(wattlake, machine, state, "--format", "json")
    assert well.returncode == 0, well.stderr
    [said] = json.loads(well.stdout)
    assert (said["state"], said["node"], said["records_lost"]) == ("healthy", "n1", 0)
    assert said["log_bytes"] > 0
    assert any("cpu-package-0" in r for r in said["readers"])
    agent.kill()
    agent.wait()
    ill = status(wattlake, machine, state)
    assert ill.returncode == 1
    assert "not running" in ill.stderr


def test_the_metrics_page_shows_energy_and_the_agents_own_cost(start: Start, machine: Any, state: Path) -> None:
    machine.zone("intel-rapl:0", "package-0", 7_500_000)
    machine.zone("intel-rapl:1", "psys", 9_000_000)
    address = free_address()
    start(WATTLAKE_AGENT_METRICS=address)
    beat(state, lambda b: b["rows"] > 0)
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as page:
        lines = page.read().decode().splitlines()
    energy = {line.split(" ")[0]: float(line.split(" ")[1]) for line in lines if line.startswith("wattlake_device_energy_joules_total{")}
    assert sorted(energy.values()) == [7.5, 9.0]
    assert any('device="cpu-package-0"' in name and 'parent="psys"' in name for name in energy)
    for name in ("wattlake_agent_cpu_seconds_total", "wattlake_agent_resident_bytes", "wattlake_agent_records_lost_total"):
        assert any(line.startswith(name) for line in lines)


def test_a_full_disk_is_waited_out_and_what_was_given_up_is_reported(machine: Any, state: Path, small_disk: Path, log_book: Any) -> None:
    agent = in_process(machine, state, small_disk / "log", [RaplSensor(machine.sys)])
    machine.zone("intel-rapl:0", "package-0", 5_000_000)
    agent.spool._pending_limit = 20_000
    thread = threading.Thread(target=agent.run)
    thread.start()
    until(lambda: agent.spool.rows > 2)
    ballast = small_disk / "ballast"
    free = os.statvfs(small_disk)
    ballast.write_bytes(b"\0" * (free.f_bavail * free.f_bsize))
    until(lambda: agent.spool.lost_rows > 0)
    until(lambda: agent.heartbeat().write_error)
    assert thread.is_alive()
    ballast.unlink()
    before = agent.spool.rows
    until(lambda: agent.spool.rows > before + 20)
    agent.stop.set()
    thread.join(5)
    book = log_book(small_disk / "log")
    lost = [r["detail"] for r in book.rows("nodes") if r["event"] == "records_lost"]
    assert sum(int(detail.split()[0]) for detail in lost) == agent.spool.lost_rows
    assert len({r.ce_id for r in book.records()}) == len(book.records())


def test_a_disk_that_is_full_from_the_start_is_said_once_and_at_the_end(start: Start, machine: Any, state: Path, small_disk: Path,
                                                                        wattlake: Path) -> None:
    machine.zone("intel-rapl:0", "package-0")
    ballast = small_disk / "ballast"
    free = os.statvfs(small_disk)
    ballast.write_bytes(b"\0" * (free.f_bavail * free.f_bsize))
    agent = start("--log", f"file:{small_disk / 'log'}")
    beat(state, lambda b: b["pending_records"] > 4)
    ill = status(wattlake, machine, state, "--format", "json")
    assert (ill.returncode, json.loads(ill.stdout)[0]["state"]) == (1, "unhealthy")
    assert "unhealthy: the last write failed: cannot write the log" in ill.stderr
    assert "No space left on device" in ill.stderr
    agent.terminate()
    assert agent.wait(10) == 1
    assert agent.stderr is not None
    *events, why, step = agent.stderr.read().splitlines()
    said = [json.loads(event) for event in events]
    assert [(e["event"], e["level"]) for e in said if e["event"] != "started"] == [("write_failed", "warning"), ("stopped", "error")]
    assert "No space left on device" in said[-2]["error"]
    lost, rows = said[-1]["records_not_written"], said[-1]["rows_not_written"]
    assert rows > lost > 4
    assert why.startswith(f"wattlake: {small_disk / 'log'}: {lost} records ({rows} rows) were not written: ")
    assert step.startswith("  next: make room")
    gone = status(wattlake, machine, state)
    assert gone.stderr.splitlines()[1].startswith(f"{lost} records were not written: cannot write the log")


def test_a_hanging_reader_does_not_hold_up_the_end(machine: Any, state: Path, tmp_path: Path, nvml: Any, gpu: Any, log_book: Any) -> None:
    hang = threading.Event()
    machine.zone("intel-rapl:0", "package-0", 5_000_000)
    stuck = NvmlSensor(nvml(gpu("GPU-a", energy_mj=lambda: hang.wait(20) or 1)))
    agent = in_process(machine, state, tmp_path / "log", [stuck, RaplSensor(machine.sys)])
    thread = threading.Thread(target=agent.run)
    thread.start()
    time.sleep(0.3)
    agent.stop.set()
    begun = time.monotonic()
    thread.join(5)
    assert not thread.is_alive()
    assert time.monotonic() - begun < 5
    hang.set()
    assert {r["device"] for r in log_book(tmp_path / "log").rows("readings")} == {"cpu-package-0"}


def test_a_machine_without_rapl_gives_an_estimate(start: Start, machine: Any, state: Path, tmp_path: Path, log_book: Any) -> None:
    machine.cpus(threads=4)
    agent = start()
    beat(state, lambda b: b["rows"] > 2)
    agent.terminate()
    agent.wait(5)
    rows = log_book(tmp_path / "log").rows("readings")
    assert {(r["device"], r["method"]) for r in rows} == {("cpu-package-0", "estimated")}
    [device] = [r for r in log_book(tmp_path / "log").rows("nodes") if r.get("device")]
    assert "Cloud Carbon Footprint" in device["detail"]


def test_a_registered_job_is_renewed_and_its_end_passed_on(machine: Any, state: Path, tmp_path: Path, log_book: Any) -> None:
    agent = in_process(machine, state, tmp_path / "log", [])
    row = {"job": "j1", "node": "n1", "start_ms": 1_700_000_000_000, "model": "bert"}
    boot = "11111111-1111-1111-1111-111111111111"
    write(path_of(state, "j1"), Registration([row], boot))
    write(path_of(state, "other-boot"), Registration([{**row, "job": "other"}], "another"))
    write(path_of(state, "bad"), Registration([{**row, "job": "bad", "phase": "nonsense"}], boot))
    (state / "jobs" / "junk.json").write_text("{")
    (state / "jobs" / "link.json").symlink_to(path_of(state, "j1"))
    agent.spool.open()
    agent.renew()
    over = {**row, "end_ms": 1_700_000_001_000, "status": "ok", "event_ms": 1_700_000_001_000}
    write(path_of(state, "j1"), Registration([over], boot, ended=True))
    agent.renew()
    agent.renew()
    agent.spool.close()
    rows = log_book(tmp_path / "log").rows("jobs")
    assert [(r["job"], r.get("end_ms"), r.get("lease_ms")) for r in rows] == [("j1", None, 180_000), ("j1", 1_700_000_001_000, None)]
    assert not path_of(state, "j1").exists()
    assert not path_of(state, "other-boot").exists()
