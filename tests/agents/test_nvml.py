"""The NVML reader on recorded answers."""

from __future__ import annotations

from typing import Any

import pytest

from wattlake_agents.sensors.nvml import NvmlSensor
from wattlake_agents.sensors.sensor import NoSensor, SensorError


def test_the_energy_counter_is_read_in_mj_with_the_power_beside_it(nvml: Any, gpu: Any) -> None:
    sensor = NvmlSensor(nvml(gpu("GPU-a", energy_mj=123_456, power_mw=300_000, instant_mw=310_000)))
    [device] = sensor.discover()
    assert (device.name, device.method, device.model, device.max_power_mw) == ("gpu0", "counter", "Acme G1", 700_000)
    [reading] = sensor.read().readings
    assert (reading.raw_uj, reading.power_mw) == (123_456_000, 310_000)


def test_without_a_counter_power_is_integrated_by_the_trapezoid(nvml: Any, gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at_s = iter((100.0, 101.0, 103.0))
    monkeypatch.setattr("wattlake_agents.sensors.nvml.time.clock_gettime_ns", lambda _: round(next(at_s) * 1e9))
    power_mw = iter((1, 100_000, 200_000, 400_000))  # the first answers the question whether there is any
    sensor = NvmlSensor(nvml(gpu("GPU-old", power_mw=lambda: next(power_mw))))
    [device] = sensor.discover()
    assert device.method == "integrated"
    # 0, then (100 + 200) / 2 W x 1 s, then (200 + 400) / 2 W x 2 s more
    assert [sensor.read().readings[0].raw_uj for _ in range(3)] == [0, 150_000_000, 750_000_000]


def test_instant_power_is_taken_before_the_averaged_one(nvml: Any, gpu: Any) -> None:
    sensor = NvmlSensor(nvml(gpu("GPU-a", power_mw=1, instant_mw=2)))
    assert "instant" in (sensor.discover()[0].detail or "")


def test_a_gpu_with_neither_is_a_failure_and_never_a_zero(nvml: Any, gpu: Any) -> None:
    sensor = NvmlSensor(nvml(gpu("GPU-a", energy_mj=5), gpu("GPU-none")))
    assert [d.name for d in sensor.discover()] == ["gpu0"]
    reads = sensor.read()
    assert [r.device for r in reads.readings] == ["gpu0"]
    assert "neither" in reads.failures["gpu1"].what


def test_a_transient_failure_is_a_gap(nvml: Any, gpu: Any) -> None:
    card = gpu("GPU-a", energy_mj=5)
    sensor = NvmlSensor(nvml(card))
    sensor.discover()
    card.energy_mj = nvml.NVMLError(nvml.NVML_ERROR_UNKNOWN)
    failed = sensor.read()
    assert not failed.readings
    assert not failed.failures["gpu0"].gone
    card.energy_mj = 9
    assert sensor.read().readings[0].raw_uj == 9000


def test_a_lost_gpu_is_gone_and_the_names_of_the_others_stay(nvml: Any, gpu: Any) -> None:
    first, second = gpu("GPU-a", energy_mj=1), gpu("GPU-b", energy_mj=2)
    recorded = nvml(first, second)
    sensor = NvmlSensor(recorded)
    sensor.discover()
    first.energy_mj = nvml.NVMLError(nvml.NVML_ERROR_GPU_IS_LOST)
    assert sensor.read().failures["gpu0"].gone
    recorded.gpus = [second]
    assert [(d.name, d.identity) for d in sensor.discover()] == [("gpu1", "GPU-b")]
    assert recorded.inits == 2
    first.energy_mj = 3
    recorded.gpus = [first, second]
    assert [(d.name, d.identity) for d in sensor.discover()] == [("gpu0", "GPU-a"), ("gpu1", "GPU-b")]


def test_looking_again_does_not_restart_an_integrated_counter(nvml: Any, gpu: Any) -> None:
    sensor = NvmlSensor(nvml(gpu("GPU-old", power_mw=1_000_000)))
    sensor.discover()
    sensor.read()
    before = sensor.read().readings[0].raw_uj
    sensor.discover()
    assert sensor.read().readings[0].raw_uj >= before > 0


@pytest.mark.parametrize("code", ["NVML_ERROR_LIBRARY_NOT_FOUND", "NVML_ERROR_DRIVER_NOT_LOADED"])
def test_no_driver_is_no_sensor(nvml: Any, code: str) -> None:
    with pytest.raises(NoSensor):
        NvmlSensor(nvml(init_error=getattr(nvml, code))).discover()


def test_a_driver_that_does_not_start_is_an_error(nvml: Any) -> None:
    with pytest.raises(SensorError):
        NvmlSensor(nvml(init_error=nvml.NVML_ERROR_UNKNOWN)).discover()


def test_no_gpu_is_no_sensor(nvml: Any) -> None:
    with pytest.raises(NoSensor):
        NvmlSensor(nvml()).discover()
