"""A sensor in a thread of its own: one that hangs or fails holds up no other."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from wattlake_agents.channel import Channel
from wattlake_agents.epochs import Life
from wattlake_agents.message import Run
from wattlake_agents.sensors.sensor import Device, NoSensor, Reads, Sensor, SensorError
from wattlake_contracts.plain_words import plainly

#: How often devices are looked for anew.
DISCOVER_S = 60.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that befell a device (an `event` of kind nodes)."""

    event: str
    device: str | None
    detail: str
    at_ms: int


class Owners:
    """Which reader reads which device: a device that two can read is taken from one only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: dict[str, str] = {}

    def claim(self, reader: str, devices: list[Device]) -> list[Device]:
        """The devices that this reader may read; those it no longer lists become free."""
        with self._lock:
            names = {device.name for device in devices}
            for name in [n for n, owner in self._owner.items() if owner == reader and n not in names]:
                del self._owner[name]
            return [d for d in devices if self._owner.setdefault(d.name, reader) == reader]


class Reader(threading.Thread):
    """Reads one sensor at a steady pace until `stop` is set.

    interval_s: from one reading to the next. timeout_s: a call that takes longer counts as hung;
    what it gives in the end is thrown away, for its time is not known. kept: the lives of hardware
    counters from the last start.
    """

    def __init__(self, sensor: Sensor, interval_s: float, timeout_s: float, stop: threading.Event,
                 owners: Owners, kept: dict[str, Life], discover_s: float = DISCOVER_S) -> None:
        super().__init__(name=f"read-{sensor.name}", daemon=True)
        self.sensor = sensor
        self.channels: dict[str, Channel] = {}
        self.events: deque[Event] = deque()
        #: set when the first look for devices is over
        self.started = threading.Event()
        self.absent: str | None = None
        self.error: SensorError | None = None
        self.device_errors: dict[str, SensorError] = {}
        self.readings = self.failures = 0
        self.last_ts_ms = 0
        self._interval_s, self._timeout_s, self._discover_s = interval_s, timeout_s, discover_s
        self._stop_all, self._owners, self._kept = stop, owners, kept
        self._lock = threading.Lock()
        self._devices: tuple[Device, ...] = ()
        self._reads: frozenset[str] = frozenset()
        self._busy_since: float | None = None

    # the reading side

    def run(self) -> None:
        discover_at = due = time.monotonic()
        while not self._stop_all.wait(max(0.0, due - time.monotonic())):
            now = time.monotonic()
            if now >= discover_at:
                self._discover()
                discover_at = now + self._discover_s
                self.started.set()
            if self._devices or self.device_errors:
                self._read()
                due += self._interval_s
            else:
                due = discover_at
            now = time.monotonic()
            if due <= now:
                # late: go on with the next beat instead of catching up
                due = now + self._interval_s - (now - due) % self._interval_s

    def _discover(self) -> None:
        self._busy_since = time.monotonic()
        try:
            found = self.sensor.discover()
        except NoSensor as reason:
            found, self.absent, self.error = [], str(reason), None
        except SensorError as error:
            found, self.absent, self.error = [], None, error
        except Exception as error:
            # a reader's own fault must not stop the others, and must be seen
            found, self.absent = [], None
            self.error = SensorError(f"a fault of the reader itself: {plainly(error)}", subject=self.sensor.name, next_step="report this as a bug")
        else:
            self.absent = self.error = None
        finally:
            self._busy_since = None
        devices = tuple(self._owners.claim(self.sensor.name, found))
        with self._lock:
            for device in devices:
                channel = self.channels.get(device.name)
                if channel is None or channel.device.identity != device.identity:
                    old = channel
                    self.channels[device.name] = channel = Channel(device, self._kept.pop(device.name, None))
                    if old is not None:  # what the device before it in this place has left
                        channel.runs, channel.dropped = old.runs, old.dropped
                        channel.counter.left_out = old.counter.left_out
                elif channel.device != device:
                    channel.counter.describe(device)  # the same device, e.g. with another power limit
            if self.error is not None:
                gone = SensorError(self.error.what, subject=self.error.subject, gone=True)
            else:
                gone = SensorError(self.absent or "is no longer there", gone=True)
            here = {device.name for device in devices}
            for name, channel in self.channels.items():
                if name not in here:
                    self._miss(name, channel, gone)
            self._devices, self._reads = devices, frozenset(here)

    def _read(self) -> None:
        begun = self._busy_since = time.monotonic()
        try:
            reads = self.sensor.read()
        except SensorError as error:
            reads = Reads(failures={device.name: error for device in self._devices})
        except Exception as fault:
            bug = SensorError(f"a fault of the reader itself: {plainly(fault)}", subject=self.sensor.name, next_step="report this as a bug")
            reads = Reads(failures={device.name: bug for device in self._devices})
        finally:
            self._busy_since = None
        if time.monotonic() - begun > self._timeout_s:
            late = SensorError(f"took longer than {self._timeout_s:g} s to answer", subject=self.sensor.name)
            reads = Reads(failures={device.name: late for device in self._devices})
        with self._lock:
            self.device_errors = reads.failures
            for reading in reads.readings:
                channel = self.channels.get(reading.device)
                if channel is None or reading.device not in self._reads:
                    continue  # another reader has this device
                before_ms = channel.last_ts_ms
                if channel.take(reading):
                    self.events.append(Event("device_back", reading.device, "answers again", reading.ts_ms))
                self.readings += 1
                if channel.last_ts_ms != before_ms:
                    # what is held back, or left out, is no sign that energy is being measured
                    self.last_ts_ms = channel.last_ts_ms
            for name, failure in reads.failures.items():
                self.failures += 1
                lost = self.channels.get(name)
                if lost is not None:
                    self._miss(name, lost, failure)

    def _miss(self, name: str, channel: Channel, error: SensorError) -> None:
        if channel.miss(error):
            self.events.append(Event("device_lost", name, error.what, time.time_ns() // 1_000_000))

    # the flushing side

    @property
    def hung(self) -> bool:
        """Whether a call has been going on for longer than the timeout."""
        since = self._busy_since
        return since is not None and time.monotonic() - since > self._timeout_s

    @property
    def devices(self) -> tuple[Device, ...]:
        """The devices it reads now."""
        return self._devices

    @property
    def left_out(self) -> int:
        """Readings so far that were false, and became gaps."""
        return sum(channel.counter.left_out for channel in tuple(self.channels.values()))

    def drain(self) -> tuple[list[Run], list[Event]]:
        """(readings since the last drain, by device; events since then)."""
        runs: list[Run] = []
        hung = self.hung
        with self._lock:
            for name, channel in self.channels.items():
                if hung:
                    self._miss(name, channel, SensorError(f"the reader {self.sensor.name} does not answer", gone=True))
                fresh, divergence = channel.drain()
                runs += fresh
                if divergence is not None:
                    self.events.append(Event("divergence", name, divergence, channel.last_ts_ms))
            events = list(self.events)
            self.events.clear()
        return runs, events

    def lives(self) -> dict[str, Life]:
        """What to keep of its counters for the next start."""
        with self._lock:
            return {name: life for name, channel in self.channels.items() if (life := channel.counter.life()) is not None}

    def problems(self) -> list[SensorError]:
        """What cannot be read now, in words for people."""
        if self.hung:
            return [SensorError(f"does not answer within {self._timeout_s:g} s", subject=self.sensor.name,
                                next_step="check the driver (`dmesg`); it is read again when it answers")]
        found = [self.error] if self.error is not None else []
        return found + list(self.device_errors.values())
