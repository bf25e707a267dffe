"""What every device of a node draws, and the counters that would show it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wattlake_contracts.layout import HOUR_MS
from wattlake_pipelines.simulate.fleet import Life, Node, hardware
from wattlake_pipelines.simulate.options import JITTER, POWER, Options
from wattlake_pipelines.simulate.workload import BUSY, Run, daily_load

#: White noise on each device's mean power between two readings: sd = 2 % of it + 0.3 W. At 500 W and
#: 1 Hz that is about 10,300 mJ, or log2(10300 x sqrt(2 pi e)) = 15.4 bits in every reading.
NOISE_FRACTION, NOISE_W = 0.02, 0.3
#: The supply's loss and what the board draws besides its parts, as seen by the wall sensor.
WALL_FRACTION = 0.08
#: A reading is taken up to so many ms late.
JITTER_MS = 8
#: Training stops to write a checkpoint: so long, every so often.
_CHECKPOINT_MS, _CHECKPOINT_EVERY_MS = 20_000, 1_800_000


@dataclass(frozen=True)
class Sweep:
    """Readings of all devices of a node in one life and hour.

    ts_ms: int64 [n]. energy_mj: int64 [devices, n], each row one counter. nominal_ms: int64 [n], when
    the readings were due.
    """

    life: Life
    nominal_ms: np.ndarray
    ts_ms: np.ndarray
    energy_mj: np.ndarray


class Meter:
    """The counters of one node, hour after hour.

    options, node: whose. runs: the node's runs, by start. Hours must be asked for in order.
    """

    def __init__(self, options: Options, node: Node, runs: list[Run]) -> None:
        self._options, self._node, self._runs = options, node, runs
        self._life = -1
        self._last_ms = 0
        self._total_mj = np.zeros(len(node.devices), np.int64)
        gpu, cpu, dram, board = (hardware(role) for role in ("gpu", "cpu", "dram", "node"))
        self._idle_w = np.array([{"gpu": gpu, "cpu": cpu, "dram": dram}.get(d.kind, board).idle_w for d in node.devices])
        self._range_w = np.array([{"gpu": gpu, "cpu": cpu, "dram": dram}.get(d.kind, board).max_w for d in node.devices]) - self._idle_w
        self._board_w = board.idle_w
        #: what each device truly drew while it was alive and read
        self.true_mj = np.zeros(len(node.devices), np.int64)

    def hour(self, start_ms: int) -> list[Sweep]:
        """The readings due in [start_ms, start_ms + 1 h), one sweep per life that has any."""
        o = self._options
        first = -(-(start_ms - o.start_ms) // o.interval_ms)
        due = o.start_ms + np.arange(first, -(-(start_ms + HOUR_MS - o.start_ms) // o.interval_ms), dtype=np.int64) * o.interval_ms
        late = o.random(JITTER, self._node.index, (start_ms - o.start_ms) // HOUR_MS).integers(0, JITTER_MS + 1, len(due))
        random = o.random(POWER, self._node.index, (start_ms - o.start_ms) // HOUR_MS)
        sweeps = []
        for life in self._node.lives:
            alive = (due >= life.start_ms) & (due + JITTER_MS < life.end_ms)
            if alive.any():
                sweeps.append(self._sweep(life, due[alive], due[alive] + late[alive], random))
        return sweeps

    def _sweep(self, life: Life, due: np.ndarray, ts_ms: np.ndarray, random: np.random.Generator) -> Sweep:
        if life.number != self._life:
            # a hardware counter has counted before; a sum of power begins with the agent
            before = random.integers(0, 10**9, len(self._total_mj))
            self._total_mj = np.where([d.method == "counter" for d in self._node.devices], before, 0)
            self._life, self._last_ms = life.number, int(ts_ms[0])
        step_ms = np.diff(ts_ms, prepend=self._last_ms)
        power_w = self._power_w(due)
        noise = random.standard_normal(power_w.shape, dtype=np.float32)
        power_w += noise * (NOISE_FRACTION * power_w + NOISE_W)
        np.maximum(power_w, 0, out=power_w)
        wall = self._node.wall
        if wall is not None:
            parts_w = power_w[:wall].sum(axis=0)
            power_w[wall] = parts_w * (1 + WALL_FRACTION) + self._board_w + noise[wall]
        # W x ms = mJ
        rise_mj = np.rint(power_w * step_ms).astype(np.int64)
        energy_mj = np.cumsum(rise_mj, axis=1) + self._total_mj[:, None]
        self.true_mj += rise_mj.sum(axis=1)
        self._total_mj, self._last_ms = energy_mj[:, -1].copy(), int(ts_ms[-1])
        return Sweep(life, due, ts_ms, energy_mj)

    def _power_w(self, at_ms: np.ndarray) -> np.ndarray:
        """Mean power [devices, n] without noise."""
        devices = self._node.devices
        busy = np.zeros((len(devices), len(at_ms)))
        gpus = sum(d.kind == "gpu" for d in devices)
        for run in self._runs:
            if run.start_ms > at_ms[-1] or run.end_ms <= at_ms[0]:
                continue
            i, j = np.searchsorted(at_ms, (run.start_ms, run.end_ms))
            when = at_ms[i:j]
            gpu, cpu = BUSY[run.job.phase]
            shape = np.ones(len(when))
            if run.job.service:
                shape = daily_load(when)
            elif run.job.phase == "train":
                shape = np.where((when - run.start_ms) % _CHECKPOINT_EVERY_MS >= _CHECKPOINT_EVERY_MS - _CHECKPOINT_MS, 0.1, 1.0)
            held = slice(0, gpus) if run.job.gpu is None else slice(run.job.gpu, run.job.gpu + 1)
            share = 1.0 if run.job.gpu is None else 1.0 / gpus
            busy[held, i:j] += gpu * shape
            busy[gpus : gpus + 4, i:j] += cpu * share * shape
        np.minimum(busy, 1, out=busy)
        power_w: np.ndarray = self._idle_w[:, None] + busy * self._range_w[:, None]
        return power_w
