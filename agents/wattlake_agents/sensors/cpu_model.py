"""CPU packages of a machine without RAPL: busy time x a power curve. An estimate, and says so."""

from __future__ import annotations

import os
import time
from pathlib import Path

from wattlake_agents.sensors.cpu_factors import Curve, power_curve
from wattlake_agents.sensors.rapl import RaplSensor
from wattlake_agents.sensors.sensor import Device, NoSensor, Reading, Reads, SensorError
from wattlake_contracts.config import AgentConfig

#: user nice system idle iowait irq softirq steal; what follows is contained in the first two
_FIELDS = 8


def open_sensor(config: AgentConfig) -> CpuModelSensor:
    """The model over the machine's procfs, standing in for RAPL."""
    return CpuModelSensor(Path(config.proc_root), stands_in_for=RaplSensor(Path(config.sys_root)))


class CpuModelSensor:
    """Energy of each package: the curve's power at the load of the interval x its length.

    Load is busy over total jiffies of the package's threads (proc(5), /proc/stat); time that the
    hypervisor stole is not busy. Figures: factors/cpu_model.csv and factors/tdp.csv.

    stands_in_for: the reader of real counters; while that one works this one has no devices.
    """

    name = "cpu_model"

    def __init__(self, proc_root: Path, stands_in_for: RaplSensor | None = None) -> None:
        self._proc = proc_root
        self._rapl = stands_in_for
        self._stat = -1
        self._packages: list[_Package] = []

    def discover(self) -> list[Device]:
        """One device per package; NoSensor where RAPL counts or there is no /proc/stat."""
        if self._rapl is not None:
            try:
                self._rapl.discover()
            except (NoSensor, SensorError):
                pass  # that reader reports it itself; here it means that the model is needed
            else:
                self._rapl.close()
                self._packages = []
                raise NoSensor("RAPL counts the packages here, so no model is needed")
        if self._packages:
            return [package.device for package in self._packages]
        try:
            packages, virtual, model = _cpuinfo((self._proc / "cpuinfo").read_text(errors="replace"))
            if self._stat < 0:
                self._stat = os.open(self._proc / "stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise NoSensor(f"no {error.filename}") from error
        self._packages = [_package(n, cpus, model, len(packages), virtual=virtual) for n, cpus in sorted(packages.items())]
        return [package.device for package in self._packages]

    def read(self) -> Reads:
        """The packages' integrated energy; the first reading is 0."""
        at_ns, ts_ms = time.monotonic_ns(), time.time_ns() // 1_000_000
        try:
            lines = os.pread(self._stat, 1 << 20, 0).split(b"\nintr", 1)[0].splitlines()
            times = {line[3 : line.index(b" ")]: line.split()[1 : 1 + _FIELDS] for line in lines if line.startswith(b"cpu")}
            return Reads([p.add(ts_ms, at_ns, times) for p in self._packages])
        except (OSError, ValueError) as error:
            raise SensorError(f"cannot be read: {error}", subject=str(self._proc / "stat"), next_step="is /proc mounted?") from error


class _Package:
    __slots__ = ("_at_ns", "_busy", "_fj", "_total", "cpus", "curve", "device")

    def __init__(self, device: Device, cpus: tuple[bytes, ...], curve: Curve) -> None:
        self.device, self.cpus, self.curve = device, cpus, curve
        self._at_ns = self._busy = self._total = self._fj = 0

    def add(self, ts_ms: int, at_ns: int, times: dict[bytes, list[bytes]]) -> Reading:
        """Take the jiffies of all threads at an instant of the monotonic clock."""
        total = busy = 0
        for cpu in self.cpus:
            fields = times.get(cpu)
            if fields is not None:  # a thread taken offline has no line
                jiffies = [int(value) for value in fields]
                total += sum(jiffies)
                busy += jiffies[0] + jiffies[1] + jiffies[2] + sum(jiffies[5:7])
        if not self._at_ns or total < self._total:
            # the first reading, or threads went offline: from here on
            self._at_ns, self._busy, self._total = at_ns, busy, total
        elif total > self._total:
            load = (busy - self._busy) / (total - self._total)
            # 1 µW x 1 ns = 1 fJ
            self._fj += self.curve.power_uw(load) * (at_ns - self._at_ns)
            self._at_ns, self._busy, self._total = at_ns, busy, total
        return Reading(self.device.name, ts_ms, self._fj // 10**9)


def _package(number: int, cpus: list[int], model: str | None, packages: int, *, virtual: bool) -> _Package:
    curve = power_curve(model, len(cpus), virtual=virtual)
    watts = [f"{value / 1e6:.3g}" for value in (curve.low_uw[0], curve.high_uw[0], curve.low_uw[-1], curve.high_uw[-1])]
    detail = (f"estimated: {curve.source}; idle {curve.value_uw[0] / 1e6:.3g} W ({watts[0]} to {watts[1]}), "
              f"full {curve.value_uw[-1] / 1e6:.3g} W ({watts[2]} to {watts[3]})")
    device = Device(f"cpu-package-{number}", "cpu", f"cpu-model-{number}", "estimated", "cpu-model", model=model,
                    domain=f"package-{number}", max_power_mw=round(curve.high_uw[-1] / 1000), detail=detail)
    # the sum over all threads stands in the first line: with one package nothing else need be parsed
    return _Package(device, (b"",) if packages == 1 else tuple(str(cpu).encode() for cpu in cpus), curve)


def _cpuinfo(text: str) -> tuple[dict[int, list[int]], bool, str | None]:
    """(package -> its threads, whether this is a virtual machine, the CPU's model name)."""
    packages: dict[int, list[int]] = {}
    virtual, model = False, None
    for block in text.strip().split("\n\n"):
        fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in block.splitlines())}
        if "processor" not in fields or not fields["processor"].isdigit():
            continue
        packages.setdefault(int(fields.get("physical id", "0")), []).append(int(fields["processor"]))
        virtual = virtual or "hypervisor" in fields.get("flags", "").split()
        model = model or fields.get("model name") or None
    return packages or {0: [0]}, virtual, model
