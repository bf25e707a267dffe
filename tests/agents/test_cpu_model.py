"""The model for machines without RAPL."""

from __future__ import annotations

from typing import Any

import pytest

from wattlake_agents.sensors.cpu_factors import Curve, power_curve
from wattlake_agents.sensors.cpu_model import CpuModelSensor
from wattlake_agents.sensors.rapl import RaplSensor
from wattlake_agents.sensors.sensor import NoSensor


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    class Clock:
        now_s = 1000.0

    monkeypatch.setattr("wattlake_agents.sensors.cpu_model.time.monotonic_ns", lambda: round(Clock.now_s * 1e9))
    return Clock


def test_energy_is_the_curve_at_the_load_times_the_time(machine: Any, clock: Any) -> None:
    machine.cpus(threads=2, flags="fpu hypervisor")
    sensor = CpuModelSensor(machine.proc)
    [device] = sensor.discover()
    assert (device.name, device.kind, device.method, device.model) == ("cpu-package-0", "cpu", "estimated", "Acme 9000 CPU @ 2.00GHz")
    assert sensor.read().readings[0].raw_uj == 0
    clock.now_s += 10
    machine.stat([(500, 500), (0, 1000)])  # a quarter busy
    expected_w = 2 * (0.74 + (3.5 - 0.74) * 0.25)  # per thread, as in factors/cpu_model.csv
    assert sensor.read().readings[0].raw_uj == pytest.approx(10 * expected_w * 1e6, abs=10)


def test_stolen_time_is_not_busy(machine: Any, clock: Any) -> None:
    machine.cpus(threads=1, flags="hypervisor")
    sensor = CpuModelSensor(machine.proc)
    sensor.discover()
    sensor.read()
    clock.now_s += 1
    machine.stat([(0, 50)], steal=50)
    assert sensor.read().readings[0].raw_uj == pytest.approx(0.74e6, abs=2)


def test_each_package_has_its_own_load(machine: Any, clock: Any) -> None:
    machine.cpus(packages=2, threads=4)
    sensor = CpuModelSensor(machine.proc)
    assert [d.name for d in sensor.discover()] == ["cpu-package-0", "cpu-package-1"]
    sensor.read()
    clock.now_s += 1
    machine.stat([(100, 0), (0, 100), (100, 0), (0, 100)])
    busy, idle = (r.raw_uj for r in sensor.read().readings)
    assert busy == pytest.approx(2 * 3.5e6, abs=2)
    assert idle == pytest.approx(2 * 0.74e6, abs=2)


def test_the_inventory_names_source_and_range(machine: Any) -> None:
    machine.cpus(flags="hypervisor")
    detail = CpuModelSensor(machine.proc).discover()[0].detail or ""
    assert "Cloud Carbon Footprint" in detail
    assert "full 7 W (3.74 to 12)" in detail


def test_a_known_cpu_takes_its_tdp_but_a_virtual_machine_does_not() -> None:
    model = "AMD EPYC 7742 64-Core Processor"  # 225 W in factors/tdp.csv
    curve = power_curve(model, 128, virtual=False)
    assert curve.power_uw(0) == pytest.approx(0.12 * 225e6)
    assert curve.power_uw(0.3) == pytest.approx((0.32 + 0.75) / 2 * 225e6)
    assert curve.power_uw(1) == pytest.approx(1.02 * 225e6)
    assert "AMD product specification" in curve.source
    assert power_curve(model, 128, virtual=True).power_uw(1) == pytest.approx(128 * 3.5e6)


def test_the_tdp_of_a_family_widens_the_range() -> None:
    curve = power_curve("Intel(R) Xeon(R) Gold 9999Z", 64, virtual=False)
    assert curve.low_uw[-1] < 0.54 * 90e6
    assert curve.high_uw[-1] > 1.25 * 300e6


def test_a_load_outside_the_curve_counts_as_its_end() -> None:
    curve = Curve((0.0, 1.0), (10.0, 20.0), (5.0, 10.0), (20.0, 40.0), "")
    assert (curve.power_uw(-1), curve.power_uw(2)) == (10, 20)


def test_where_rapl_counts_the_model_stays_away(machine: Any) -> None:
    machine.cpus()
    machine.zone("intel-rapl:0", "package-0")
    with pytest.raises(NoSensor):
        CpuModelSensor(machine.proc, RaplSensor(machine.sys)).discover()
