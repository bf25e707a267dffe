"""NVIDIA GPUs through NVML: their total-energy counter, or their power summed up."""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass
from typing import Any

from wattlake_agents.sensors.integrator import Integrator
from wattlake_agents.sensors.sensor import Device, NoSensor, Reading, Reads, SensorError
from wattlake_contracts.config import AgentConfig

_LIBRARY = "libnvidia-ml.so.1"
DRIVER_STEP = "check `nvidia-smi`; reload the driver or restart the machine if it fails too"


@dataclass(slots=True)
class _Gpu:
    device: Device
    handle: Any
    #: None where the GPU has a counter of its own
    integrator: Integrator | None
    #: how its power is asked for: instant, usage or none
    power: str


def open_sensor(config: AgentConfig) -> NvmlSensor:
    """The reader over the installed driver library."""
    del config
    return NvmlSensor()


class NvmlSensor:
    """Reads each GPU's energy counter (mJ since the driver was loaded; Volta and later).

    A GPU without one has its power read (field NVML_FI_DEV_POWER_INSTANT, else
    nvmlDeviceGetPowerUsage) and integrated. One with both has both read, so that they can be
    compared. Source: NVML API reference, nvmlDeviceGetTotalEnergyConsumption, nvmlFieldValue_t.

    nvml: the pynvml module (the default, imported once there is a driver library, for it takes 13
    MiB), or a recording with the same functions.
    """

    name = "nvml"

    def __init__(self, nvml: Any = None) -> None:
        self._nvml = nvml
        self._ready = False
        self._gpus: list[_Gpu] = []
        self._names: dict[str, str] = {}
        self._unreadable: dict[str, SensorError] = {}
        self._clock = time.CLOCK_BOOTTIME if hasattr(time, "CLOCK_BOOTTIME") else time.CLOCK_MONOTONIC

    def discover(self) -> list[Device]:
        """The GPUs with a counter or a power reading; NoSensor without library, driver or GPU."""
        self._start()
        nvml = self._nvml
        known = {gpu.device.identity: gpu for gpu in self._gpus}
        gpus: list[_Gpu] = []
        self._unreadable = {}
        try:
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            self._ready = False
            raise SensorError(f"cannot count the GPUs: {error}", subject="NVML", next_step=DRIVER_STEP) from error
        for index in range(count):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                uuid = _text(nvml.nvmlDeviceGetUUID(handle))
                old = known.get(uuid)
                if old is not None:
                    # the integrator goes on: its counter must not restart because a GPU was looked for
                    old.handle = handle
                    gpus.append(old)
                    continue
                gpus.append(self._open(self._name(uuid, index), uuid, handle))
            except nvml.NVMLError as error:
                name = f"gpu{index}"
                self._unreadable[name] = SensorError(str(error), subject=name, next_step=DRIVER_STEP, gone=_gone(nvml, error))
            except SensorError as error:
                self._unreadable[error.subject] = error
        self._gpus = gpus
        if not gpus and not self._unreadable:
            raise NoSensor("NVML finds no GPU")
        return [gpu.device for gpu in gpus]

    def read(self) -> Reads:
        """Counter, or integrated power, of each GPU; one that fails is in the failures."""
        nvml = self._nvml
        reads = Reads(failures=dict(self._unreadable))
        for gpu in self._gpus:
            name = gpu.device.name
            try:
                ts_ms = time.time_ns() // 1_000_000
                power_mw = self._power(gpu)
                if gpu.integrator is None:
                    raw_uj = nvml.nvmlDeviceGetTotalEnergyConsumption(gpu.handle) * 1000
                    reads.readings.append(Reading(name, ts_ms, raw_uj, power_mw))
                elif power_mw is not None:
                    raw_uj = gpu.integrator.add(time.clock_gettime_ns(self._clock), power_mw)
                    reads.readings.append(Reading(name, ts_ms, raw_uj))
            except nvml.NVMLError as error:
                gone = _gone(nvml, error)
                if gone:
                    self._ready = False
                reads.failures[name] = SensorError(str(error), subject=name, next_step=DRIVER_STEP, gone=gone)
        return reads

    def _start(self) -> None:
        if self._ready:
            return
        if self._nvml is None:
            try:
                ctypes.CDLL(_LIBRARY)
            except OSError as error:
                raise NoSensor(f"no NVIDIA driver: {error}") from error
            import pynvml

            self._nvml = pynvml
        nvml = self._nvml
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            if error.value in (nvml.NVML_ERROR_LIBRARY_NOT_FOUND, nvml.NVML_ERROR_DRIVER_NOT_LOADED):
                raise NoSensor(f"no NVIDIA driver: {error}") from error
            raise SensorError(f"cannot start: {error}", subject="NVML", next_step=DRIVER_STEP) from error
        self._ready = True

    def _name(self, uuid: str, index: int) -> str:
        """A name that stays with the GPU while the agent runs, though a lost GPU shifts the indices."""
        if uuid not in self._names:
            taken = set(self._names.values())
            while f"gpu{index}" in taken:
                index += 1
            self._names[uuid] = f"gpu{index}"
        return self._names[uuid]

    def _open(self, name: str, uuid: str, handle: Any) -> _Gpu:
        nvml = self._nvml
        counts = self._offers(lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) is not None
        power = "none"
        if self._offers(lambda: self._instant(handle)) is not None:
            power = "instant"
        elif self._offers(lambda: nvml.nvmlDeviceGetPowerUsage(handle)) is not None:
            power = "usage"
        if not counts and power == "none":
            raise SensorError("has neither an energy counter nor a power reading", subject=name,
                              next_step="measure it from outside, e.g. at the PDU, and `wattlake import readings`")
        limits = self._offers(lambda: nvml.nvmlDeviceGetPowerManagementLimitConstraints(handle))
        device = Device(
            name, "gpu", uuid, "counter" if counts else "integrated", "nvml-energy" if counts else "nvml-power",
            model=_text(nvml.nvmlDeviceGetName(handle)), domain=uuid,
            max_power_mw=int(limits[1]) if limits else None,
            detail=f"power beside the counter: {power}" if counts else f"integrated from power ({power})",
        )
        return _Gpu(device, handle, None if counts else Integrator(), power)

    def _offers(self, call: Any) -> Any:
        """What a call gives, or None if the GPU does not support it; other errors are passed on."""
        nvml = self._nvml
        try:
            return call()
        except nvml.NVMLError as error:
            if error.value in (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_INVALID_ARGUMENT, nvml.NVML_ERROR_FUNCTION_NOT_FOUND):
                return None
            raise

    def _power(self, gpu: _Gpu) -> int | None:
        if gpu.power == "instant":
            return self._instant(gpu.handle)
        return int(self._nvml.nvmlDeviceGetPowerUsage(gpu.handle)) if gpu.power == "usage" else None

    def _instant(self, handle: Any) -> int:
        nvml = self._nvml
        field = nvml.nvmlDeviceGetFieldValues(handle, [nvml.NVML_FI_DEV_POWER_INSTANT])[0]
        if field.nvmlReturn != nvml.NVML_SUCCESS:
            raise nvml.NVMLError(field.nvmlReturn)
        return int(field.value.uiVal)


def _gone(nvml: Any, error: Any) -> bool:
    return error.value in (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_NOT_FOUND, nvml.NVML_ERROR_UNINITIALIZED,
                           nvml.NVML_ERROR_DRIVER_NOT_LOADED)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
