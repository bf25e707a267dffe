"""What a reader of energy is: the interface that every file of this folder fills."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from wattlake_contracts.errors import WattlakeError


class NoSensor(Exception):  # noqa: N818  # not an error: most machines lack most sensors
    """This machine has no such sensor. That is no failure; the message says what was looked for."""


class SensorError(WattlakeError):
    """A sensor that is there cannot be read. `gone` tells that the device itself has vanished."""

    def __init__(self, what: str, *, subject: str = "", next_step: str = "", gone: bool = False) -> None:
        super().__init__(what, subject=subject, next_step=next_step)
        self.gone = gone


@dataclass(frozen=True, slots=True)
class Device:
    """One thing that draws power, and how it is read.

    name: unique within the node. identity: tells it from another device that takes the same name
    later (a GPU's UUID, a powercap zone). method: counter, integrated or estimated. wrap_uj: the
    raw counter goes back to 0 after this many µJ; None if it does not. parent: the device whose
    readings already hold this one's.
    """

    name: str
    kind: str
    identity: str
    method: str
    sensor_class: str
    boundary: str = "component"
    model: str | None = None
    domain: str | None = None
    parent: str | None = None
    max_power_mw: int | None = None
    wrap_uj: int | None = None
    detail: str | None = None


class Reading(NamedTuple):
    """A raw counter at an instant. power_mw: measured beside the counter, where a device gives both."""

    device: str
    ts_ms: int
    raw_uj: int
    power_mw: int | None = None


@dataclass(slots=True)
class Reads:
    """What one round of reading gave: a device is in `readings` or in `failures`, never in both."""

    readings: list[Reading] = field(default_factory=list)
    failures: dict[str, SensorError] = field(default_factory=dict)


class Sensor(Protocol):
    """A reader of one kind of sensor. It is used from one thread only."""

    name: str

    def discover(self) -> list[Device]:
        """The devices that it can read, in a fixed order.

        NoSensor if the machine has none; SensorError if it has and they cannot be read. May be
        called again at any time, to find devices that came or went.
        """
        ...

    def read(self) -> Reads:
        """Read every device found by the last `discover` once. SensorError if none can be read."""
        ...
