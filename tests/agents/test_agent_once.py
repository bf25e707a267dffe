"""`wattlake agent once`: what this machine can measure, and what to do about the rest."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattlake_agents.once import COLUMNS, look
from wattlake_agents.sensors.nvml import NvmlSensor
from wattlake_agents.sensors.rapl import RaplSensor
from wattlake_contracts.config import AgentConfig

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def once(wattlake: Path, machine: Any, state: Path, tmp_path: Path) -> Call:
    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([wattlake, "agent", "once", *arguments], env=machine.environment(state, **environment),
                              capture_output=True, text=True, timeout=30, cwd=tmp_path)

    return call


def test_devices_with_power_energy_and_method_and_nothing_is_written(once: Call, machine: Any, state: Path, tmp_path: Path) -> None:
    machine.cpus(threads=2)
    done = once("--format", "json")
    assert done.returncode == 0, done.stderr
    [row] = json.loads(done.stdout)
    assert (row["device"], row["kind"], row["method"], row["reader"]) == ("cpu-package-0", "cpu", "estimated", "cpu_model")
    assert "Cloud Carbon Footprint" in row["detail"]
    assert "not here: rapl" in done.stderr
    assert not state.exists()
    assert {p.name for p in tmp_path.iterdir()} == {"machine"}


def test_the_three_formats_agree(once: Call, machine: Any) -> None:
    machine.zone("intel-rapl:0", "package-0", 5_000_000)
    [row] = csv.DictReader(io.StringIO(once("--format", "csv").stdout))
    assert (row["device"], row["counter_j"], row["power_w"]) == ("cpu-package-0", "5.0", "0.0")
    assert "cpu-package-0" in once().stdout


def test_a_machine_where_nothing_can_be_measured_fails_and_says_what_to_do(once: Call) -> None:
    done = once()
    assert done.returncode == 1
    assert "next:" in done.stderr


def test_an_unknown_reader_or_format_is_named(once: Call) -> None:
    assert "choose from nvml, rapl, cpu_model" in once(WATTLAKE_AGENT_READERS="nvlm").stderr
    assert once("--format", "xml").returncode == 2


def test_power_is_the_rise_over_the_time_between(machine: Any, nvml: Any, gpu: Any) -> None:
    zone = machine.zone("intel-rapl:0", "package-0", machine.RANGE_UJ)
    card = gpu("GPU-a", energy_mj=1_000)
    threading.Timer(0.1, lambda: (zone.set(9_999_999), setattr(card, "energy_mj", 21_000))).start()
    found = look(AgentConfig(), 0.2, [RaplSensor(machine.sys), NvmlSensor(nvml(card))])
    energy = {row[0]: row[COLUMNS.index("energy_j")] for row in found.rows}
    assert energy == {"cpu-package-0": 10.0, "gpu0": 20.0}
    assert found.problems == []


def test_a_gpu_that_cannot_be_read_is_a_problem_with_a_next_step(nvml: Any, gpu: Any) -> None:
    found = look(AgentConfig(), 0.01, [NvmlSensor(nvml(gpu("GPU-a", energy_mj=1), gpu("GPU-none")))])
    assert [row[0] for row in found.rows] == ["gpu0"]
    assert [(p.subject, bool(p.next_step)) for p in found.problems] == [("gpu1", True)]


def test_a_sensor_that_hangs_is_named_and_the_others_are_shown(machine: Any, nvml: Any, gpu: Any) -> None:
    machine.zone("intel-rapl:0", "package-0")
    hang = threading.Event()
    stuck = NvmlSensor(nvml(gpu("GPU-a", energy_mj=lambda: hang.wait(10) or 1)))
    found = look(AgentConfig(reader_timeout_s=0.2), 0.05, [stuck, RaplSensor(machine.sys)])
    hang.set()
    assert [row[0] for row in found.rows] == ["cpu-package-0"]
    assert [p.subject for p in found.problems] == ["nvml"]


@pytest.mark.parametrize(("option", "value"), [("--interval", "0"), ("--flush", "0.1"), ("--interval", "99999")])
def test_spans_that_make_no_sense_are_refused(wattlake: Path, machine: Any, state: Path, option: str, value: str) -> None:
    done = subprocess.run([wattlake, "agent", "run", option, value], env=machine.environment(state), capture_output=True, text=True,
                          timeout=20)
    assert done.returncode == 2
    assert option in done.stderr
