"""CPU packages, memory and platform through Linux powercap (RAPL)."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from wattlake_agents.sensors.sensor import Device, NoSensor, Reading, Reads, SensorError
from wattlake_contracts.config import AgentConfig

#: Where several drivers show the same domain, the first of these is taken.
_DRIVERS = ("intel-rapl", "intel-rapl-tpmi", "intel-rapl-mmio")
_ZONE = re.compile(r"(intel-rapl(?:-mmio|-tpmi)?):(\d+)(?::(\d+))?")
_PACKAGE = re.compile(r"package-(\d+(?:-die-\d+)?)")

ROOT_STEP = ("run the agent as root, or let its group read the counters: infra/systemd/70-wattlake-powercap.rules does that "
             "(energy_uj is for root alone since CVE-2020-8694)")


def open_sensor(config: AgentConfig) -> RaplSensor:
    """The reader over the machine's sysfs."""
    return RaplSensor(Path(config.sys_root))


class RaplSensor:
    """Reads energy_uj of each package, dram and psys domain.

    Core and uncore lie within their package and are not reported. psys is the platform and holds
    the packages and their memory, so it is their parent. A domain that two drivers show (MSR and
    MMIO) is read once. Source: Documentation/power/powercap/powercap.rst of the Linux kernel.
    """

    name = "rapl"

    def __init__(self, sys_root: Path) -> None:
        self._root = sys_root / "class" / "powercap"
        self._open: dict[str, int] = {}
        self._zones: dict[str, Path] = {}

    def discover(self) -> list[Device]:
        """Packages, drams and psys; NoSensor without powercap, SensorError if energy_uj may not be read."""
        zones = self._domains()
        if not zones:
            raise NoSensor(f"no RAPL domain under {self._root}")
        several_psys = sum(name.startswith("psys") for name in zones) > 1
        platform = None if several_psys or "psys" not in zones else "psys"
        devices = [_device(name, zone, platform) for name, zone in zones.items()]
        self.close()
        self._zones = zones
        for name, zone in zones.items():
            self._value(name, zone)
        return devices

    def read(self) -> Reads:
        """energy_uj of every domain; one that fails is in the failures."""
        reads = Reads()
        for name, zone in self._zones.items():
            ts_ms = time.time_ns() // 1_000_000
            try:
                reads.readings.append(Reading(name, ts_ms, self._value(name, zone)))
            except SensorError as error:
                reads.failures[name] = error
        return reads

    def close(self) -> None:
        """Close the files that reading keeps open."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def _domains(self) -> dict[str, Path]:
        """Device name -> its zone's folder, each domain once."""
        try:
            names = [path.name for path in self._root.iterdir()]
        except OSError:
            return {}
        zones = sorted((m for m in map(_ZONE.fullmatch, names) if m),
                       key=lambda m: (_DRIVERS.index(m[1]), int(m[2]), int(m[3] or -1)))
        found: dict[str, Path] = {}
        driver_of: dict[str, str] = {}
        for match in zones:
            name = self._device_name(match)
            if name is None:
                continue
            if name in found:
                if driver_of[name] != match[1]:
                    continue  # the same domain, seen through another driver
                name = f"{name}-{match[2]}"
            found[name], driver_of[name] = self._root / match[0], match[1]
        return found

    def _device_name(self, match: re.Match[str]) -> str | None:
        label = _line(self._root / match[0] / "name")
        if label is None or not (self._root / match[0] / "energy_uj").exists():
            return None
        if match[3] is None:
            package = _PACKAGE.fullmatch(label)
            return f"cpu-package-{package[1]}" if package else "psys" if label == "psys" else None
        if label != "dram":
            return None
        package = _PACKAGE.fullmatch(_line(self._root / f"{match[1]}:{match[2]}" / "name") or "")
        return f"dram-{package[1] if package else match[2]}"

    def _value(self, name: str, zone: Path) -> int:
        try:
            descriptor = self._open.get(name)
            if descriptor is None:
                descriptor = self._open[name] = os.open(zone / "energy_uj", os.O_RDONLY | os.O_CLOEXEC)
            return int(os.pread(descriptor, 32, 0))
        except PermissionError as error:
            raise SensorError("energy_uj may not be read by this user", subject=str(zone), next_step=ROOT_STEP) from error
        except (OSError, ValueError) as error:
            if name in self._open:
                os.close(self._open.pop(name))
            gone = isinstance(error, FileNotFoundError) or getattr(error, "errno", None) == 19  # ENODEV
            raise SensorError(f"cannot be read: {error}", subject=str(zone), next_step="check `dmesg` for powercap", gone=gone) from error


def _device(name: str, zone: Path, platform: str | None) -> Device:
    kind = "cpu" if name.startswith("cpu") else "dram" if name.startswith("dram") else "psys"
    limits_uw = [int(text) for path in sorted(zone.glob("constraint_*_*_uw"))
                 if path.name.endswith(("_max_power_uw", "_power_limit_uw")) and (text := _line(path)) and text.isdigit()]
    wrap = _line(zone / "max_energy_range_uj")
    # the counter runs over 0..range, so it comes back to 0 one step after it
    wrap_uj = int(wrap) + 1 if wrap and wrap.isdigit() and int(wrap) > 0 else None
    return Device(
        name, kind, zone.name, "counter", "rapl", "node_dc" if kind == "psys" else "component",
        domain=_line(zone / "name"), parent=None if kind == "psys" else platform,
        max_power_mw=max(limits_uw) // 1000 if any(limits_uw) else None, wrap_uj=wrap_uj,
    )


def _line(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
