"""One look at every sensor: two readings a second apart, and what could not be read."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from wattlake_agents.counter import Counter
from wattlake_agents.sensors.registry import open_sensors
from wattlake_agents.sensors.sensor import Device, NoSensor, Reading, Sensor, SensorError
from wattlake_contracts.config import AgentConfig

COLUMNS = ("device", "kind", "model", "power_w", "energy_j", "counter_j", "method", "boundary", "reader", "detail")


@dataclass(slots=True)
class Look:
    """What was found. rows: one per device, as COLUMNS. problems: what is there and cannot be read. absent: what is not there."""

    rows: list[tuple[object, ...]] = field(default_factory=list)
    problems: list[SensorError] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def look(config: AgentConfig, pause_s: float = 1.0, sensors: list[Sensor] | None = None) -> Look:
    """Read every sensor twice, all at the same time, each with the reader's timeout. Writes nothing."""
    opened = open_sensors(config) if sensors is None else sensors
    found = [Look() for _ in opened]
    threads = [threading.Thread(target=_look, args=(s, pause_s, f), daemon=True) for s, f in zip(opened, found, strict=True)]
    until = time.monotonic() + pause_s + config.reader_timeout_s
    for thread in threads:
        thread.start()
    whole = Look()
    seen: set[object] = set()
    for sensor, thread, part in zip(opened, threads, found, strict=True):
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            whole.problems.append(SensorError(f"did not answer within {config.reader_timeout_s:g} s", subject=sensor.name,
                                              next_step="check the driver (`dmesg`), or leave it out with agent.readers"))
            continue
        # as in the agent, a device that two readers offer is the first one's
        whole.rows += [row for row in part.rows if row[0] not in seen]
        seen |= {row[0] for row in part.rows}
        whole.problems += part.problems
        whole.absent += part.absent
    return whole


def _look(sensor: Sensor, pause_s: float, found: Look) -> None:
    try:
        devices = {device.name: device for device in sensor.discover()}
        first = sensor.read()
        time.sleep(pause_s)
        second = sensor.read()
    except NoSensor as reason:
        found.absent.append(f"{sensor.name}: {reason}")
        return
    except SensorError as error:
        found.problems.append(error)
        return
    before = {reading.device: reading for reading in first.readings}
    failures = {**first.failures, **second.failures}
    found.rows += [_row(devices[r.device], before[r.device], r, sensor.name) for r in second.readings if r.device in before]
    found.problems += failures.values()


def _row(device: Device, first: Reading, second: Reading, reader: str) -> tuple[object, ...]:
    counter = Counter(device)
    counter.add(first.ts_ms, first.raw_uj)
    rise_uj = counter.step_uj(second.ts_ms, second.raw_uj)
    span_ms = second.ts_ms - first.ts_ms
    return (device.name, device.kind, device.model, round(rise_uj / 1000 / span_ms, 3) if rise_uj is not None else None,
            round(rise_uj / 1e6, 6) if rise_uj is not None else None, second.raw_uj / 1e6, device.method, device.boundary, reader, device.detail)
