"""All readers of energy, in one place: a new one is a file of this folder and a line here."""

from __future__ import annotations

from importlib import import_module

from wattlake_agents.sensors.sensor import Sensor
from wattlake_contracts.config import AgentConfig
from wattlake_contracts.errors import UsageError

#: name -> module with `open_sensor(config) -> Sensor`
SENSORS = {
    "nvml": "wattlake_agents.sensors.nvml",
    "rapl": "wattlake_agents.sensors.rapl",
    "cpu_model": "wattlake_agents.sensors.cpu_model",
}


def open_sensors(config: AgentConfig) -> list[Sensor]:
    """The readers that the configuration names, or all. UsageError for a name that there is not."""
    names = config.readers or tuple(SENSORS)
    for name in names:
        if name not in SENSORS:
            raise UsageError(f"there is no reader {name!r}", subject="agent.readers", next_step=f"choose from {', '.join(SENSORS)}")
    return [import_module(SENSORS[name]).open_sensor(config) for name in names]
