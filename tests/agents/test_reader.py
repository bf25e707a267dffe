"""Readers in threads: gaps, hangs, devices that go and come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from wattlake_agents.message import Run
from wattlake_agents.reader import Event, Owners, Reader
from wattlake_agents.sensors.nvml import NvmlSensor
from wattlake_agents.sensors.rapl import RaplSensor
from wattlake_agents.sensors.sensor import Device, NoSensor, Reading, Reads, SensorError


class Script:
    """A sensor whose readings are scripted."""

    def __init__(self, name: str = "script", device: str = "dev0", read: Callable[[int], Any] | None = None) -> None:
        self.name, self.reads = name, 0
        self.device = Device(device, "other", f"{name}-{device}", "counter", "test")
        self.found: list[Device] | Exception = [self.device]
        self._read = read or (lambda n: n * 1_000_000)

    def discover(self) -> list[Device]:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def read(self) -> Reads:
        self.reads += 1
        value = self._read(self.reads)
        if isinstance(value, SensorError):
            return Reads(failures={self.device.name: value})
        return Reads([Reading(self.device.name, time.time_ns() // 1_000_000, value)])


@pytest.fixture
def start() -> Iterator[Callable[..., Reader]]:
    stop, owners, readers = threading.Event(), Owners(), []

    def begin(sensor: Any, interval_s: float = 0.01, timeout_s: float = 0.2, discover_s: float = 0.05) -> Reader:
        reader = Reader(sensor, interval_s, timeout_s, stop, owners, {}, discover_s)
        readers.append(reader)
        reader.start()
        return reader

    yield begin
    stop.set()
    for reader in readers:
        reader.join(2)


def until(holds: Callable[[], Any], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def energies(runs: list[Run]) -> list[int]:
    return [value for run in runs for value in run.energy_mj]


def test_readings_come_in_order_and_once(start: Callable[..., Reader]) -> None:
    reader = start(Script())
    until(lambda: reader.readings >= 5)
    runs, _ = reader.drain()
    assert energies(runs)[:3] == [1000, 2000, 3000]
    until(lambda: reader.readings >= 10)
    more, _ = reader.drain()
    assert energies(more)[0] == energies(runs)[-1] + 1000


def test_a_failed_reading_is_a_gap_and_no_zero(start: Callable[..., Reader]) -> None:
    reader = start(Script(read=lambda n: SensorError("busy") if n in (2, 3) else n * 1_000_000))
    until(lambda: reader.readings >= 3)
    runs, events = reader.drain()
    assert energies(runs)[:3] == [1000, 4000, 5000]
    assert events == []
    assert reader.failures == 2


def test_a_reader_that_hangs_does_not_hold_up_the_others_and_goes_on_when_it_answers(start: Callable[..., Reader]) -> None:
    answer = threading.Event()

    def read(n: int) -> int:
        if n == 3:
            answer.wait(10)
        return n * 1_000_000

    hanging, other = start(Script("hanging", "dev0", read)), start(Script("other", "dev1"))
    until(lambda: hanging.hung)
    count = other.readings
    until(lambda: other.readings > count + 5)
    _, events = hanging.drain()
    assert [(e.event, e.device) for e in events] == [("device_lost", "dev0")]
    assert "does not answer" in hanging.problems()[0].what
    answer.set()
    until(lambda: hanging.readings >= 4)
    runs, events = hanging.drain()
    assert 3000 not in energies(runs), "what came too late has no known time"
    assert [(e.event, e.device) for e in events] == [("device_back", "dev0")]
    assert hanging.problems() == []


def test_a_gpu_that_falls_off_the_bus_is_lost_and_back(start: Callable[..., Reader], nvml: Any, gpu: Any) -> None:
    cards = [gpu("GPU-a", energy_mj=1000), gpu("GPU-b", energy_mj=2000)]
    recorded = nvml(*cards)
    reader = start(NvmlSensor(recorded))
    until(lambda: reader.readings >= 4)
    cards[1].energy_mj = nvml.NVMLError(nvml.NVML_ERROR_GPU_IS_LOST)
    happened: list[Event] = []
    until(lambda: happened.extend(reader.drain()[1]) or happened)
    assert [(e.event, e.device) for e in happened] == [("device_lost", "gpu1")]
    recorded.gpus = cards[:1]
    time.sleep(0.1)
    cards[1].energy_mj = 5
    recorded.gpus = cards
    runs: list[Run] = []

    def back() -> bool:
        fresh, events = reader.drain()
        runs.extend(r for r in fresh if r.device.name == "gpu1")
        happened.extend(events)
        return len(happened) > 1 and bool(runs)

    until(back)
    assert [(e.event, e.device) for e in happened] == [("device_lost", "gpu1"), ("device_back", "gpu1")]
    assert energies(runs)[-1] == 5, "its counter began anew, in an epoch of its own"


def test_power_and_counter_that_tell_different_stories_are_reported_once(start: Callable[..., Reader], nvml: Any, gpu: Any) -> None:
    begun = time.monotonic()
    card = gpu("GPU-a", energy_mj=lambda: (time.monotonic() - begun) * 100_000, power_mw=120_000)  # 100 W counted, 120 W shown
    reader = start(NvmlSensor(nvml(card)))
    until(lambda: reader.readings >= 30)
    _, events = reader.drain()
    assert [e.event for e in events] == ["divergence"]
    assert "the counter is used" in events[0].detail
    until(lambda: reader.readings >= 60)
    assert reader.drain()[1] == []


def test_power_and_counter_that_agree_are_not_reported(start: Callable[..., Reader], nvml: Any, gpu: Any) -> None:
    begun = time.monotonic()
    reader = start(NvmlSensor(nvml(gpu("GPU-a", energy_mj=lambda: (time.monotonic() - begun) * 100_000, power_mw=100_000))), 0.02)
    until(lambda: reader.readings >= 50)
    assert reader.drain()[1] == []


def test_a_sensor_that_comes_later_is_found(start: Callable[..., Reader]) -> None:
    sensor = Script()
    sensor.found = NoSensor("not yet")
    reader = start(sensor)
    assert reader.started.wait(2)
    assert (reader.absent, reader.devices) == ("not yet", ())
    sensor.found = [sensor.device]
    until(lambda: reader.readings)
    assert reader.absent is None


def test_a_device_that_two_readers_offer_is_read_by_one(start: Callable[..., Reader], machine: Any) -> None:
    machine.zone("intel-rapl:0", "package-0")
    first = start(RaplSensor(machine.sys))
    until(lambda: first.readings)
    second = start(Script("other", "cpu-package-0"))
    assert second.started.wait(2)
    time.sleep(0.1)
    assert second.drain()[0] == []


def test_another_power_limit_does_not_end_a_counter(start: Callable[..., Reader], machine: Any) -> None:
    zone = machine.zone("intel-rapl:0", "package-0", constraint_0_power_limit_uw=100_000_000)
    reader = start(RaplSensor(machine.sys))
    until(lambda: reader.readings >= 2)
    (zone.folder / "constraint_0_power_limit_uw").write_text("90000000\n")
    until(lambda: reader.devices[0].max_power_mw == 90_000)
    count = reader.readings
    until(lambda: reader.readings > count + 2)
    runs, _ = reader.drain()
    assert len({run.epoch for run in runs}) == 1


def test_a_fault_of_a_reader_is_shown_and_stops_nobody(start: Callable[..., Reader]) -> None:
    def read(_: int) -> int:
        raise ZeroDivisionError("a bug")

    broken, other = start(Script("broken", "dev0", read)), start(Script("other", "dev1"))
    until(lambda: broken.failures >= 3)
    assert "a fault of the reader itself: a bug" in broken.problems()[0].what
    assert broken.is_alive()
    until(lambda: other.readings)
