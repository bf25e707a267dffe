"""Fake machines: a powercap tree, a proc tree, a recorded NVML, and the log read back."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from wattlake_contracts.filelog.partition import partitions
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.record import Damage, Record

WATTLAKE = Path(sys.executable).with_name("wattlake")

# a shell's background job has Ctrl-C ignored, and so would every process that a test starts
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Zone:
    """One powercap zone; its counter is set in place, as the kernel does."""

    def __init__(self, folder: Path, name: str, energy_uj: int, range_uj: int, **more: object) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
        for file, value in more.items():
            (folder / file).write_text(f"{value}\n")
        self.file = os.open(folder / "energy_uj", os.O_RDWR | os.O_CREAT, 0o400)
        self.set(energy_uj)

    def set(self, energy_uj: int) -> None:
        os.pwrite(self.file, b"%-20d\n" % energy_uj, 0)


class FakeMachine:
    """Roots for /sys and /proc."""

    RANGE_UJ = 262_143_328_850

    def __init__(self, root: Path) -> None:
        self.sys, self.proc = root / "sys", root / "proc"
        (self.sys / "class").mkdir(parents=True)
        (self.proc / "sys/kernel/random").mkdir(parents=True)
        self.boot("11111111-1111-1111-1111-111111111111")

    def boot(self, boot_id: str) -> None:
        (self.proc / "sys/kernel/random/boot_id").write_text(boot_id + "\n")

    def zone(self, zone: str, name: str, energy_uj: int = 1_000_000, range_uj: int = RANGE_UJ, **more: object) -> Zone:
        return Zone(self.sys / "class/powercap" / zone, name, energy_uj, range_uj, **more)

    def cpus(self, packages: int = 1, threads: int = 2, model: str = "Acme 9000 CPU @ 2.00GHz", flags: str = "fpu sse") -> None:
        blocks = [f"processor\t: {i}\nmodel name\t: {model}\nphysical id\t: {i % packages}\nflags\t\t: {flags}\n" for i in range(threads)]
        (self.proc / "cpuinfo").write_text("\n".join(blocks))
        self.stat([(0, 0)] * threads)

    def stat(self, busy_idle: list[tuple[int, int]], steal: int = 0) -> None:
        busy, idle = (sum(column) for column in zip(*busy_idle, strict=True))
        lines = [f"cpu  {busy} 0 0 {idle} 0 0 0 {steal} 0 0"]
        lines += [f"cpu{i} {b} 0 0 {w} 0 0 0 0 0 0" for i, (b, w) in enumerate(busy_idle)]
        file = self.proc / "stat"
        text = "\n".join([*lines, "intr 12345 0 0", "ctxt 1"]) + "\n"
        with file.open("r+" if file.exists() else "w") as out:
            out.write(text.ljust(2000))

    def environment(self, state: Path, **more: str) -> dict[str, str]:
        """The environment that lets a real process take this machine for its own."""
        return {
            **os.environ, "WATTLAKE_AGENT_SYS_ROOT": str(self.sys), "WATTLAKE_AGENT_PROC_ROOT": str(self.proc),
            "WATTLAKE_AGENT_STATE_DIR": str(state), "WATTLAKE_AGENT_NODE": "n1", "WATTLAKE_AGENT_METRICS": "", **more,
        }


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path / "machine")


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


class FakeGpu:
    """What one GPU answers; a value that is an exception is raised, a callable is called."""

    def __init__(self, uuid: str, energy_mj: Any = None, power_mw: Any = None, instant_mw: Any = None, name: str = "Acme G1") -> None:
        self.uuid, self.energy_mj, self.power_mw, self.instant_mw, self.name = uuid, energy_mj, power_mw, instant_mw, name


class RecordedNvml:
    """The functions of pynvml that the reader calls, over recorded answers."""

    NVML_SUCCESS = 0
    NVML_ERROR_UNINITIALIZED = 1
    NVML_ERROR_INVALID_ARGUMENT = 2
    NVML_ERROR_NOT_SUPPORTED = 3
    NVML_ERROR_NOT_FOUND = 6
    NVML_ERROR_DRIVER_NOT_LOADED = 9
    NVML_ERROR_LIBRARY_NOT_FOUND = 12
    NVML_ERROR_FUNCTION_NOT_FOUND = 13
    NVML_ERROR_GPU_IS_LOST = 15
    NVML_ERROR_UNKNOWN = 999
    NVML_FI_DEV_POWER_INSTANT = 186
    NVMLError = NVMLError

    def __init__(self, *gpus: FakeGpu, init_error: int = 0) -> None:
        self.gpus, self.init_error = list(gpus), init_error
        self.inits = 0

    def _answer(self, value: Any) -> Any:
        if value is None:
            raise NVMLError(self.NVML_ERROR_NOT_SUPPORTED)
        if isinstance(value, Exception):
            raise value
        return value() if callable(value) else value

    def nvmlInit(self) -> None:
        self.inits += 1
        if self.init_error:
            raise NVMLError(self.init_error)

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        return self.gpus[index]

    def nvmlDeviceGetUUID(self, gpu: FakeGpu) -> str:
        return gpu.uuid

    def nvmlDeviceGetName(self, gpu: FakeGpu) -> str:
        return gpu.name

    def nvmlDeviceGetPowerManagementLimitConstraints(self, _: FakeGpu) -> list[int]:
        return [100_000, 700_000]

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: FakeGpu) -> int:
        return int(self._answer(gpu.energy_mj))

    def nvmlDeviceGetPowerUsage(self, gpu: FakeGpu) -> int:
        return int(self._answer(gpu.power_mw))

    def nvmlDeviceGetFieldValues(self, gpu: FakeGpu, _: list[int]) -> list[Any]:
        field = SimpleNamespace(nvmlReturn=self.NVML_SUCCESS, value=SimpleNamespace(uiVal=0))
        if gpu.instant_mw is None:
            field.nvmlReturn = self.NVML_ERROR_NOT_SUPPORTED
        else:
            field.value.uiVal = self._answer(gpu.instant_mw)
        return [field]


@pytest.fixture
def nvml() -> type[RecordedNvml]:
    return RecordedNvml


@pytest.fixture
def gpu() -> type[FakeGpu]:
    return FakeGpu


class LogBook:
    """Everything in a log that is accepted; damage fails the test."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def records(self, partition: str | None = None) -> list[Record]:
        found = []
        for name in [partition] if partition else partitions(self.root):
            for item in read(self.root, name, *bounds(self.root, name)):
                assert not isinstance(item, Damage), item
                found.append(item.record)
        return found

    @staticmethod
    def decode(record: Record) -> list[dict[str, Any]]:
        """The rows of a record."""
        return decode(record)

    def rows(self, kind: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for record in self.records():
            if record.meta.kind == kind:
                rows += decode(record)
        return rows


def decode(record: Record) -> list[dict[str, Any]]:
    if record.meta.kind == "readings":
        return pa.ipc.open_stream(io.BytesIO(bytes(record.payload))).read_all().to_pylist()
    found = json.loads(bytes(record.payload))
    return found if isinstance(found, list) else [found]


@pytest.fixture
def log_book() -> Callable[[Path], LogBook]:
    return LogBook


@pytest.fixture
def wattlake() -> Path:
    """The installed command."""
    return WATTLAKE


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"
