"""The powercap reader on fake trees."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from lacking import lacks
from wattlake_agents.sensors.rapl import RaplSensor
from wattlake_agents.sensors.sensor import NoSensor, SensorError


def test_packages_and_memory_are_read_and_what_lies_within_a_package_is_not(machine: Any) -> None:
    machine.zone("intel-rapl:0", "package-0", 5_000_000, constraint_0_max_power_uw=200_000_000, constraint_1_power_limit_uw=240_000_000)
    machine.zone("intel-rapl:0:0", "core", 1)
    machine.zone("intel-rapl:0:1", "uncore", 1)
    machine.zone("intel-rapl:0:2", "dram", 7_000_000)
    machine.zone("intel-rapl:1", "package-1", 6_000_000)
    sensor = RaplSensor(machine.sys)
    devices = {d.name: d for d in sensor.discover()}
    assert list(devices) == ["cpu-package-0", "dram-0", "cpu-package-1"]
    assert devices["cpu-package-0"].max_power_mw == 240_000
    assert devices["cpu-package-0"].wrap_uj == machine.RANGE_UJ + 1
    assert devices["cpu-package-0"].parent is None
    assert devices["dram-0"].kind == "dram"
    read = {r.device: r.raw_uj for r in sensor.read().readings}
    assert read == {"cpu-package-0": 5_000_000, "dram-0": 7_000_000, "cpu-package-1": 6_000_000}


def test_psys_is_the_parent_of_packages_and_memory(machine: Any) -> None:
    machine.zone("intel-rapl:0", "package-0")
    machine.zone("intel-rapl:0:0", "dram")
    machine.zone("intel-rapl:1", "psys")
    devices = {d.name: d for d in RaplSensor(machine.sys).discover()}
    assert {n: d.parent for n, d in devices.items()} == {"cpu-package-0": "psys", "dram-0": "psys", "psys": None}
    assert (devices["psys"].kind, devices["psys"].boundary) == ("psys", "node_dc")


def test_a_package_that_two_drivers_show_is_counted_once(machine: Any) -> None:
    machine.zone("intel-rapl-mmio:0", "package-0", 111)
    machine.zone("intel-rapl:0", "package-0", 222)
    sensor = RaplSensor(machine.sys)
    assert [(d.name, d.identity) for d in sensor.discover()] == [("cpu-package-0", "intel-rapl:0")]
    assert [r.raw_uj for r in sensor.read().readings] == [222]


def test_a_package_that_only_the_second_driver_shows_is_read(machine: Any) -> None:
    machine.zone("intel-rapl-mmio:0", "package-0", 111)
    assert [d.identity for d in RaplSensor(machine.sys).discover()] == ["intel-rapl-mmio:0"]


def test_the_dies_of_a_package_are_devices_of_their_own(machine: Any) -> None:
    machine.zone("intel-rapl:0", "package-0-die-0")
    machine.zone("intel-rapl:1", "package-0-die-1")
    assert [d.name for d in RaplSensor(machine.sys).discover()] == ["cpu-package-0-die-0", "cpu-package-0-die-1"]


def test_no_powercap_is_no_sensor(machine: Any) -> None:
    with pytest.raises(NoSensor):
        RaplSensor(machine.sys).discover()


def test_a_domain_that_vanishes_is_a_failure_and_the_others_go_on(machine: Any) -> None:
    machine.zone("intel-rapl:0", "package-0")
    gone = machine.zone("intel-rapl:1", "package-1")
    sensor = RaplSensor(machine.sys)
    sensor.discover()
    sensor.close()
    (gone.folder / "energy_uj").unlink()
    reads = sensor.read()
    assert [r.device for r in reads.readings] == ["cpu-package-0"]
    assert reads.failures["cpu-package-1"].gone


def test_a_counter_for_root_alone_says_what_to_do() -> None:
    if os.geteuid() != 0:
        lacks("needs root, who alone may become somebody else")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        zone = Path(folder) / "class/powercap/intel-rapl:0"
        zone.mkdir(parents=True)
        (zone / "name").write_text("package-0\n")
        (zone / "energy_uj").write_text("1\n")
        (zone / "energy_uj").chmod(0o400)
        os.seteuid(65534)
        try:
            with pytest.raises(SensorError) as caught:
                RaplSensor(Path(folder)).discover()
        finally:
            os.seteuid(0)
    assert "energy_uj" in str(caught.value)
    assert "infra/systemd" in caught.value.next_step
